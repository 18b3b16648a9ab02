"""A portfolio file with a mistake says file, line, key, what is wrong and what is allowed."""

from __future__ import annotations

import random
import re

import pytest

from creditrisk.data.portfolio import BUILT_IN, built_in_portfolios, load_portfolio, parse_portfolio
from creditrisk.errors import PortfolioError

RETAIL = (BUILT_IN / "retail.toml").read_text(encoding="utf-8")

ONE_TABLE = """
name = "tiny"
title = "Tiny"
base = "book"
[target]
column = "paid"
good = ["yes"]
bad = ["no"]
definition = "not paid back"
[tables.book]
[columns.paid]
kind = "category"
role = "target"
table = "book"
levels = ["yes", "no"]
[columns.income]
kind = "number"
role = "input"
table = "book"
[scale]
ratings = [{ name = "Any" }]
"""


def place(text: str, section: str, key: str = "") -> int:
    """The line (from 1) of a key in a section, or of the (first) section's header."""
    lines = text.splitlines()
    headers = (f"[{section}]", f"[[{section}]]")
    start = next(i for i, line in enumerate(lines) if line.split("#")[0].strip() in headers) if section else 0
    if not key:
        return start + 1
    return next(i for i in range(start, len(lines)) if re.match(rf"{re.escape(key)}\s*=", lines[i])) + 1


def changed(section: str, old: str, new: str, text: str = RETAIL) -> str:
    """The text with one line of a section replaced; an empty `old` puts a line below the header."""
    lines = text.splitlines()
    at = place(text, section) - 1 if section else 0
    if old:
        at = next(i for i in range(at, len(lines)) if lines[i].split("#")[0].strip() == old)
        lines[at : at + 1] = [new] if new else []
    else:
        lines.insert(at + 1, new)
    return "\n".join(lines) + "\n"


def complaints(text: str) -> list[str]:
    with pytest.raises(PortfolioError) as caught:
        parse_portfolio(text, "book.toml")
    return str(caught.value).splitlines()


RATIO = 'derive = { function = "delinquency_ratio" }'
LTI = 'derive = { function = "loan_to_income" }'
RULE = 'check = "processing_fee <= 0.03 * loan_amount"'


def ratio_of(months: str) -> str:
    return f'derive = {{ function = "delinquency_ratio", args = {{ delinquent_months = "{months}" }} }}'


def loan_to_income_of(**columns: str) -> str:
    ((argument, column),) = columns.items()
    return f'derive = {{ function = "loan_to_income", args = {{ {argument} = "{column}" }} }}'


