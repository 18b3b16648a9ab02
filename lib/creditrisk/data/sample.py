"""The embedded book: three synthetic tables of a retail lender, with the true PD of every loan.

The rules are a synthetic rule set that reproduces the figures of a public 50,000-loan teaching book (bad
rate, quantiles of income and loan, dirty values, coefficients of risk). No row of that book is used:
everything is drawn here. Since the truth is known, a model can be held against the best any model could do,
the oracle AUC.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from creditrisk.errors import ParameterError

BAD_RATE = 0.086
"""Mean true PD that every draw is centred on."""

PLACES = (  # city, state, zipcode
    ("Ahmedabad", "Gujarat", 380001),
    ("Bengaluru", "Karnataka", 560001),
    ("Chennai", "Tamil Nadu", 600001),
    ("Delhi", "Delhi", 110001),
    ("Hyderabad", "Telangana", 500001),
    ("Jaipur", "Rajasthan", 302001),
    ("Kolkata", "West Bengal", 700001),
    ("Lucknow", "Uttar Pradesh", 226001),
    ("Mumbai", "Maharashtra", 400001),
    ("Pune", "Maharashtra", 411001),
)

AGE_BANDS = (25, 35, 45, 55, 65)  # last age of every band but the oldest
MARRIED_SHARE = np.array([0.20, 0.40, 0.60, 0.70, 0.80, 0.90])
SALARIED_SHARE = np.array([0.35, 0.55, 0.38, 0.15, 0.10, 0.05])
DEPENDANTS = np.array([[0.607, 0.295, 0.098, 0, 0, 0], [0, 0, 0.255, 0.443, 0.218, 0.083]])  # single, married

RESIDENCE = ("Owned", "Mortgage", "Rented")
RESIDENCE_AGES = (29, 49)
RESIDENCE_SHARE = np.array([[0.70, 0.00, 0.30], [0.50, 0.30, 0.20], [0.70, 0.20, 0.10]])

INCOME_EDGES = np.array([0.1e6, 1e6, 2.5e6, 4e6, 12e6])
INCOME_SHARE = np.array(  # rows: salaried women, salaried men, self-employed women, self-employed men
    [[0.55, 0.20, 0.10, 0.15], [0.35, 0.40, 0.15, 0.10], [0.35, 0.25, 0.30, 0.10], [0.20, 0.32, 0.27, 0.21]]
)

PURPOSE = ("Personal", "Home", "Auto", "Education")
PURPOSE_SHARE = np.array([0.35, 0.30, 0.20, 0.15])
PURPOSE_SHARE_LATE = np.array([0.50, 0.18, 0.20, 0.12])  # where a drifting book ends
PURPOSE_MULTIPLE = np.array([10, 40, 15, 20]) / 12  # sanction in years of income
PURPOSE_CAP = np.array([5e6, np.inf, 10e6, 20e6])
PURPOSE_TENURE = np.array([[6, 24], [24, 49], [12, 36], [12, 60]])  # months, half open
PURPOSE_RISK = np.array([0.0, -4.172, -1.662, -0.743])
RESIDENCE_RISK = np.array([0.0, 1.643, 3.294])

UTILIZATION_EDGES = np.array([[0, 30], [30, 60], [60, 90], [90, 100]])  # percent, half open
UTILIZATION_SHARE = np.array([0.4, 0.3, 0.2, 0.1])
UTILIZATION_SHARE_LATE = np.array([0.32, 0.30, 0.24, 0.14])

CYCLE_YEARS, CYCLE_HEIGHT = 4.0, 1.5  # a drifting book's wave of risk: its length, and its height in log-odds

# Rows with dirty values per 50,000, as counted in the public book.
DIRTY_PER_50_000 = {"residence_type": 62, "loan_purpose": 22, "income": 8, "processing_fee": 7}


@dataclass(frozen=True, eq=False)
class SampleBook:
    """Three joinable tables and the truth behind them.

    `true_pd` has one float64 per row of `loans`, in their order; `oracle_auc` is the AUC of `true_pd` against
    the drawn `default`, the ceiling for any model (NaN in a tiny book without goods or bads).
    """

    customers: pd.DataFrame
    loans: pd.DataFrame
    bureau_data: pd.DataFrame
    true_pd: np.ndarray
    oracle_auc: float
    bad_rate: float

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The three tables by the names of their files."""
        return {"customers": self.customers, "loans": self.loans, "bureau_data": self.bureau_data}

    @property
    def summary(self) -> str:
        """One line to print wherever a book is made."""
        return f"{len(self.loans):,} loans, bad rate {self.bad_rate:.2%}, oracle AUC {self.oracle_auc:.4f}"


