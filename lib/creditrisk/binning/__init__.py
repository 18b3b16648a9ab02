"""Weight-of-evidence binning: exact, fast, editable, portable.

`WOETransformer` bins the columns of a frame, `fit_bins` one variable; both give `Bins`, which are plain data.
"""

from importlib import import_module

_HOMES = {
    "Bins": "bins",
    "BinningError": "bins",
    "BinningWarning": "fit",
    "Counts": "counts",
    "Limits": "search",
    "Override": "overrides",
    "Overrides": "overrides",
    "WOETransformer": "woe",
    "bins_at": "fit",
    "bins_sql": "sql",
    "fit_bins": "fit",
    "from_counts": "fit",
    "hold_order": "evidence",
    "partial_counts": "counts",
    "pre_bin_edges": "counts",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """Names are imported when they are asked for: whoever only applies bins need not wait for scikit-learn."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