# Section, line as it is, line as it is wrongly written, key path said, key whose line is said ("" the header, "=" the
# changed line, key@section one elsewhere), parts of the message.
MISTAKES = [
    # Names of keys, tables, columns, functions
    ("columns.age", "min = 18", "mim = 18", "columns.age.mim", "mim",
     ["unknown key 'mim'", "did you mean 'min'?", "allowed: kind, role, table"]),
    ("", "max_reject_share = 0.05", "max_rejects = 0.05", "max_rejects", "max_rejects",
     ["unknown key", "did you mean 'max_reject_share'?"]),
    ("target", "performance_months = 12", "performance_month = 12", "target.performance_month", "performance_month",
     ["did you mean 'performance_months'?"]),
    ("tables.customers", 'key = "cust_id"', 'keys = "cust_id"', "tables.customers.keys", "keys",
     ["did you mean 'key'?", "allowed: key, join, unmatched, query"]),
    ("columns.avg_dpd_per_delinquency", 'derive = { function = "avg_dpd_per_delinquency", zero_denominator = 0 }',
     'derive = { function = "avg_dpd_per_delinquency", zero_denom = 0 }',
     "columns.avg_dpd_per_delinquency.derive.zero_denom", "derive",
     ["unknown key", "allowed: function, args, zero_denominator, scale"]),
    ("columns.avg_dpd_per_delinquency", 'derive = { function = "avg_dpd_per_delinquency", zero_denominator = 0 }',
     'derive = { function = "months_behind", zero_denominator = 0, args = { month_1 = "total_dpd", '
     'month_2 = "total_dpd", month_3 = "total_dpd", month_4 = "total_dpd", month_5 = "total_dpd", '
     'month_6 = "total_dpd" } }', "columns.avg_dpd_per_delinquency.derive.zero_denominator", "derive",
     ["is for quotients; months_behind divides by nothing"]),
    ("restricted.age", "no_worse_from = 62", "no_worse = 62", "restricted.age.no_worse", "no_worse",
     ["did you mean 'no_worse_from'?"]),
    ("points", "pdo = 20", "pod = 20", "points.pod", "pod", ["did you mean 'pdo'?"]),
    ("", "", 'source = "elsewhere"', "source", "source", ["unknown key 'source'"]),
    ("", "", 'text = "elsewhere"', "text", "text", ["unknown key 'text'"]),
    ("columns.age", 'table = "customers"', 'table = "customer"', "columns.age.table", "table",
     ["there is no table 'customer'", "did you mean 'customers'?"]),
    ("columns.age", 'table = "customers"', 'table = "xyz"', "columns.age.table", "table",
     ["there is no table 'xyz'", "known are loans, customers, bureau_data"]),
    ("", 'base = "loans"', 'base = "loan"', "base", "base", ["there is no table 'loan'", "did you mean 'loans'?"]),
    ("columns.delinquency_ratio", RATIO, 'derive = { function = "delinquency_ration" }',
     "columns.delinquency_ratio.derive.function", "derive",
     ["there is no feature function 'delinquency_ration'", "did you mean 'delinquency_ratio'?"]),
    ("columns.loan_to_income", LTI, loan_to_income_of(incom="income"), "columns.loan_to_income.derive.args", "derive",
     ["no argument of loan_to_income 'incom'", "did you mean 'income'?"]),
    ("columns.loan_to_income", LTI, loan_to_income_of(income="incomes"), "columns.loan_to_income.derive", "derive",
     ["there is no column 'incomes'", "did you mean 'income'?"]),
    ("target", 'observation_date = "disbursal_date"', 'observation_date = "disbursal"', "target.observation_date",
     "observation_date", ["there is no column 'disbursal'", "'disbursal_date'"]),
    ("target", 'column = "default"', 'column = "defaults"', "target.column", "column",
     ["there is no column 'defaults'"]),
    ("columns.marital_status", "[restricted.gender]", "[restricted.sex]", "restricted.sex", "=",
     ["there is no column 'sex'"]),
    # Kinds of values
    ("columns.age", 'kind = "integer"', 'kind = "numeric"', "columns.age.kind", "kind",
     ["must be 'number', 'integer', 'category', 'date' or 'text'", "but it is 'numeric'"]),
    ("columns.age", "min = 18", 'min = "18"', "columns.age.min", "min", ["must be a number, but it is '18'"]),
    ("columns.age", "min = 18", "min = true", "columns.age.min", "min", ["must be a number, but it is True"]),
    ("columns.age", "min = 18", "min = nan", "columns.age.min", "min", ["must be a finite number"]),
    ("columns.age", "max = 100", "max = inf", "columns.age.max", "max", ["must be a finite number"]),
    ("columns.delinquency_ratio", "nullable = true", 'nullable = "yes"', "columns.delinquency_ratio.nullable",
     "nullable", ["must be true or false, but it is 'yes'"]),
    ("columns.delinquency_ratio", "nullable = true", "nullable = 1", "columns.delinquency_ratio.nullable", "nullable",
     ["must be true or false, but it is 1"]),
    ("columns.residence_type", 'levels = ["Owned", "Rented", "Mortgage"]', 'levels = "Owned"',
     "columns.residence_type.levels", "levels", ["must be a list, but it is 'Owned'"]),
    ("columns.loan_type", 'levels = ["Secured", "Unsecured"]', 'levels = ["Unsecured", 3]',
     "columns.loan_type.levels.1", "levels", ["must be text, but it is 3"]),
    ("columns.age", 'label = "Age"', "label = 5", "columns.age.label", "label", ["must be text, but it is 5"]),
    ("columns.age", "default = 38", "default = [38]", "columns.age.default", "default",
     ["must be a number or text, but it is [38]"]),
    ("target", "good = [0]", "good = [0.5]", "target.good.0", "good",
     ["must be a whole number or text, but it is 0.5"]),
    ("target", "days_past_due = 90", "days_past_due = 0", "target.days_past_due", "days_past_due",
     ["greater than or equal to 1", "it is 0"]),
    ("", "max_reject_share = 0.05", "max_reject_share = 5", "max_reject_share", "max_reject_share",
     ["must be less than or equal to 1", "but it is 5"]),
    ("columns.age", 'kind = "integer"', "", "columns.age.kind", "", ["the key 'kind' is missing"]),
    ("rules", RULE, "", "rules.0.check", "", ["the key 'check' is missing"]),
    ("tables.bureau_data", 'join = "cust_id"', 'join = "cust_id"\nunmatched = "drop"', "tables.bureau_data.unmatched",
     "unmatched", ["must be 'reject' or 'keep'", "'drop'"]),
    # Tables and keys
    ("tables.customers", 'join = "cust_id"', "", "tables.customers.join", "",
     ["the column this table shares with 'loans'"]),
    ("tables.loans", 'key = "loan_id"', 'key = "loan_id"\njoin = "cust_id"', "tables.loans.join", "join",
     ["the base table joins nothing"]),
    ("tables.loans", 'key = "loan_id"', 'key = "loanid"', "tables.loans.key", "key",
     ["there is no column 'loanid'", "did you mean 'loan_id'?"]),
    ("tables.customers", 'join = "cust_id"', 'join = "custid"', "tables.customers.join", "join",
     ["there is no column 'custid'"]),
    ("tables.customers", 'key = "cust_id"', 'key = "loan_id"', "tables.customers.key", "key",
     ["'loan_id' is a column of the table 'loans'"]),
    ("tables.loans", 'key = "loan_id"', 'key = "loan_to_income"', "tables.loans.key", "key",
     ["'loan_to_income' is derived"]),
    # What may be learned from
    ("columns.age", "min = 18", "known_at_application = false", "columns.age.role", "role",
     ["not known at application", "'input'", "leak"]),
    ("columns.enquiry_count", "min = 0", "known_at_application = false", "columns.enquiry_count.role", "role",
     ["not known at application", "'optional'"]),
    ("columns.loan_to_income", LTI, loan_to_income_of(loan_amount="principal_outstanding"),
     "columns.loan_to_income.derive", "derive", ["uses 'principal_outstanding'", "not known at application", "leak"]),
    ("columns.delinquency_ratio", RATIO, ratio_of("default"), "columns.delinquency_ratio.derive", "derive",
     ["uses 'default'", "leak"]),
    ("columns.delinquency_ratio", RATIO, ratio_of("loan_to_income"), "columns.delinquency_ratio.derive", "derive",
     ["uses 'loan_to_income', which is derived itself"]),
    ("columns.delinquency_ratio", RATIO, ratio_of("gst"), "columns.delinquency_ratio.derive", "derive",
     ["uses 'gst', which may be absent"]),
    ("columns.delinquency_ratio", RATIO, ratio_of("disbursal_date"), "columns.delinquency_ratio.derive", "derive",
     ["uses 'disbursal_date', which is not a number but of kind 'date'"]),
    ("columns.delinquency_ratio", RATIO, ratio_of("gender"), "columns.delinquency_ratio.derive", "derive",
     ["uses 'gender'", "audited, never modelled"]),
    ("columns.loan_to_income", LTI, loan_to_income_of(income="total_dpd"), "columns.loan_to_income.derive", "derive",
     ["uses 'total_dpd', which is not an input"]),
    ("columns.loan_to_income", LTI, loan_to_income_of(income="age"), "columns.loan_to_income.derive", "derive",
     ["uses 'age', whose no_worse_from"]),
    ("columns.gender", 'role = "audit"', 'role = "input"', "restricted.gender.use", "use@restricted.gender",
     ["may be audited, never modelled", "role = 'input'"]),
    ("columns.age", 'risk = "decreasing"', 'risk = "increasing"', "restricted.age.no_worse_from",
     "no_worse_from@restricted.age", ['needs columns.age.risk = "decreasing"', "62"]),
    ("columns.age", 'risk = "decreasing"', "", "restricted.age.no_worse_from", "no_worse_from@restricted.age",
     ['needs columns.age.risk = "decreasing"']),
    ("columns.loan_to_income", LTI, 'table = "loans"', "columns.loan_to_income.role", "role",
     ['"feature" needs derive']),
    ("columns.loan_to_income", 'kind = "number"', 'kind = "date"', "columns.loan_to_income.kind", "kind",
     ["a derived column is a number, not 'date'"]),
    ("columns.city", 'table = "customers"', "", "columns.city", "", ['needs either table = "..." or derive']),
    ("columns.disbursal_date", 'role = "date"', 'role = "input"', "columns.disbursal_date.kind", "kind",
     ["'date' is for information"]),
    ("columns.age", "min = 18", "may_be_absent = true", "columns.age.may_be_absent", "may_be_absent",
     ["a model needs it"]),
    ("", 'application_id = "application_id"', 'application_id = "age"', "application_id", "application_id",
     ["'age' is an input"]),
    # Names that overlap
    ("columns.number_of_open_accounts", 'wire = "num_open_accounts"', 'wire = "income"',
     "columns.number_of_open_accounts.wire", "wire", ["'income' already belongs to 'income'"]),
    ("columns.enquiry_count", "min = 0", 'also_called = ["enq", "num_open_accounts"]',
     "columns.enquiry_count.also_called", "also_called",
     ["'num_open_accounts' already belongs to 'number_of_open_accounts'"]),
    # Limits, levels, defaults
    ("columns.age", "min = 18", "min = 180", "columns.age.min", "min", ["the lower limit 180 is above max 100"]),
    ("columns.income", "above = 0", "above = 9\nmax = 9", "columns.income.above", "above",
     ["no value is above 9 and at most 9"]),
    ("columns.age", "max = 100", "max = 99.5", "columns.age.max", "max", ["99.5 is not a whole number"]),
    ("columns.loan_type", 'default = "Unsecured"', "min = 3", "columns.loan_type.min", "min",
     ["is for numbers", "'category'"]),
    ("columns.loan_type", 'default = "Unsecured"', "special = [-1]", "columns.loan_type.special", "special",
     ["is for numbers"]),
    ("columns.loan_type", 'default = "Unsecured"', 'risk = "increasing"', "columns.loan_type.risk", "risk",
     ["'increasing' is for numbers"]),
    ("columns.age", "min = 18", "special = [-1, -9, -1]", "columns.age.special", "special", ["a code stands twice"]),
    ("columns.age", "default = 38", "default = 17", "columns.age.default", "default",
     ["17 is outside the column's own limits"]),
    ("columns.income", "default = 1_200_000", "default = 0", "columns.income.default", "default",
     ["0 is outside the column's own limits"]),
    ("columns.age", "default = 38", "default = 38.5", "columns.age.default", "default",
     ["38.5 is not a whole number"]),
    ("columns.income", "default = 1_200_000", 'default = "much"', "columns.income.default", "default",
     ["'much' is not a number"]),
    ("columns.loan_type", 'default = "Unsecured"', 'default = "unsecured"', "columns.loan_type.default", "default",
     ["there is no level 'unsecured'", "did you mean 'Unsecured'?"]),
    ("columns.loan_type", 'levels = ["Secured", "Unsecured"]', "", "columns.loan_type.levels", "",
     ["a category needs levels"]),
    ("columns.loan_type", 'levels = ["Secured", "Unsecured"]', 'levels = ["Secured", "Unsecured", "Secured"]',
     "columns.loan_type.levels", "levels", ["the level 'Secured' stands twice"]),
    ("columns.loan_type", 'levels = ["Secured", "Unsecured"]', 'levels = ["Secured ", "Unsecured"]',
     "columns.loan_type.levels", "levels", ["'Secured '", "spaces around it"]),
    ("columns.loan_purpose", 'aliases = { Personaal = "Personal" }', 'aliases = { Personaal = "Persnal" }',
     "columns.loan_purpose.aliases", "aliases",
     ["'Personaal' stands for there is no level 'Persnal'; did you mean 'Personal'?"]),
    ("columns.loan_purpose", 'aliases = { Personaal = "Personal" }', 'aliases = { Home = "Personal" }',
     "columns.loan_purpose.aliases", "aliases", ["'Home' is a level of its own"]),
    ("columns.age", "min = 18", 'levels = ["young"]', "columns.age.levels", "levels",
     ['is for kind = "category", not \'integer\'']),
    ("columns.city", 'kind = "text"', 'kind = "text"\naliases = { Pune = "Poona" }', "columns.city.aliases",
     "aliases", ['is for kind = "category"']),
    # What an applicant can change
    ("columns.age", "min = 18", "min = 18\nchangeable = true", "columns.age.changeable", "changeable",
     ["is a protected attribute"]),
    ("columns.loan_to_income", 'label = "Loan to income"', "changeable = true", "columns.loan_to_income.changeable",
     "changeable", ["is for inputs", "'feature'"]),
    ("columns.income", "warn_above = 12_000_000", "changeable = true", "columns.income.changeable", "changeable",
     ["needs max or warn_above", "upper limit"]),
    ("columns.loan_amount", "above = 0", "", "columns.loan_amount.changeable", "changeable",
     ["needs min, above or warn_below", "lower limit"]),
    ("columns.loan_amount", "changeable = true", 'changeable = "yes"', "columns.loan_amount.changeable", "changeable",
     ["must be true or false"]),
    # Binning
    ("columns.income", "above = 0", 'above = 0\nbinning = { trend = "valley" }', "columns.income.binning", "=",
     ["trend 'valley' contradicts risk = 'decreasing'"]),
    ("columns.income", "above = 0", "above = 0\nbinning = { max_bin = 4 }", "columns.income.binning.max_bin", "=",
     ["unknown key 'max_bin'; did you mean 'max_bins'?"]),
    ("columns.income", "above = 0", "above = 0\nbinning = { never_cut = [[5, 3]] }", "columns.income.binning", "=",
     ["never_cut: 5 is not below 3"]),
    ("columns.income", "above = 0", "above = 0\nbinning = { never_cut = [[1, 3]], must_cut = [2, 3] }",
     "columns.income.binning", "=", ["must_cut and never_cut contradict each other at 2"]),
    ("columns.income", "above = 0", "above = 0\nbinning = { min_share = 0.2, max_share = 0.1 }",
     "columns.income.binning", "=", ["min_share 0.2 is above max_share 0.1"]),
    ("columns.loan_type", 'default = "Unsecured"', "binning = { must_cut = [2] }", "columns.loan_type.binning",
     "binning", ["must_cut is for numbers, not for kind = 'category'"]),
    # The target
    ("columns.default", 'role = "target"', 'role = "info"', "columns.default.role", "role",
     ["is 'info'; the target needs role = \"target\""]),
    ("columns.default", 'role = "target"', 'role = "input"', "columns.default.role", "role",
     ["is 'input'; the target needs"]),
    ("columns.gst", "min = 0", 'role = "target"', "columns.gst.role", "role", ["the target is 'default'"]),
    ("columns.default", 'table = "loans"', 'table = "customers"', "target.column", "column@target",
     ["'default' must be a column of the base table 'loans'"]),
    ("columns.default", 'kind = "integer"', 'kind = "date"', "columns.default.kind", "kind",
     ["the target cannot be a date"]),
    ("target", "good = [0]", 'good = ["0"]', "target.good", "good",
     ["'0' cannot be a value of 'default'", "'integer'"]),
    ("target", "indeterminate = []", "indeterminate = [1]", "target", "",
     ["more than once in good, bad, indeterminate: [0, 1, 1]"]),
    ("target", "bad = [1]", "bad = []", "target.bad", "bad", ["needs at least one value"]),
    ("target", 'observation_date = "disbursal_date"', 'observation_date = "income"', "target.observation_date",
     "observation_date", ["'income' is not of kind \"date\""]),
    ("target", 'observation_date = "disbursal_date"', 'observation_date = "installment_start_dt"',
     "target.observation_date", "observation_date", ["'installment_start_dt' may be absent"]),
    ("target", 'observation_date = "disbursal_date"', "", "target.performance_months", "performance_months",
     ["needs observation_date"]),
    # Rules
    ("rules", RULE, 'check = "processing_fee <= 0.03 * loan_amont"', "rules.0.check", "check",
     ["there is no column 'loan_amont'", "did you mean 'loan_amount'?"]),
    ("rules", RULE, 'check = "processing_fee <="', "rules.0.check", "check",
     ["cannot read the rule 'processing_fee <='"]),
    ("rules", RULE, "check = \"__import__('os').getcwd() == 'x'\"", "rules.0.check", "check",
     ["__import__", "is not allowed in a rule", "allowed are + - * /"]),
    ("rules", RULE, 'check = "processing_fee"', "rules.0.check", "check", ["compares nothing"]),
    ("rules", RULE, "check = \"processing_fee <= 'much'\"", "rules.0.check", "check",
     ["cannot be compared: number with text"]),
    ("rules", RULE, "check = \"loan_type == 'secured'\"", "rules.0.check", "check",
     ["there is no level of loan_type 'secured'", "did you mean 'Secured'?"]),
    ("rules", RULE, "check = \"loan_type < 'Secured'\"", "rules.0.check", "check",
     ["text can be compared with == and != only"]),
    ("rules", RULE, "check = \"disbursal_date > 'soon'\"", "rules.0.check", "check",
     ["write the date as 'YYYY-MM-DD'"]),
    ("rules", 'name = "net disbursement at most the loan"', 'name = "processing fee at most 3% of the loan"',
     "rules.1.name", "=", ["'processing fee at most 3% of the loan' stands twice"]),
    ("target.exclusions", "", '"staff, head office. old" = "loan_amount > limit"',
     "target.exclusions.staff, head office. old", '"staff, head office. old"', ["there is no column 'limit'"]),
    ("target.exclusions", "", 'city = "city == \'Pune\'"', "target.exclusions.city", "city",
     ["reads 'city', which may be absent"]),
    # Scales
    ("scale", "low = 300", "low = 900", "scale.low", "low", ["low 900 is not below high 900"]),
    ("scale", '{ name = "Average", below = 650 },', '{ name = "Average", below = 500 },', "scale.ratings", "ratings",
     ["rising bounds"]),
    ("scale", '{ name = "Average", below = 650 },', '{ name = "Average" },', "scale.ratings", "ratings",
     ["rising bounds"]),
    ("scale", '{ name = "Excellent" },', '{ name = "Excellent", below = 880 },', "scale.ratings", "ratings",
     ["a last rating without one"]),
    ("scale", '{ name = "Good", below = 750 },', '{ name = "Good", below = 7500 },', "scale.ratings", "ratings",
     ["[500, 650, 7500] lie outside the scale 300 to 900"]),
    ("scale", '{ name = "Good", below = 750 },', '{ name = "Poor", below = 750 },', "scale.ratings.2.name", "ratings",
     ["the name 'Poor' stands twice"]),
    ("scale", '{ name = "Good", below = 750 },', '{ name = "Good", under = 750 },', "scale.ratings.2.under",
     "ratings", ["unknown key 'under'", "allowed: name, below"]),
    ("grades", "max_pd = 1.0", "max_pd = 0.9", "grades.9.max_pd", "=", ["the last must be 1.0, but is 0.9"]),
    ("grades", "max_pd = 0.002", "max_pd = 0.0005", "grades.1.max_pd", "=", ["0.0005 is not above 0.0005 before it"]),
    ("grades", "max_pd = 0.002", "max_pd = 0", "grades.1.max_pd", "=", ["greater than 0"]),
    ("grades", 'name = "A2"', 'name = "A1"', "grades.1.name", "=", ["the name 'A1' stands twice"]),
]  # fmt: skip