def make_book(
    rows: int = 50_000,
    seed: int = 42,
    *,
    start: str = "2019-01-01",
    dirty: bool = True,
    drift: bool = False,
) -> SampleBook:
    """Draw a book of `rows` loans, one per customer, disbursed evenly over the five years from `start`.

    Money is in whole rupees, ratios in percent. `dirty` adds the wrong values that a real extract has;
    `drift` moves the mix towards personal loans and drawn credit lines and lets the bad rate rise and fall
    with a cycle. Either way the mean true PD is 8.6%. The same arguments give the same book.

    Raises ParameterError when `rows` is below 100 or `start` is not a date.
    """
    if rows < 100:
        raise ParameterError(f"rows={rows}: the sample book needs at least 100 rows")
    rng = np.random.default_rng(seed)
    disbursed, elapsed = _disbursal_dates(start, rows)
    customers, loans, bureau = _draw(rng, rows, elapsed if drift else np.zeros(rows))
    loans["disbursal_date"] = disbursed
    loans["installment_start_dt"] = disbursed + rng.integers(1, 31, rows).astype("timedelta64[D]")
    log_odds = _log_odds(_applications(customers, loans, bureau))
    if drift:
        log_odds += CYCLE_HEIGHT * np.sin(2 * np.pi * elapsed * 5 / CYCLE_YEARS)

    spoiled = _spoiled_rows(rng, loans["loan_purpose"].to_numpy() == "Personal") if dirty else {}
    never = np.zeros(rows, dtype=bool)  # rows with income 0 never default
    never[spoiled.get("income", [])] = True
    true_pd = np.where(never, 0.0, _centred(log_odds, BAD_RATE * rows, ~never))
    loans["default"] = (rng.random(rows) < true_pd).astype(np.int64)
    if dirty:
        _spoil(rng, customers, loans, spoiled)

    default = loans["default"].to_numpy()
    return SampleBook(customers, loans, bureau, true_pd, _auc(true_pd, default), float(default.mean()))


def write_book(
    folder: str | Path, rows: int = 50_000, seed: int = 42, format: str = "parquet", **options
) -> SampleBook:
    """Make a book and write customers, loans and bureau_data into `folder` as .parquet or .csv files.

    `options` are those of `make_book`. The truth is returned, not written: a lender has no true PD either.
    Raises ParameterError for another format.
    """
    if format not in ("parquet", "csv"):
        raise ParameterError(f"format={format!r}: the sample book is written as 'parquet' or 'csv'")
    book = make_book(rows, seed, **options)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in book.tables.items():
        path = folder / f"{name}.{format}"
        if format == "csv":
            table.to_csv(path, index=False, date_format="%Y-%m-%d")
        else:
            table.to_parquet(path, index=False)
    return book


def make_applications(rows: int = 1_000, seed: int = 7) -> pd.DataFrame:
    """Applications as clients send them: the book's own rules, clean, with the ratios already formed.

    `delinquency_ratio` and `credit_utilization_ratio` are percentages 0..100, `avg_dpd_per_delinquency` is
    in days and 0 without delinquent months. Raises ParameterError when `rows` is below 1.
    """
    if rows < 1:
        raise ParameterError(f"rows={rows}: ask for at least 1 application")
    applications = draw_applications(np.random.default_rng(seed), rows)
    applications.insert(0, "application_id", _ids("A", rows, 6))
    return applications


