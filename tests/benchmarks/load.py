"""Load for an HTTP service: so many connections, each sending its next request when the last one is answered.

For your own measurements: `python tests/benchmarks/load.py http://127.0.0.1:8000/predict --connections 8 --seconds 10`
sends the example application of the service's own description. With --key FILE the first word of the file is sent as
API key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Measured:
    """What a load gave: requests per second, and milliseconds from request to answer."""

    per_second: float
    median: float
    p99: float
    worst: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} requests/s, median {self.median:.2f} ms, p99 {self.p99:.2f} ms"


class Connection(asyncio.Protocol):
    """One keep-alive connection. Anything but 200 ends the load."""

    def __init__(self, request: bytes, seconds: list[float], failed: asyncio.Future) -> None:
        self._request, self._seconds, self._failed = request, seconds, failed
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._answer[:end].lower()
        _, _, rest = head.partition(b"content-length:")
        if len(self._answer) < end + 4 + int(rest.split(b"\r\n", 1)[0]):
            return
        if not head.startswith(b"http/1.1 200"):
            self.stop(RuntimeError(self._answer[:300].decode(errors="replace")))
            return
        self._answer = b""
        self._seconds.append(time.perf_counter() - self._sent)
        if not self._failed.done():
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self.stop(error or ConnectionError("the service closed a connection"))

    def stop(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)


async def _load(host: str, port: int, request: bytes, connections: int, seconds: float) -> Measured:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    failed = loop.create_future()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(request, times, failed), host, port)
    await asyncio.wait([failed], timeout=min(1.0, seconds / 4))  # warm
    times.clear()
    start = time.perf_counter()
    await asyncio.wait([failed], timeout=seconds)
    taken, measured = time.perf_counter() - start, sorted(times)
    if failed.done():
        failed.result()
    failed.set_result(None)
    await asyncio.sleep(0.1)
    milliseconds = [measured[min(int(len(measured) * share), len(measured) - 1)] * 1e3 for share in (0.5, 0.99, 1.0)]
    return Measured(len(measured) / taken, *milliseconds)


def load(url: str, body: bytes | None = None, *, connections: int = 8, seconds: float = 4, key: str = "") -> Measured:
    """Ask `url` (GET without a body, else POST of JSON) from so many connections. Raises what ended the load early."""
    place = urlsplit(url)
    path = (place.path or "/") + (f"?{place.query}" if place.query else "")
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {place.netloc}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + (body or b"")
    import uvloop

    return uvloop.run(_load(place.hostname, place.port or 80, request, connections, seconds))


def example_of(url: str, key: str = "") -> bytes:
    """The example application of the service's own description."""
    place = urlsplit(url)
    request = urllib.request.Request(f"{place.scheme}://{place.netloc}/openapi.json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        described = json.load(answer)
    asked = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    return json.dumps(asked["example"]).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--key", metavar="FILE", default="")
    asked = parser.parse_args()
    key = Path(asked.key).read_text().split()[0] if asked.key else ""
    body = example_of(asked.url, key) if urlsplit(asked.url).path == "/predict" else None
    print(load(asked.url, body, connections=asked.connections, seconds=asked.seconds, key=key))


if __name__ == "__main__":
    sys.exit(main())
