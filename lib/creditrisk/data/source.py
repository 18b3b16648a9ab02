"""Where a training run's tables come from: a folder, a URL, a database, or the embedded book."""

from __future__ import annotations

import pandas as pd

from creditrisk.data.portfolio import Portfolio
from creditrisk.data.sample import SampleBook, make_book
from creditrisk.data.tables import read_tables
from creditrisk.errors import DataError

EMBEDDED = "retail"


def load_tables(
    source: str, book: Portfolio, *, rows: int, seed: int
) -> tuple[dict[str, pd.DataFrame], SampleBook | None]:
    """The delivered tables, and the embedded book they come from when `source` is empty.

    Raises DataError when `source` is empty and the portfolio is not the one the embedded book is for.
    """
    if source:
        return read_tables(source, book), None
    if book.name != EMBEDDED:
        raise DataError(
            f"data is empty, and the embedded book fits the portfolio {EMBEDDED!r} only, not {book.name!r}; "
            f"give the folder that holds {', '.join(f'{name}.parquet' for name in book.tables)} (or .csv)"
        )
    sample = make_book(rows, seed)
    return sample.tables, sample
