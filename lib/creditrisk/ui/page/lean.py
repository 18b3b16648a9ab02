"""What a visitor's kernel can do without: every visitor has one of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_sklearn() -> Iterator[None]:
    """Inside, scikit-learn is not found, where this kernel is a page's and has not loaded it.

    xgboost loads it to be a part of it, which takes 30 MB and half a second; the page only scores.
    """
    hides = "VOILA_PREHEAT" in os.environ and "sklearn" not in sys.modules
    if hides:
        sys.modules["sklearn"] = None
    try:
        yield
    finally:
        if hides:
            del sys.modules["sklearn"]