@pytest.mark.parametrize(
    "section, old, new, path, key, parts", MISTAKES, ids=[f"{m[3]}-{i}" for i, m in enumerate(MISTAKES)]
)
def test_a_mistake_is_told_by_file_line_key_and_reason(section, old, new, path, key, parts):
    text = changed(section, old, new)
    if key == "=":
        pairs = zip(RETAIL.splitlines(), text.splitlines(), strict=False)
        line = next(i for i, (before, after) in enumerate(pairs, 1) if before != after)
    else:
        key, _, elsewhere = key.partition("@")
        line = place(text, elsewhere or section, key)
    said = [told for told in complaints(text) if f", {path}: " in told and all(part in told for part in parts)]
    assert len(said) == 1, "\n".join(complaints(text))
    assert said[0].startswith(f"book.toml, line {line}, {path}: ")


def test_mistakes_are_told_together_one_line_each():
    text = changed("columns.age", "min = 18", "mim = 18")
    text = changed("columns.income", "above = 0", 'above = "zero"', text)
    text = changed("columns.loan_type", 'default = "Unsecured"', 'default = "None"', text)
    said = complaints(text)
    assert sorted(re.findall(r"line \d+, ([\w.]+):", "\n".join(said))) == [
        "columns.age.mim", "columns.income.above", "columns.loan_type.default",
    ]  # fmt: skip
    assert len(said) == 3

    text = changed("columns.age", 'table = "customers"', 'table = "customer"')
    text = changed("columns.gender", 'role = "audit"', 'role = "input"', text)
    text = changed("target.exclusions", "", '"rich" = "wealth > 3"', text)
    text = changed("scale", "low = 300", "low = 901", text)
    said = complaints(text)
    assert [re.search(r"line \d+, ([\w.]+):", line)[1] for line in said] == [
        "columns.age.table", "target.exclusions.rich", "restricted.gender.use", "scale.ratings", "scale.low",
    ]  # fmt: skip


