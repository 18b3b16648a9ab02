"""Who may call: API keys, a rate limit, and the headers that every answer carries.

A key is `cr_<id>_<secret>`: the secret 32 random bytes in hexadecimal, the id the first 12 digits of its SHA-256. Only
that hash is stored. A plain hash is enough, since nobody can try 2**256 secrets; a slow one is for passwords that
people choose, and those are no keys here. Whatever is wrong with a key, the work is the same and so is the answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import json
import logging
import math
import os
import re
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from creditrisk.errors import ParameterError

logger = logging.getLogger(__name__)

OPEN_PATH = "/health"
"""The one address that needs no key and knows no rate limit: it says nothing but that the service is alive."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What a browser on this computer calls it. Another name for a loopback address is a page that has rebound its own."""
LOOK_AGAIN_SECONDS = 1.0
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
NO_KEY = (
    "this needs an API key that is in force: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; whoever runs "
    "the service makes one with `creditrisk keys add NAME`"
)
TOO_MANY = "too many requests: send the next one after the seconds that Retry-After says"
NOT_HERE = "without keys, the service answers to its loopback names only, such as localhost and 127.0.0.1"

_KEY = re.compile(rb"cr_[0-9a-f]{12}_[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME_RULE = "a name has 1 to 64 letters, digits, dots, dashes or underscores"

# --- Keys -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApiKey:
    """A key as it is stored: whose it is, and the SHA-256 of its secret in hexadecimal. Times are ISO 8601, UTC."""

    name: str
    hash: str = field(repr=False)
    created: str = ""
    revoked: str | None = None

    @property
    def id(self) -> str:
        """What tells it from others; part of the key, and no secret."""
        return self.hash[:12]


def make_key(name: str) -> tuple[str, ApiKey]:
    """A new key as its holder gets it, and as it is stored. Raises ParameterError for an unfit name."""
    if not _NAME.fullmatch(name):
        raise ParameterError(f"{name!r} cannot be the name of a key: {_NAME_RULE}")
    secret = secrets.token_hex(32)
    stored = ApiKey(name, _digest(secret.encode()), datetime.now(UTC).isoformat(timespec="seconds"))
    return f"cr_{stored.id}_{secret}", stored


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


class Keys:
    """The keys that are in force, from a file, a setting or both. The file is read again when it changes.

    Raises ParameterError when either cannot be read. Later on, a file that is gone takes its keys with it, and one that
    holds mistakes leaves those of before in force, with an error in the log.
    """

    def __init__(self, file: str | Path | None = None, listed: str = "", clock: Callable[[], float] = time.monotonic):
        self.file = Path(file) if file else None
        self._listed = listed_keys(listed)
        self._clock = clock
        self._next_look = clock() + LOOK_AGAIN_SECONDS
        self._said = ""
        self._seen = self._signature()
        if self.file is not None and self._seen is None:
            raise ParameterError(f"{self.file}: there is no such file of keys; `creditrisk keys add NAME` makes it")
        self._take(self._read())

    def __len__(self) -> int:
        """How many are in force."""
        return sum(key is not _NOBODY and key.revoked is None for key, _ in self._by_id.values())

    def caller(self, presented: bytes | None) -> str | None:
        """The name of a key's holder, or None: there is no key, it is unknown, or it is revoked."""
        if self._clock() >= self._next_look:
            self._look_again()
        text = presented if presented is not None and len(presented) == len(_NOTHING) else _NOTHING
        key, expected = self._by_id.get(text[3:15], self._by_id[b""])
        same = hmac.compare_digest(hashlib.sha256(text[16:]).digest(), expected)
        return key.name if same and key.revoked is None and _KEY.fullmatch(text) else None

    def _look_again(self) -> None:
        self._next_look = self._clock() + LOOK_AGAIN_SECONDS
        signature = self._signature()
        if self.file is None or signature == self._seen:
            return
        if signature is None:
            self._seen, self._said = None, ""
            logger.error("the file of API keys %s is gone; none of its keys is accepted any more", self.file)
            self._take([])
            return
        try:
            self._take(self._read())
            self._seen, self._said = signature, ""
        except (ParameterError, OSError) as error:  # tried again at the next look, said once
            if str(error) != self._said:
                logger.error("API keys stay as they were: %s", error)
            self._said = str(error)

    def _signature(self) -> tuple[int, int, int] | None:
        if self.file is None:
            return None
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> list[ApiKey]:
        if self.file is None:
            return []
        warn_of_readers(self.file)
        return read_keys(self.file)

    def _take(self, of_file: Iterable[ApiKey]) -> None:
        keys = [*self._listed, *of_file]
        by_id = {key.id.encode(): (key, bytes.fromhex(key.hash)) for key in keys}
        for key in keys:
            if key.revoked is not None:  # revoked in one place is revoked
                by_id[key.id.encode()] = (key, bytes.fromhex(key.hash))
        self._by_id = by_id | {b"": (_NOBODY, _NOBODY_DIGEST)}


# Compared when there is no such id, so that the work is the same; what it is the hash of, nobody knows.
_NOBODY_DIGEST = secrets.token_bytes(32)
_NOBODY = ApiKey("", "", revoked="always")
_NOTHING = b"-" * 80  # what is hashed when no key came, or one of another length


def keys_from(file: str | Path | None = None, listed: str = "") -> Keys | None:
    """The keys of the settings; None when neither a file nor a list is given: then the API is open.

    Raises ParameterError when they cannot be read.
    """
    return Keys(file, listed) if file or listed.strip() else None


def listed_keys(text: str) -> list[ApiKey]:
    """Keys as a setting says them: `name:hash`, comma-separated. Raises ParameterError, without quoting a hash."""
    keys = []
    for number, item in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        name, _, digest = item.partition(":")
        if not _NAME.fullmatch(name) or not _HASH.fullmatch(digest):
            looks = "; this looks like a key itself, which must not be stored" if "cr_" in item else ""
            raise ParameterError(
                f"API keys, item {number}: write name:hash, the hash as `creditrisk keys add` says it{looks}"
            )
        keys.append(ApiKey(name, digest))
    return keys


def require_keys_or_loopback(host: str, keys: Keys | None) -> str:
    """A sentence on who may call an API that listens on `host`, for the line it starts with.

    Raises ParameterError when everybody on a network could: no keys, and no loopback address.
    """
    if keys is not None:
        if not len(keys):
            return "no API key is in force: nobody may call"
        return f"whoever has one of {len(keys)} API keys may call" if len(keys) > 1 else "one API key may call"
    if not is_loopback(host):
        raise ParameterError(
            f"--host {host or repr('')} would let everybody on the network call without a key; make a key "
            "(creditrisk keys add NAME --file keys.jsonl) and serve with --keys keys.jsonl, or listen on 127.0.0.1"
        )
    return "open to everybody on this computer, since there are no API keys"


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- The file of keys -------------------------------------------------------------------------------------------------


def read_keys(file: Path) -> list[ApiKey]:
    """The keys of a file, one JSON object a line. Raises ParameterError that names file and line, never a hash."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ParameterError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ParameterError(f"{file}: the API keys cannot be read: {error.strerror}") from None
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key = _parse(json.loads(line))
        except (ValueError, RecursionError) as error:
            what = "not a JSON object" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
            raise ParameterError(
                f"{file}, line {number}: {what}; a line is as `creditrisk keys add` writes it"
            ) from None
        if key.id in keys:
            raise ParameterError(f"{file}, line {number}: the key with id {key.id} is there twice")
        keys[key.id] = key
    return list(keys.values())


def _parse(line: Any) -> ApiKey:
    if not isinstance(line, dict):
        raise ValueError("not a JSON object")
    if unknown := set(line) - {"name", "id", "hash", "created", "revoked"}:
        raise ValueError(f"unknown key {min(unknown)[:40]!r} (allowed: name, id, hash, created, revoked)")
    name, digest, revoked = line.get("name"), line.get("hash"), line.get("revoked")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name is missing or unfit: {_NAME_RULE}")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise ValueError("hash is missing, or not the 64 hexadecimal digits of a SHA-256")
    if not isinstance(revoked, str | None) or revoked == "":
        raise ValueError("revoked must be null or a date")
    key = ApiKey(name, digest, str(line.get("created") or ""), revoked)
    if line.get("id", key.id) != key.id:
        raise ValueError("id is not how the hash begins")
    return key


def add_key(file: Path, name: str, another: bool = False) -> tuple[str, ApiKey]:
    """Make a key, store its hash in `file` (made with mode 0600 where it is absent), and return both.

    Raises ParameterError when the name has a key in force, unless `another` one is wanted.
    """
    with _changing(file) as keys:
        if not another and any(key.name == name and key.revoked is None for key in keys):
            raise ParameterError(
                f"{file}: {name} has a key in force; revoke it first, or add another to change keys without a pause"
            )
        key, stored = make_key(name)
        keys.append(stored)
    return key, stored


def revoke_keys(file: Path, name_or_id: str) -> list[ApiKey]:
    """Revoke every key in force of a name, or the one with an id, and return them.

    Raises ParameterError when there is none.
    """
    with _changing(file) as keys:
        found = [n for n, key in enumerate(keys) if name_or_id in (key.name, key.id) and key.revoked is None]
        if not found:
            holders = sorted({key.name for key in keys if key.revoked is None})
            known = f"in force are those of {', '.join(holders)}" if holders else "none is in force at all"
            raise ParameterError(f"{file}: there is no key of {name_or_id[:64]!r} in force; {known}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for n in found:
            keys[n] = replace(keys[n], revoked=now)
    return [keys[n] for n in found]


@contextlib.contextmanager
def _changing(file: Path):
    """The keys of a file, written back on leaving unless something went wrong; one process at a time."""
    file = file.resolve()
    if not file.parent.is_dir():
        raise ParameterError(f"{file.parent}: there is no such folder")
    try:
        with filelock.FileLock(f"{file}.lock", timeout=30):
            keys = read_keys(file) if file.exists() else []
            yield keys
            _write(file, keys)
    except filelock.Timeout:
        raise ParameterError(f"{file}: another process has held its lock for 30 s") from None
    except OSError as error:
        raise ParameterError(f"{file}: the API keys cannot be written: {error.strerror}") from None


def _write(file: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file as a whole: whoever reads it sees the old keys or the new ones."""
    text = "".join(json.dumps({"id": key.id, **asdict(key)}) + "\n" for key in keys)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        if file.exists():
            before = file.stat()
            os.chmod(temporary, before.st_mode & 0o777)
            if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(
                    PermissionError
                ):  # root keeps the file its owner's, so that the service reads it
                    os.chown(temporary, before.st_uid, before.st_gid)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def warn_of_readers(file: Path) -> None:
    """Warn when others than the owner may read or, worse, write the file of keys."""
    if os.name == "posix" and (mode := file.stat().st_mode & 0o777) & 0o077:
        logger.warning("%s has mode %04o: others may read or change the API keys; chmod 600 it", file, mode)


# --- Rate limit -------------------------------------------------------------------------------------------------------


class RateLimit:
    """A token bucket for each caller: `burst` requests at once, `rate` a second in the long run.

    A bucket is one number, the moment when it will be full again. At most `most` of them are kept; beyond, the one that
    was longest unused is forgotten, which at worst gives its caller a fresh burst. Counts in this process only.
    """

    def __init__(
        self, rate: float, burst: int | None = None, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises ParameterError unless `rate` is above 0 and `burst` at least 1 (default: one second's worth)."""
        if not 0 < rate < math.inf:
            raise ParameterError(f"the rate limit must be a number of requests per second above 0, but it is {rate!r}")
        burst = max(1, math.ceil(rate)) if burst is None else burst
        if burst < 1:
            raise ParameterError(f"the burst of the rate limit must be 1 request or more, but it is {burst!r}")
        self._seconds, self._allowed, self._most, self._clock = 1 / rate, (burst - 1) / rate, most, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, who: str) -> float:
        """Seconds until `who` may send a request. 0: now, and this one is counted."""
        now, buckets = self._clock(), self._full_at
        full_at = buckets.get(who, now)
        if full_at < now:
            full_at = now
        ahead = full_at - now - self._allowed
        if ahead > 1e-9:
            return ahead
        buckets[who] = full_at + self._seconds
        buckets.move_to_end(who)
        if len(buckets) > self._most:
            buckets.popitem(last=False)
        return 0.0


# --- In front of the API ----------------------------------------------------------------------------------------------


class Access:
    """ASGI middleware: lets in who may call, and puts SECURITY_HEADERS on every answer.

    Put it outermost, around the whole application. The holder's name is in `scope["state"]["caller"]` (None without
    keys). Without `keys` everybody may call, but only under one of the names `hosts`, where these are given: pages of
    other sites could otherwise reach an open API through the browser of whoever runs it.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys | None = None,
        limit: RateLimit | None = None,
        hosts: Collection[str] | None = None,
    ) -> None:
        self.app, self.keys, self.limit = app, keys, limit
        self.hosts = None if hosts is None or keys is not None else frozenset(name.lower().encode() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            else:  # nothing here speaks websocket
                await send({"type": "websocket.close", "code": 1008})
            return

        def guarded(message: Message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
            return send(message)  # awaited by the caller: a coroutine of our own would cost one more

        host = bearer = key = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"x-api-key":
                key = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                bearer = value[7:].strip()
        if self.hosts is not None and host is not None and _name_of(host) not in self.hosts:
            return await _refuse(guarded, 403, NOT_HERE)
        caller = None
        if scope["path"] != OPEN_PATH:
            if self.keys is not None:
                caller = self.keys.caller(bearer if key is None else key)
                if caller is None:
                    return await _refuse(guarded, 401, NO_KEY, (b"www-authenticate", b"Bearer"))
            if self.limit is not None:
                wait = self.limit.wait(_address(scope) if caller is None else caller)
                if wait:
                    return await _refuse(guarded, 429, TOO_MANY, (b"retry-after", b"%d" % math.ceil(wait)))
        state = scope.get("state")
        if state is None:
            scope["state"] = state = {}
        state["caller"] = caller
        await self.app(scope, receive, guarded)


def _name_of(host: bytes) -> bytes:
    """A Host header without the port."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1].lower()
    return host.partition(b":")[0].lower()


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


async def _refuse(send: Send, status: int, why: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"detail": why}).encode()
    said = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": body})


def described(document: dict[str, Any], keys: bool, limited: bool) -> dict[str, Any]:
    """An OpenAPI document with what `Access` may answer (401, 403, 429) and how a key is sent. Changes it in place."""
    schema = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    if keys:
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        schemes["header"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            if not keys:
                asked_elsewhere = {"description": "Asked by another name than loopback", "content": content}
                operation["responses"]["403"] = asked_elsewhere
            if path == OPEN_PATH:
                continue
            if keys:
                operation["security"] = [{"bearer": []}, {"header": []}]
                operation["responses"]["401"] = {"description": "No key that is in force", "content": content}
            if limited:
                header = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
                operation["responses"]["429"] = {
                    "description": "Too many requests of this caller",
                    "headers": {"Retry-After": header},
                    "content": content,
                }
    return document
