"""Receivers of alerts: mail, Slack, Teams, webhooks and many others, each one apprise URL.

Such a URL holds passwords and tokens. A receiver is therefore shown by the name of its service only, and why it could
not be reached is said in words and numbers of our own: what apprise, requests and mail servers write about it may
quote the URL, and is neither logged nor stored.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creditrisk.errors import ParameterError

logger = logging.getLogger(__name__)

KINDS = {"red": "failure", "amber": "warning", "green": "success"}
"""How apprise calls what we say, for colours and icons."""
REASONS = (
    (r"\berror=([1-5]\d\d)\b", "it answered with HTTP status {}"),
    (r"SSL|certificate", "its certificate was not accepted, or it speaks no TLS"),
    (r"\(([45]\d\d), b['\"]", "the mail server refused, code {}"),
    (r"refused", "the connection was refused"),
    (r"timed out|[Tt]imeout", "there was no answer in time"),
    (r"Name or service|name resolution|NameResolution|nodename|getaddrinfo", "its host name is unknown here"),
    (r"reset|closed|aborted|disconnected|broken", "the connection broke off"),
    (r"unreachable|No route", "there is no way to its network"),
    (r"AUTH", "the mail server takes no password, or not this way"),
)
"""What the lines of a failed attempt contain, and what it means; the first that fits is told."""
NO_REASON = "it was not accepted, and no reason was given"
QUOTING = ("apprise", "urllib3.connectionpool")
"""Loggers whose lines may quote a URL."""

_overheard: ContextVar[list[logging.LogRecord] | None] = ContextVar("overheard", default=None)


@dataclass(frozen=True)
class Receiver:
    """One receiver; `name` is its service's, with a number where there are several of one service."""

    name: str
    _service: Any = field(repr=False)

    def send(self, title: str, body: str, status: str = "") -> str | None:
        """Send a plain text; returns None when it was taken, else why not. Takes some seconds, 20 at most or so."""
        import apprise

        with _overhearing() as records:
            try:
                sender = apprise.Apprise(asset=self._service.asset)
                sender.add(self._service)
                kind, text = KINDS.get(status, "info"), apprise.NotifyFormat.TEXT
                if sender.notify(body=body, title=title, notify_type=kind, body_format=text):
                    return None
            except Exception as error:  # whatever a service does, the other receivers get theirs
                return f"{_reason(records, NO_REASON)} ({type(error).__name__})"
        return _reason(records, NO_REASON)


def open_receivers(urls: str | Sequence[str] = (), file: str | Path | None = None) -> list[Receiver]:
    """The receivers of apprise URLs (one text may hold several) and of an apprise configuration file, YAML or text.

    Raises ParameterError for what is no apprise URL, without quoting it, and for a file that cannot be read.
    """
    listed = [one for text in ([urls] if isinstance(urls, str) else urls) for one in split_urls(text)]
    if not listed and not file:
        return []
    services = [_service(url, f"receiver {place} of {len(listed)}") for place, url in enumerate(listed, start=1)]
    services += _services_of(Path(file)) if file else []
    names: Counter[str] = Counter()
    receivers = []
    for service in services:
        name = str(service.service_name)
        names[name] += 1
        receivers.append(Receiver(name if names[name] == 1 else f"{name} {names[name]}", service))
    return receivers


def split_urls(text: str) -> list[str]:
    """URLs between which there are spaces or commas; a comma inside a URL, as between two addressees, stays."""
    return [
        one.strip(" ,\t\r\n") for one in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9]*://)", text) if one.strip(" ,\t\r\n")
    ]


def _service(url: str, which: str) -> Any:
    import apprise

    scheme = re.match(r"[A-Za-z][A-Za-z0-9]{0,15}(?=://)", url)
    with _overhearing():
        service = apprise.Apprise.instantiate(url, asset=_asset())
    if service is None:
        # What does not begin like a URL may be a password: nothing of it is quoted.
        kind = f" ({scheme[0]}://)" if scheme else ""
        raise ParameterError(
            f"{which}{kind} is no URL that apprise understands (not shown, since it may hold a password); look at "
            "CREDITRISK_ALERT_URLS, and at apprise's documentation of that service"
        )
    return _overheard_by_us(service)


def _services_of(path: Path) -> list[Any]:
    import apprise

    try:
        mode = path.stat().st_mode & 0o777
        path.read_bytes()
    except OSError as problem:
        raise ParameterError(
            f"CREDITRISK_ALERT_FILE: {path} cannot be read: {problem.strerror or type(problem).__name__}"
        ) from None
    if os.name == "posix" and mode & 0o077:
        logger.warning("%s has mode %04o: others may read the passwords of alert receivers; chmod 600 it", path, mode)
    with _overhearing() as records:
        config = apprise.AppriseConfig(asset=_asset())
        config.add(str(path.resolve()))
        services = list(config.services())
    wrong = sum(record.levelno >= logging.WARNING for record in records)
    if wrong or not services:
        found = f"{len(services)} receivers, and {wrong} entries" if services else "no receiver"
        problem = "that apprise does not understand" if services else "that apprise understands"
        raise ParameterError(f"CREDITRISK_ALERT_FILE: {path} names {found} {problem}")
    return [_overheard_by_us(service) for service in services]


def _asset() -> Any:
    """How messages look: from creditrisk, without pictures from elsewhere; sent one after another."""
    import apprise

    return apprise.AppriseAsset(
        app_id="creditrisk", app_desc="creditrisk", app_url="", image_url_mask="", image_url_logo="",
        async_mode=False, service_timeout=0,
    )  # fmt: skip


# What services write in their logs


class _Overhearing(logging.Filter):
    """Takes what is written while we send or read URLs, so that no log file gets it."""

    def filter(self, record: logging.LogRecord) -> bool:
        records = _overheard.get()
        if records is None:
            return True
        records.append(record)
        return False


def _overheard_by_us(service: Any) -> Any:
    """The service with a logger of its own: the cause of a failure is written at the level of debugging only."""
    own = logging.Logger("receiver", logging.DEBUG)
    own.addFilter(_FILTER)
    service.logger = own
    return service


_FILTER = _Overhearing()


@contextmanager
def _overhearing() -> Iterator[list[logging.LogRecord]]:
    for name in QUOTING:
        logging.getLogger(name).addFilter(_FILTER)  # adds it once
    records: list[logging.LogRecord] = []
    token = _overheard.set(records)
    try:
        yield records
    finally:
        _overheard.reset(token)


def _reason(records: Sequence[logging.LogRecord], otherwise: str) -> str:
    text = "\n".join(record.getMessage() for record in records)
    for pattern, words in REASONS:
        if found := re.search(pattern, text):
            return words.format(*found.groups())
    return otherwise