def draw_applications(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """The columns of `make_applications` without its ids, drawn with a generator of one's own."""
    return _applications(*_draw(rng, rows, np.zeros(rows)))


def true_pds(applications: pd.DataFrame) -> np.ndarray:
    """True PDs, float64 (n,), of complete applications (columns as of `make_applications`).

    The rules are those of the book, and their level is that of its default draw: applicants who are riskier than its
    borrowers have a higher mean PD than BAD_RATE.
    """
    return expit(_log_odds(applications) + _level())


@cache
def _level() -> float:
    """The constant of the log-odds at which a clean draw of 50,000 loans has the promised bad rate."""
    log_odds = _log_odds(draw_applications(np.random.default_rng(42), 50_000))
    return _constant(log_odds, BAD_RATE * len(log_odds), np.ones(len(log_odds), dtype=bool))


def _applications(customers: pd.DataFrame, loans: pd.DataFrame, bureau: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": customers["age"],
            "income": customers["income"],
            "loan_amount": loans["loan_amount"],
            "loan_tenure_months": loans["loan_tenure_months"],
            "avg_dpd_per_delinquency": _average_dpd(bureau),
            "delinquency_ratio": _delinquency_ratio(bureau),
            "credit_utilization_ratio": bureau["credit_utilization_ratio"],
            "num_open_accounts": bureau["number_of_open_accounts"],
            "residence_type": customers["residence_type"],
            "loan_purpose": loans["loan_purpose"],
            "loan_type": loans["loan_type"],
            "enquiry_count": bureau["enquiry_count"],
        }
    )