def test_lines_are_right_with_quoted_names_arrays_and_carriage_returns():
    text = (
        ONE_TABLE
        + '[columns."Net. Income"]\nkind = "number"\ntable = "bok"\n[columns.target]\nkind = "text"\nmni = 3\n'
    )
    said = complaints(changed("columns.target", "mni = 3", 'table = "book"', text))
    assert said == ["book.toml, line 24, columns.Net. Income.table: there is no table 'bok'; did you mean 'book'?"]
    said = complaints(changed("", 'table = "bok"', 'table = "book"', text))
    assert len(said) == 1 and said[0].startswith("book.toml, line 27, columns.target.mni: unknown key 'mni'")
    assert "allowed: kind, role" in said[0]  # the keys of a column, though this one is called target
    assert complaints(text.replace("\n", "\r\n"))[0].startswith("book.toml, line 27, columns.target.mni")


def test_a_table_that_is_missing_altogether_is_named():
    start, end = ONE_TABLE.index("[target]"), ONE_TABLE.index("[tables.book]")
    assert complaints(ONE_TABLE[:start] + ONE_TABLE[end:]) == ["book.toml, target: the key 'target' is missing"]
    assert complaints("name = 'x'")[0] == "book.toml, title: the key 'title' is missing"
    assert complaints("points = 3\n" + ONE_TABLE) == ["book.toml, line 1, points: must be a table, but it is 3"]


