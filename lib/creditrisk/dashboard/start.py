"""Start the page's server in this process, with its settings in the environment and its secrets out of it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from creditrisk.dashboard.access import Access
from creditrisk.settings import settings

NOTEBOOK = "risk.ipynb"
SECRETS = ("CREDITRISK_DASHBOARD_TOKEN", "CREDITRISK_DASHBOARD_PASSWORD", "JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE")
"""What no kernel needs to know."""


@dataclass(frozen=True)
class Options:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = 8866
    access: Access = field(default_factory=Access)
    base_url: str = "/"
    pool: int = 1
    cull_after: float = 900.0
    behind_proxy: bool = False
    checks_host: bool = True
    """Whether only this computer's own names are answered: what keeps other sites out of a page without a token."""


def base_url(text: str) -> str:
    """A path that begins and ends with a slash."""
    inner = text.strip("/")
    return f"/{inner}/" if inner else "/"


def prepare_environment(environment: MutableMapping[str, str], folder: Path) -> None:
    """Tell the kernels where everything is, and nothing of the secrets."""
    environment.update(settings().environment())
    search = [str(folder / "share" / "jupyter"), environment.get("JUPYTER_PATH", "")]
    environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, search))
    for name in SECRETS:
        environment.pop(name, None)


def serve_page(folder: Path, options: Options, start_line: str) -> None:
    """Serve the page of a folder until the process is told to end; prints the start line once it listens."""
    prepare_environment(os.environ, folder)
    os.chdir(folder)
    from creditrisk.dashboard.server import PageServer  # Voila looks for its templates when it is imported

    PageServer.serve(options, start_line)
