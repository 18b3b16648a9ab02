"""The notebooks reproduce their checked outputs, and a wrong library would not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from notebooks import regression


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for the chain, since scoring needs what training made."""
    return tmp_path_factory.mktemp("regression")


@pytest.mark.parametrize("name", regression.SMOKE)
def test_notebook_reproduces_its_checked_outputs(name: str, folder: Path) -> None:
    regression.prepare(name, folder)
    copy = regression.smoke_copy(name, folder, regression.read_expected(name))
    done = regression.run_nbval(copy, regression.environment(folder))
    assert done.returncode == 0, done.stdout[-6000:]


def test_every_notebook_checks_at_least_one_cell() -> None:
    folders = ("notebooks", "dashboards")
    notebooks = {path.stem for folder in folders for path in (regression.ROOT / folder).glob("*.ipynb")}
    assert notebooks == set(regression.SMOKE), "a notebook without a regression"
    for name in notebooks:
        expected = regression.read_expected(name)
        assert regression.checked_cells(name), f"{name} checks nothing"
        assert list(expected) == regression.checked_cells(name), f"{name}: run `make expected`"
        assert all(text.strip() for text in expected.values()), f"{name} expects an empty output"


MUTATIONS = {
    "the sign of WOE": (
        "binning/bins.py",
        "return np.log(goods / all_goods + added) - np.log(bads / all_bads + added)",
        "return np.log(bads / all_bads + added) - np.log(goods / all_goods + added)",
    ),
    "two features swapped": (
        "data/features.py",
        "return _quotient(loan_amount, income)",
        "return _quotient(income, loan_amount)",
    ),
    "two derived columns swapped": (
        "data/portfolios/retail.toml",
        'derive = { function = "delinquency_ratio" }',
        'derive = { function = "avg_dpd_per_delinquency" }',
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_library_fails_the_regression(mutation: str, tmp_path: Path) -> None:
    file, before, after = MUTATIONS[mutation]
    library = tmp_path / "lib"
    shutil.copytree(regression.ROOT / "lib" / "creditrisk", library / "creditrisk")
    source = library / "creditrisk" / file
    assert before in source.read_text()
    source.write_text(source.read_text().replace(before, after))
    copy = regression.smoke_copy("train", tmp_path, regression.read_expected("train"))
    done = regression.run_nbval(copy, regression.environment(tmp_path, library))
    assert done.returncode == 1, f"the regression did not notice: {mutation}\n{done.stdout[-3000:]}"
