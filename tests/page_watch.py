"""Watching what a browser's page complains of, and keeping it from every other host."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Watch:
    """What pages logged as errors, asked other hosts for, and did not get."""

    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def over(self, page, address: str) -> None:
        """Watch a page, and abort what it asks of any other host than that of `address`."""
        host = urlsplit(address).netloc

        def only_here(route) -> None:
            if urlsplit(route.request.url).netloc == host:
                route.continue_()
            else:
                self.elsewhere.append(route.request.url)
                route.abort()

        page.route(lambda url: not url.startswith(("data:", "blob:")), only_here)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.failed.append(f"{request.url}: {request.failure}"))
        page.on("response", lambda answer: self.failed.append(answer.url) if answer.status >= 400 else None)