def _draw(rng: np.random.Generator, rows: int, drifted: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Three clean tables without dates and outcome. `drifted` (0..1 per row) is how far the mix has moved."""
    customers = _draw_customers(rng, rows)
    bureau = _draw_bureau(rng, customers["cust_id"], drifted)
    return customers, _draw_loans(rng, customers, bureau, drifted), bureau


def _draw_customers(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    age = np.clip(np.floor(rng.normal(40, 10, rows)), 18, 70).astype(np.int64)
    band = np.searchsorted(AGE_BANDS, age)
    man = rng.random(rows) < 0.6
    married = rng.random(rows) < MARRIED_SHARE[band]
    salaried = rng.random(rows) < SALARIED_SHARE[band]
    income_band = _pick(rng, INCOME_SHARE[np.where(salaried, 0, 2) + man])
    income = rng.uniform(INCOME_EDGES[income_band], INCOME_EDGES[income_band + 1])
    city, state, zipcode = (np.array(column) for column in zip(*PLACES, strict=True))
    place = rng.integers(0, len(PLACES), rows)
    return pd.DataFrame(
        {
            "cust_id": _ids("C", rows),
            "age": age,
            "gender": np.where(man, "M", "F"),
            "marital_status": np.where(married, "Married", "Single"),
            "employment_status": np.where(salaried, "Salaried", "Self-Employed"),
            "income": _thousands(income),
            "number_of_dependants": _pick(rng, DEPENDANTS[married.astype(int)]),
            "residence_type": np.array(RESIDENCE)[_pick(rng, RESIDENCE_SHARE[np.searchsorted(RESIDENCE_AGES, age)])],
            "years_at_current_address": rng.integers(1, 32, rows),
            "city": city[place],
            "state": state[place],
            "zipcode": zipcode[place],
        }
    )


def _draw_bureau(rng: np.random.Generator, cust_id: pd.Series, drifted: np.ndarray) -> pd.DataFrame:
    rows = len(cust_id)
    open_accounts = rng.integers(1, 5, rows)
    months = _sum_of_draws(rng, open_accounts, 4, 60)
    habit = _pick(rng, np.tile([0.4, 0.5, 0.1], (rows, 1)))
    delinquent = rng.integers(np.array([0, 1, 13])[habit], np.array([1, 13, 25])[habit])
    delinquent = np.where(delinquent > months, rng.integers(1, months + 1), delinquent)
    used = _pick(rng, _mix(UTILIZATION_SHARE, UTILIZATION_SHARE_LATE, drifted))
    return pd.DataFrame(
        {
            "cust_id": cust_id,
            "number_of_open_accounts": open_accounts,
            "number_of_closed_accounts": rng.integers(0, 3, rows),
            "total_loan_months": months,
            "delinquent_months": delinquent,
            "total_dpd": _sum_of_draws(rng, delinquent, 24, 10),
            "enquiry_count": open_accounts + rng.integers(0, 6, rows),
            "credit_utilization_ratio": rng.integers(*UTILIZATION_EDGES[used].T),
        }
    )


def _draw_loans(
    rng: np.random.Generator, customers: pd.DataFrame, bureau: pd.DataFrame, drifted: np.ndarray
) -> pd.DataFrame:
    rows = len(customers)
    age, income = customers["age"].to_numpy(), customers["income"].to_numpy()
    purpose = _pick(rng, _mix(PURPOSE_SHARE, PURPOSE_SHARE_LATE, drifted))
    allowed = income * PURPOSE_MULTIPLE[purpose] * (1.5 - 0.012 * np.minimum(age, 55))
    sanction = _thousands(np.minimum(allowed * rng.uniform(0.9, 1.1, rows), PURPOSE_CAP[purpose]))
    loan = _thousands(sanction * rng.uniform(0.7, 1, rows))
    owed_per_income = (
        0.272
        + 0.0058 * age
        + 0.026 * bureau["number_of_open_accounts"].to_numpy()
        + 0.016 * bureau["number_of_closed_accounts"].to_numpy()
        + rng.normal(0, 0.066, rows)
    )
    principal = np.minimum(np.minimum(0.72 * loan, income * owed_per_income), 5e6)
    balance = income * np.clip(rng.normal(0.374, 0.092, rows), 0.14, 0.75)
    return pd.DataFrame(
        {
            "loan_id": _ids("L", rows),
            "cust_id": customers["cust_id"],
            "loan_purpose": np.array(PURPOSE)[purpose],
            "loan_type": np.where(purpose == 0, "Unsecured", "Secured"),
            "sanction_amount": sanction,
            "loan_amount": loan,
            "processing_fee": loan // 50,  # 2%, 18% and 80% of whole thousands are whole
            "gst": loan * 9 // 50,
            "net_disbursement": loan * 4 // 5,
            "loan_tenure_months": rng.integers(*PURPOSE_TENURE[purpose].T),
            "principal_outstanding": np.rint(principal).astype(np.int64),
            "bank_balance_at_application": np.rint(balance).astype(np.int64),
        }
    )


def _log_odds(applications: pd.DataFrame) -> np.ndarray:
    """Log-odds of default up to the constant: the coefficients of the public book, fitted to clean rows."""
    used = applications["credit_utilization_ratio"].to_numpy()
    open_accounts = applications["num_open_accounts"].to_numpy()
    # Enquiries work through utilization only, so their own IV is near zero: a model has to look for pairs.
    enquiries = 0.3 * (applications["enquiry_count"].to_numpy() - open_accounts - 2.5) * (used - 45) / 30
    return (
        0.1483 * used
        + 0.1093 * applications["delinquency_ratio"].to_numpy()
        + 3.359 * applications["loan_amount"].to_numpy() / applications["income"].to_numpy()
        + 0.215 * applications["avg_dpd_per_delinquency"].to_numpy()
        + 0.259 * open_accounts
        + 0.008 * applications["loan_tenure_months"].to_numpy()
        + 0.002 * applications["age"].to_numpy()
        + RESIDENCE_RISK[pd.Categorical(applications["residence_type"], RESIDENCE).codes]
        + PURPOSE_RISK[pd.Categorical(applications["loan_purpose"], PURPOSE).codes]
        + enquiries
    )


def _centred(log_odds: np.ndarray, bads: float, counted: np.ndarray) -> np.ndarray:
    """PDs whose sum over the `counted` rows is `bads`."""
    return expit(log_odds + _constant(log_odds, bads, counted))


def _constant(log_odds: np.ndarray, bads: float, counted: np.ndarray) -> float:
    """The constant of the log-odds at which the PDs of the `counted` rows add up to `bads`, by bisection."""
    low, high = -log_odds.max() - 20, -log_odds.min() + 20
    for _ in range(60):
        middle = (low + high) / 2
        if expit(log_odds[counted] + middle).sum() < bads:
            low = middle
        else:
            high = middle
    return middle


def _spoiled_rows(rng: np.random.Generator, personal: np.ndarray) -> dict[str, np.ndarray]:
    """Row numbers per kind of dirty value; no row has two. Only personal loans get misspelt."""
    rows = len(personal)
    counts = {
        kind: max(round(count * rows / 50_000), 1 if rows >= 1_000 else 0) for kind, count in DIRTY_PER_50_000.items()
    }
    order = rng.permutation(rows)
    misspelt = order[personal[order]][: counts.pop("loan_purpose")]
    rest = order[~np.isin(order, misspelt)]
    parts = np.split(rest, np.cumsum(list(counts.values())))[:-1]
    return {"loan_purpose": misspelt, **dict(zip(counts, parts, strict=True))}


def _spoil(
    rng: np.random.Generator, customers: pd.DataFrame, loans: pd.DataFrame, spoiled: dict[str, np.ndarray]
) -> None:
    """Put the dirty values into two fresh tables, in place."""
    amounts = [
        "sanction_amount",
        "loan_amount",
        "processing_fee",
        "gst",
        "net_disbursement",
        "bank_balance_at_application",
    ]
    customers.loc[spoiled["residence_type"], "residence_type"] = None
    loans.loc[spoiled["loan_purpose"], "loan_purpose"] = "Personaal"
    customers.loc[spoiled["income"], "income"] = 0
    loans.loc[spoiled["income"], amounts] = 0
    loans.loc[spoiled["income"], "principal_outstanding"] = -1
    dear = spoiled["processing_fee"]
    fee = loans.loc[dear, "loan_amount"].to_numpy() * rng.uniform(1.07, 1.49, len(dear))
    loans.loc[dear, "processing_fee"] = np.rint(fee).astype(np.int64)


def _disbursal_dates(start: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Dates (datetime64[s], ascending) spread evenly over five years, and the part 0..1 of it gone by."""
    first = pd.to_datetime(start, errors="coerce")
    if pd.isna(first):
        raise ParameterError(f"start={start!r} is not a date; write it as YYYY-MM-DD")
    first = first.normalize()
    days = (first + pd.DateOffset(years=5) - first).days
    day = np.arange(rows) * days // rows
    return np.datetime64(first, "s") + day.astype("timedelta64[D]"), day / days


def _pick(rng: np.random.Generator, share: np.ndarray) -> np.ndarray:
    """One column number per row of `share` (rows, levels), drawn in proportion; shares need not sum to 1."""
    ladder = np.cumsum(share, axis=1)
    return (rng.random(len(share))[:, None] * ladder[:, -1:] >= ladder[:, :-1]).sum(axis=1)


def _mix(early: np.ndarray, late: np.ndarray, drifted: np.ndarray) -> np.ndarray:
    """Shares (rows, levels) that lie `drifted` of the way from `early` to `late`."""
    return early + drifted[:, None] * (late - early)


def _sum_of_draws(rng: np.random.Generator, count: np.ndarray, most: int, top: int) -> np.ndarray:
    """Per row, the sum of `count` (at most `most`) independent draws from 1..top."""
    draws = rng.integers(1, top + 1, (len(count), most))
    return np.where(np.arange(most) < count[:, None], draws, 0).sum(axis=1)


def _average_dpd(bureau: pd.DataFrame) -> np.ndarray:
    delinquent = bureau["delinquent_months"].to_numpy()
    return bureau["total_dpd"].to_numpy() / np.maximum(delinquent, 1)  # total_dpd is 0 where delinquent is 0


def _delinquency_ratio(bureau: pd.DataFrame) -> np.ndarray:
    return 100 * bureau["delinquent_months"].to_numpy() / bureau["total_loan_months"].to_numpy()


def _thousands(amount: np.ndarray) -> np.ndarray:
    return np.rint(amount / 1_000).astype(np.int64) * 1_000


def _ids(letter: str, rows: int, width: int = 5) -> np.ndarray:
    return np.char.mod(f"{letter}%0{max(width, len(str(rows)))}d", np.arange(1, rows + 1))


def _auc(score: np.ndarray, bad: np.ndarray) -> float:
    """Exact AUC (Mann-Whitney): a tie of a good and a bad counts one half."""
    bads = int(bad.sum())
    goods = len(bad) - bads
    if not bads or not goods:
        return float("nan")
    from scipy.stats import rankdata  # half a second to import

    rank_sum = rankdata(score)[bad == 1].sum()
    return float((rank_sum - bads * (bads + 1) / 2) / (bads * goods))