@pytest.mark.parametrize("name", ["", " ", " income2", "income2 "])
def test_a_column_name_that_no_file_can_have_is_refused(name):
    said = complaints(ONE_TABLE + f'[columns."{name}"]\nkind = "number"\ntable = "book"\n')
    assert said == [f"book.toml, line 22, columns.{name}: a column's name is not empty and has no spaces around it"]


def test_a_book_without_inputs_is_refused():
    text = ONE_TABLE.replace('role = "input"', 'role = "info"')
    assert complaints(text)[0].endswith('columns: no column has role = "input": there is nothing to score')


@pytest.mark.parametrize(
    "old, new, line",
    [
        ("min = 18", "min = ", place(RETAIL, "columns.age", "min")),
        ("[columns.age]", "[columns.age", place(RETAIL, "columns.age")),
        ("max = 100", "min = 19", place(RETAIL, "columns.age", "max")),
        ('name = "E2"\nmax_pd = 1.0', 'name = "E2', len(RETAIL.splitlines()) - 1),
        ('name = "E2"\nmax_pd = 1.0', 'name = ["E2"', len(RETAIL.splitlines()) - 1),
    ],
    ids=["no value", "open bracket", "key twice", "open text", "open list at the end"],
)
def test_text_that_is_no_toml_is_told_with_its_line(old, new, line):
    said = complaints(RETAIL.replace(old, new, 1))
    assert len(said) == 1
    assert said[0].startswith("book.toml, line ") and "not valid TOML: " in said[0]
    assert abs(int(re.search(r"line (\d+)", said[0])[1]) - line) <= 1  # the reader notices some at the line's end


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(PortfolioError, match=r"gone\.toml: there is no such portfolio file"):
        load_portfolio(str(tmp_path / "gone.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(PortfolioError, match=r"folder\.toml: cannot be read: "):
        load_portfolio(str(tmp_path / "folder.toml"))
    (tmp_path / "latin.toml").write_bytes(ONE_TABLE.replace("Tiny", "Größe").encode("latin-1"))
    with pytest.raises(PortfolioError, match=r"latin\.toml: not UTF-8 text \(byte \d+\)"):
        load_portfolio(str(tmp_path / "latin.toml"))
    with pytest.raises(PortfolioError, match=r"no portfolio 'retial'; did you mean 'retail'\?.*german, retail, taiwan"):
        load_portfolio("retial")


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):
        path = tmp_path / f"{encoding}.toml"
        path.write_text(ONE_TABLE, encoding=encoding)
        assert load_portfolio(str(path)).name == "tiny"
        assert load_portfolio(path).source == path.name


@pytest.mark.parametrize("name", ["german", "retail", "taiwan"])
def test_built_in_portfolios_load_and_never_ask_for_what_is_only_audited(name):
    assert name in built_in_portfolios()
    book = load_portfolio(name)
    assert book.text == (BUILT_IN / f"{name}.toml").read_text(encoding="utf-8") and book.source == f"{name}.toml"
    audited = {column for column, limit in book.restricted.items() if limit.use == "audit"}
    assert audited and not audited & set(book.candidates)
    assert all(column.known_at_application for column in book.candidates.values())
    assert book.target.column not in book.candidates
    assert list(book.inputs) and set(book.candidates) == set(book.inputs) | set(book.features)
    assert parse_portfolio(book.text, book.source) == book


def test_retail_asks_for_its_eleven_inputs_first_and_knows_their_other_names():
    book = load_portfolio("retail")
    roles = [column.role for column in book.inputs.values()]
    assert roles == ["input"] * 11 + ["optional"]
    assert list(book.inputs)[-1] == "enquiry_count" and list(book.features) == ["loan_to_income"]
    assert (
        book.wire_names["num_open_accounts"] == "number_of_open_accounts" == book.wire_names["number_of_open_accounts"]
    )
    assert book.protected == {"gender", "marital_status", "age"}
    assert [len(load_portfolio(name).tables) for name in ("german", "retail", "taiwan")] == [1, 3, 1]


def test_a_column_says_how_it_is_binned():
    text = changed("columns.income", "above = 0", "above = 0\nbinning = { max_bins = 4, never_cut = [7, [1, 2.5]] }")
    book = parse_portfolio(text, "book.toml")
    assert book.columns["income"].binning_options == {
        "trend": "descending", "special": (), "max_bins": 4, "never_cut": (7.0, (1.0, 2.5)),
    }  # fmt: skip
    assert book.columns["loan_amount"].binning_options == {"trend": "ascending", "special": ()}
    assert book.columns["loan_type"].binning_options["trend"] == "auto"


def test_codes_outside_the_limits_and_a_target_in_words_are_allowed():
    text = changed("columns.age", "min = 18", "min = 18\nspecial = [-1, 999]")
    assert parse_portfolio(text).columns["age"].special == (-1, 999)
    assert parse_portfolio(ONE_TABLE).target.bad == ("no",)
    said = complaints(ONE_TABLE.replace('bad = ["no"]', 'bad = ["not"]'))
    assert said == ["book.toml, line 8, target.bad: there is no level 'not'; did you mean 'no'?"]


def test_whatever_is_wrong_in_a_file_only_a_portfolio_error_is_raised():
    lines = RETAIL.splitlines()
    values = ["5", '"x"', "true", "[]", "{}", "nan", '""', "[{}]", "1979-05-27", '{ a = ["b"] }', "-1e308", '"a < 1"']
    draw = random.Random(5)
    refused = 0
    for _ in range(250):
        changed_lines = list(lines)
        at = draw.choice([i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")])
        key = re.match(r"([\w\"]+) = ", lines[at])
        if key and draw.random() < 0.8:
            changed_lines[at] = f"{key[1]} = {draw.choice(values)}"
        else:
            del changed_lines[at]
        try:
            parse_portfolio("\n".join(changed_lines), "book.toml")
        except PortfolioError as error:
            refused += 1
            for line in str(error).splitlines():
                assert re.match(r"book\.toml(, line \d+)?, .+: .+|book\.toml, line \d+: not valid TOML", line), line
    assert refused > 100
