"""Paths that a request may not have."""

from __future__ import annotations

from urllib.parse import unquote


def is_detour(path: str) -> bool:
    """Whether a path, however often it was encoded, leads upwards or holds what no path of the page holds."""
    for _ in range(4):
        if ".." in path.replace("\\", "/").split("/") or any(ord(sign) < 32 for sign in path):
            return True
        path, before = unquote(path), path
        if path == before:
            return False
    return True
