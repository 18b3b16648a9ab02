"""Who may open the page: a token, a password, or everybody on this computer. Neither secret is kept or shown as it is.

A token is long and random, so its SHA-256 is enough; people choose passwords, so theirs is an argon2 hash.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from creditrisk.errors import ParameterError
from creditrisk.serving.access import is_loopback

SHORTEST_TOKEN = 16
SHORTEST_PASSWORD = 10
HASH_PREFIX = "argon2:"

OPEN_TO_ALL = (
    "--host {} would open the page to everybody on the network; ask for a token (--token makes one, --token-file reads "
    "one) or a password (--password-file), or say --no-token when something in front of the page asks for it"
)


@dataclass(frozen=True)
class Access:
    """What opens the page. Without either secret everybody may who reaches it."""

    token: bytes = field(default=b"", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, token: str = "", password: str = "") -> Access:
        """From a token and the hash of a password. Raises ParameterError for one that cannot be."""
        if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
            raise ParameterError(
                f"a token has at least {SHORTEST_TOKEN} letters, digits or signs and no space; --token makes one"
            )
        if password and not _is_hash(password):
            raise ParameterError("that is no hash of a password; make one with creditrisk dashboard --hash-password")
        return cls(_digest(token) if token else b"", password)

    def __bool__(self) -> bool:
        return bool(self.token or self.password)

    @property
    def asks_for(self) -> str:
        """What a visitor is asked for: "token", "password", or "password or token"."""
        return " or ".join(name for name, is_set in (("password", self.password), ("token", self.token)) if is_set)

    def admits(self, secret: str) -> bool:
        """Whether a secret opens the page. Takes a tenth of a second where there is a password."""
        if self.token and hmac.compare_digest(_digest(secret), self.token):
            return True
        return bool(self.password) and _is_password(self.password, secret)

    def cookie_secret(self) -> bytes:
        """What signs login cookies: the same after a restart, another one with another token or password."""
        if not self:
            return secrets.token_bytes(32)
        return hashlib.scrypt(self.token + self.password.encode(), salt=b"page cookie", n=2**14, r=8, p=1, dklen=32)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _is_hash(text: str) -> bool:
    import argon2

    try:
        argon2.extract_parameters(text.removeprefix(HASH_PREFIX))
    except argon2.exceptions.InvalidHashError:
        return False
    return text.startswith(HASH_PREFIX)


def _is_password(stored: str, secret: str) -> bool:
    from jupyter_server.auth.security import passwd_check

    return passwd_check(stored, secret)


def new_token() -> str:
    """A random token."""
    return secrets.token_urlsafe(24)


def access_from(token: str = "", token_file: str = "", password: str = "", password_file: str = "") -> Access:
    """Access by what is given; a file stands for its content. Raises ParameterError for what cannot be."""
    token = _content(token_file, "token") if token_file else token
    password = _content(password_file, "hash of a password") if password_file else password
    return Access.of(token.strip(), password.strip())


def _content(file: str, what: str) -> str:
    try:
        text = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ParameterError(f"{file} cannot be read: {problem}") from None
    if not text:
        raise ParameterError(f"{file} is empty; it must hold the {what}")
    return text


def require_access_or_loopback(host: str, access: Access, *, open_anyway: bool) -> str:
    """A sentence on who may open the page, for the line it starts with.

    Raises ParameterError when everybody on a network could and nobody has said so.
    """
    if access and open_anyway:
        raise ParameterError("--no-token contradicts the token or password that is set; leave one of them out")
    if access:
        return f"whoever has the {access.asks_for} may open it"
    if is_loopback(host):
        return "open to everybody on this computer: no token is set (--token makes one)"
    if not open_anyway:
        raise ParameterError(OPEN_TO_ALL.format(host or repr("")))
    return "open to everybody who reaches it, as --no-token says"


def ask_for_password(ask: Callable[[str], str] = getpass.getpass) -> str:
    """The hash of a password that is typed twice. Raises ParameterError when it is short or not the same."""
    from jupyter_server.auth.security import passwd

    first = ask("Password: ")
    if len(first) < SHORTEST_PASSWORD:
        raise ParameterError(f"a password has at least {SHORTEST_PASSWORD} characters")
    if ask("Once more: ") != first:
        raise ParameterError("the two are not the same")
    return passwd(first)


class Attempts:
    """Wrong secrets, by address: after `most` of them within `seconds` an address has to wait."""

    def __init__(self, most: int = 5, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._wrong: dict[str, deque[float]] = {}

    def wait(self, address: str) -> float:
        """Seconds until the address may try again, 0 when it may now."""
        times = self._recent(address)
        return max(0.0, times[0] + self._seconds - self._clock()) if len(times) >= self._most else 0.0

    def begin(self, address: str) -> None:
        """Count an attempt as wrong until it proves right: many at once must not all be tried."""
        if len(self._wrong) > 10_000:
            for other in list(self._wrong):
                self._recent(other)
        self._wrong.setdefault(address, deque()).append(self._clock())

    def was_right(self, address: str) -> None:
        """Forget what went wrong at an address."""
        self._wrong.pop(address, None)

    def _recent(self, address: str) -> deque[float]:
        times = self._wrong.get(address, deque())
        while times and times[0] <= self._clock() - self._seconds:
            times.popleft()
        if not times:
            self._wrong.pop(address, None)
        return times
