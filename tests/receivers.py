"""Real receivers of alerts on the loopback interface: a mail server (SMTP) and a webhook (HTTP)."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSWORD = "s3cr3tPassw0rd"


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail for anybody from who says the password; `mails` are in the order of their arrival."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, port: int = 0, greeting: str = "220 mail") -> None:
        super().__init__(("127.0.0.1", port), _MailSession)
        self.port, self.greeting = self.server_address[1], greeting
        self.mails: list[EmailMessage] = []

    def url(self, password: str = PASSWORD) -> str:
        """The apprise URL of a mail to two people."""
        return (
            f"mailto://risk:{password}@example.org:{self.port}?smtp=127.0.0.1&mode=insecure"
            "&from=risk@example.org&to=a@example.org,b@example.org"
        )


class _MailSession(socketserver.StreamRequestHandler):
    """As much of RFC 5321 and of AUTH (PLAIN and LOGIN) as a client needs to hand a mail over."""

    server: MailServer
    timeout = 20

    def handle(self) -> None:
        self._say(self.server.greeting)
        known = False
        while command := self._hear():
            verb, _, rest = command.partition(" ")
            if verb.upper() == "EHLO":
                self._say("250-mail", "250 AUTH PLAIN LOGIN")
            elif verb.upper() == "AUTH":
                known = self._password(rest) == PASSWORD
                self._say("235 welcome" if known else "535 5.7.8 who are you? I do not know " + rest)
            elif verb.upper() == "DATA":
                self._say("354 go on")
                self.server.mails.append(email.message_from_bytes(self._text(), policy=email.policy.default))
                self._say("250 taken")
            elif verb.upper() == "QUIT":
                return self._say("221 bye")
            elif verb.upper() == "MAIL" and not known:
                self._say("530 5.7.0 say who you are first")
            else:
                self._say("250 fine")
        return None

    def _password(self, rest: str) -> str:
        way, _, first = rest.partition(" ")
        if way.upper() == "PLAIN":
            return base64.b64decode(first).split(b"\0")[-1].decode()
        if not first:
            self._say("334 VXNlcm5hbWU6")
            self._hear()
        self._say("334 UGFzc3dvcmQ6")
        return base64.b64decode(self._hear()).decode()

    def _text(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def _hear(self) -> str:
        return self.rfile.readline().decode().strip()


class Webhook(ThreadingHTTPServer):
    """Takes JSON; answers with `status`. `calls` are what came, in order, refused ones too."""

    daemon_threads = True
    TOKEN = "t0ken-in-the-path"

    def __init__(self, port: int = 0, status: int = 200) -> None:
        super().__init__(("127.0.0.1", port), _Call)
        self.port, self.status = self.server_address[1], status
        self.calls: list[dict] = []

    @property
    def url(self) -> str:
        """Its apprise URL, with a password, a token in the path and one in a header."""
        return f"json://risk:{PASSWORD}@127.0.0.1:{self.port}/{self.TOKEN}?+X-Key=hidden-{PASSWORD}"

    @property
    def told(self) -> list[tuple[str, str]]:
        """Title and kind of what came."""
        return [(call["title"], call["type"]) for call in self.calls]


class _Call(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        self.server.calls.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(server: MailServer | Webhook) -> Iterator[MailServer | Webhook]:
    """The server at work in a thread of its own, closed at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
