"""Analysts' decisions: what a file may say, what is refused and how, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from creditrisk.binning.bins import Bins
from creditrisk.binning.overrides import Override, Overrides
from creditrisk.data.portfolio import load_portfolio
from creditrisk.errors import BinningError, CreditRiskError, OverridesError, ParameterError
from creditrisk.params import TrainParams, check_params

RETAIL = load_portfolio("retail")
WHEN = "2024-05-01T10:00:00+00:00"
SOME = Overrides(
    (
        Override("income", cuts=(500_000.0, 1_000_000.0), use="in", reason="asked by the board", by="ana", at=WHEN),
        Override("residence_type", groups=(("Rented",), ("Owned", "Mortgage")), missing=1),
        Override("loan_purpose", use="out", reason="steered by the product", by="Zoë"),
        Override("delinquency_ratio", missing="worst"),
        Override("age", cuts=(), reason="only to see"),
        Override("loan_type", reason="looked at, stays as it is"),
    ),
    "retail",
)


def refused(content: object, book=RETAIL) -> list[str]:
    """The lines of the message with which plain data is refused."""
    with pytest.raises(OverridesError) as problem:
        Overrides.from_dict(content, "o.json", book)
    return str(problem.value).splitlines()


def variable(name: str, **said) -> dict:
    return {"format": 1, "portfolio": "retail", "variables": {name: said}}


# What a file says


def test_a_file_written_and_read_is_the_same_overrides_in_the_same_order(tmp_path):
    SOME.write(tmp_path / "overrides.json")
    again = Overrides.read(tmp_path / "overrides.json", RETAIL)
    assert again == SOME and list(again) == list(SOME)
    assert Overrides.from_dict(json.loads(json.dumps(SOME.to_dict()))) == SOME


def test_the_file_has_the_form_that_people_edit(tmp_path):
    SOME.write(tmp_path / "overrides.json")
    text = (tmp_path / "overrides.json").read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    data = json.loads(text)
    assert {key: data[key] for key in ("format", "portfolio")} == {"format": 1, "portfolio": "retail"}
    assert data["variables"]["income"] == {
        "cuts": [500_000, 1_000_000], "use": "in", "reason": "asked by the board", "by": "ana", "at": WHEN
    }  # fmt: skip
    assert data["variables"]["loan_purpose"] == {"use": "out", "reason": "steered by the product", "by": "Zoë"}
    assert data["variables"]["age"] == {"cuts": [], "reason": "only to see"}, "no cuts at all are one bin"


def test_the_same_overrides_are_the_same_bytes(tmp_path):
    SOME.write(tmp_path / "one.json")
    Overrides.read(tmp_path / "one.json").write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "overrides.json"
    SOME.write(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OverridesError, match=r"overrides.json: overrides cannot be written: No space left"):
        Overrides().write(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OverridesError, match="cannot be written"):
        SOME.write(tmp_path / "no such folder" / "overrides.json")


def test_writing_through_a_link_keeps_the_link(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "overrides.json"
    real.write_text("{}")
    link.symlink_to(real)
    SOME.write(link)
    assert link.is_symlink() and Overrides.read(real) == SOME


def test_no_path_is_no_overrides():
    assert len(Overrides.read("")) == 0 and not Overrides.read("")


@pytest.mark.parametrize("bare", [
    {"income": [1_000_000, 500_000.0], "residence_type": [["Rented"], ["Owned", "Mortgage"]], "age": []},
    {"income": np.array([500_000, 1_000_000]), "age": np.array([]),
     "residence_type": np.array([np.array(["Rented"]), np.array(["Owned", "Mortgage"])], dtype=object)},
    {"format": 1, "variables": {"income": [500_000, 1_000_000], "age": [],
     "residence_type": [["Rented"], ["Owned", "Mortgage"]]}},
])  # fmt: skip
def test_cuts_and_groups_come_from_elsewhere_as_a_plain_mapping(bare):
    found = Overrides.from_dict(bare, "sas.json", RETAIL)
    assert found["income"].cuts == (500_000.0, 1_000_000.0) and found["age"].cuts == ()
    assert found["residence_type"].groups == (("Rented",), ("Owned", "Mortgage"))
    assert {one.reason for one in found.values()} == {"brought from sas.json"}
    assert {(one.use, one.missing, one.by) for one in found.values()} == {("", None, "")}


def test_a_plain_mapping_is_read_from_a_file_with_its_lines(tmp_path):
    path = tmp_path / "sas.json"
    path.write_text('\ufeff{"income": [500000, 1000000]}', "utf-8")
    assert Overrides.read(path, RETAIL)["income"].cuts == (500_000.0, 1_000_000.0)
    path.write_text('{\n"income": [5,\n 5],\n"loan_type": [["Secured"],\n ["Secure"]],\n"agee": [30]}')
    with pytest.raises(OverridesError) as problem:
        Overrides.read(path, RETAIL)
    assert str(problem.value).splitlines() == [
        "sas.json, line 3, income.cuts: 5 stands twice",
        "sas.json, line 5, loan_type.groups: there is no level 'Secure'; did you mean 'Secured'?",
        "sas.json, line 6, agee: there is no column 'agee'; did you mean 'age'?",
    ]


def test_an_edit_gives_new_overrides_and_keeps_the_order():
    changed = SOME.with_(Override("residence_type", missing="own"))
    assert list(changed) == list(SOME) and changed["residence_type"].missing == "own"
    assert SOME["residence_type"].missing == 1 and changed.portfolio == "retail"
    added = SOME.with_(Override("loan_amount", cuts=(1.0,)))
    assert list(added) == [*SOME, "loan_amount"]
    assert added.without("loan_amount") == SOME == SOME.without("loan_amount")
    assert SOME.used("in") == ("income",) and SOME.used("out") == ("loan_purpose",)


def test_one_variable_has_one_override():
    with pytest.raises(OverridesError, match="age: stands twice"):
        Overrides((Override("age", cuts=(30.0,)), Override("age", cuts=(40.0,))))


def test_an_override_takes_its_cuts_or_groups_from_bins():
    number = Bins("age", "numeric", (5.0, 5.0, 0.0), (1.0, 2.0, 0.0), cuts=(40.0,))
    level = Bins("loan_type", "category", (5.0, 5.0, 0.0, 0.0), (1.0, 2.0, 0.0, 0.0), groups=(("Secured",), ("X",)))
    assert Override.of(number, by="ana", at=WHEN) == Override("age", cuts=(40.0,), by="ana", at=WHEN)
    assert Override.of(level, at=WHEN).groups == (("Secured",), ("X",))
    assert Overrides((Override.of(number),)).entries[0].at.endswith("+00:00"), "now, in UTC"


def test_the_table_tells_what_was_decided_by_whom_when_and_why():
    table = SOME.table()
    assert list(table) == ["variable", "what", "by", "at", "reason"]
    assert dict(zip(table["variable"], table["what"], strict=True)) == {
        "income": "forced in; cuts 500,000 | 1,000,000",
        "residence_type": "groups Rented | Owned, Mortgage; missing with Owned, Mortgage",
        "loan_purpose": "forced out",
        "delinquency_ratio": "missing worst",
        "age": "one bin",
        "loan_type": "a note",
    }
    assert table.iloc[0].tolist()[2:] == ["ana", WHEN, "asked by the board"]
    assert list(Overrides().table()) == list(table)
    assert Override("income", cuts=(5.0, 1e6), missing=1).what == "cuts 5 | 1,000,000; missing with [5, 1,000,000)"
    assert Override("income", cuts=(0.125,), missing=0).what == "cuts 0.125; missing with [-inf, 0.125)"


# What is refused without knowing the portfolio


@pytest.mark.parametrize(("text", "message"), [
    ('{"income": [1,\n 2', "line 2: not valid JSON"),
    ("", "line 1: not valid JSON"),
    ("[" * 100_000, "nested too deep"),
    ('{"income": [' + "1" * 5_000 + "]}", "thousands of digits"),
    ("[1, 2]", "not a mapping of variables"),
    ('"income"', "not a mapping of variables"),
])  # fmt: skip
def test_what_is_no_json_object_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(OverridesError, match=rf"^o\.json.*{message}"):
        Overrides.read(tmp_path / "o.json")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(OverridesError, match=r"none\.json: there is no such file"):
        Overrides.read(tmp_path / "none.json")
    (tmp_path / "o.json").write_bytes(b'{"age": [\xff]}')
    with pytest.raises(OverridesError, match=r"o\.json: not UTF-8 text \(byte 9\)"):
        Overrides.read(tmp_path / "o.json")
    with pytest.raises(OverridesError, match="cannot be read"):
        Overrides.read(tmp_path)


@pytest.mark.parametrize(("said", "message"), [
    ({"cuts": [1, float("nan")]}, "income.cuts: nan is not finite; the outermost bins are open, so leave out"),
    ({"cuts": [float("-inf"), 1]}, "income.cuts: -inf is not finite"),
    ({"cuts": [10**400]}, "is not finite"),
    ({"cuts": [1, 2, 1.0]}, "income.cuts: 1 stands twice"),
    ({"cuts": [0.0, -0.0]}, "income.cuts: -0 stands twice"),
    ({"cuts": ["25"]}, "income.cuts: '25' is not a number"),
    ({"cuts": [True]}, "income.cuts: True is not a number"),
    ({"cuts": [None]}, "income.cuts: None is not a number"),
    ({"cuts": 25}, "income.cuts: 25 is not a list of numbers"),
    ({"cuts": [["a"]]}, "groups of levels stand under the key groups"),
    ({"cuts": [1], "groups": [["a"]]}, "income.cuts: stand beside groups"),
    ({"groups": []}, "income.groups: [] is not a list of groups"),
    ({"groups": ["a"]}, "income.groups: 'a' is not a group"),
    ({"groups": [["a"], []]}, "income.groups: [] is not a group"),
    ({"groups": [["a"], ["b", "a"]]}, "income.groups: the level 'a' stands twice"),
    ({"groups": [[1]]}, "income.groups: the level 1 is not text"),
    ({"groups": [["a", None]]}, "income.groups: null is no level; what missing values are worth stands under"),
    ({"missing": "worse"}, "income.missing: 'worse' is no policy; did you mean 'worst'? (allowed: auto, similar,"),
    ({"missing": True, "cuts": [1]}, "income.missing: True is no policy"),
    ({"missing": 1}, "income.missing: the number of a bin (1) needs cuts or groups beside it"),
    ({"missing": 2, "cuts": [1]}, "income.missing: there is no bin 2; they are numbered from 0 to 1"),
    ({"missing": -1, "cuts": [1]}, "income.missing: there is no bin -1"),
    ({"missing": 1, "groups": [["a"]]}, "income.missing: there is no bin 1; they are numbered from 0 to 0"),
    ({"use": "In", "reason": "x"}, "income.use: 'In' is neither \"in\" nor \"out\"; did you mean 'in'?"),
    ({"use": ["in", "out"], "reason": "x"}, "income.use: ['in', 'out'] is neither"),
    ({"use": "in"}, 'income.use: "in" needs a reason: say why the variable is forced in'),
    ({"use": "out", "reason": "  "}, 'income.use: "out" needs a reason'),
    ({"reason": 3}, "income.reason: 3 is not text"),
    ({"by": ["ana"], "cuts": [1]}, "income.by: ['ana'] is not text"),
    ({"at": "yesterday", "cuts": [1]}, "income.at: 'yesterday' is not an ISO time in UTC such as"),
    ({"at": "2024-05-01T10:00:00", "cuts": [1]}, "is not an ISO time in UTC"),
    ({"at": "2024-05-01T10:00:00+02:00", "cuts": [1]}, "is not an ISO time in UTC"),
])  # fmt: skip
def test_one_wrong_entry_is_one_line_that_says_what_is_allowed(said, message):
    (line,) = refused(variable("income", **said), book=None)
    assert line.startswith("o.json, income") and message in line
    with pytest.raises(OverridesError) as problem:
        Override("income", **said)
    assert str(problem.value) == line.replace("o.json", "override")


def test_an_entry_that_is_no_mapping_or_says_nothing_or_has_other_keys_is_refused():
    assert "neither a list of cuts" in refused({"format": 1, "variables": {"income": 3}})[0]
    assert "income: says nothing; give one or more of cuts, groups, missing, use" in refused(variable("income"))[0]
    (line,) = refused(variable("income", cutz=[1], reason="x"))
    assert line == (
        "o.json, income.cutz: unknown key; did you mean 'cuts'? "
        "(allowed: cuts, groups, missing, use, reason, by, at)"
    )  # fmt: skip
    (line,) = refused({"format": 1, "variabels": {}})
    assert line == "o.json, variabels: unknown key; did you mean 'variables'? (allowed: format, portfolio, variables)"
    assert "2 is not a format that can be read; it must be 1" in refused({"format": 2, "variables": {}})[0]
    assert "format" in refused({"format": True, "variables": {}})[0]
    assert "not the name of a portfolio" in refused({"portfolio": 3, "variables": {}})[0]


def test_a_key_that_stands_twice_is_refused_where_json_would_keep_the_last(tmp_path):
    path = tmp_path / "o.json"
    path.write_text(
        '{"format": 1, "variables": {\n "age": {"use": "in", "reason": "x"},\n'
        ' "income": {"cuts": [1],\n   "cuts": [2]},\n "age": {"use": "out", "reason": "y"}}}'
    )
    with pytest.raises(OverridesError) as problem:
        Overrides.read(path)
    assert str(problem.value).splitlines() == [
        "o.json, line 4, income.cuts: this key stands twice",
        "o.json, line 5, age: this key stands twice",
    ]


# What is refused against the portfolio


@pytest.mark.parametrize(("content", "message"), [
    ({"incom": [1]}, "incom: there is no column 'incom'; did you mean 'income'?"),
    ({"Income": [1]}, "did you mean 'income'?"),
    ({"zzz": [1]}, "there is no column 'zzz'; a model may use age, income, loan_amount,"),
    ({"num_open_accounts": [2]}, "its name here is 'number_of_open_accounts'"),
    ({"income": [["a"]]}, "income.groups: groups of levels for a number; give cuts"),
    ({"loan_type": [1]}, "loan_type.cuts: cuts for text; give groups of its levels: Secured, Unsecured"),
    ({"loan_type": [["Secured"], ["Unsecure"]]}, "there is no level 'Unsecure'; did you mean 'Unsecured'?"),
    ({"loan_purpose": [["Personaal"]]}, "'Personaal' is a spelling of the level 'Personal'; write that"),
    ({"gender": [["M"], ["F"]]}, "gender: no model may use it: it is protected, audited but never modelled"),
    ({"principal_outstanding": [1]}, "no model may use it: it is not known at application"),
    ({"city": [["x"]]}, "no model may use it: it is not asked of an applicant (role 'info'"),
    ({"default": [1]}, "no model may use it: it is the outcome itself"),
    (variable("gender", use="in", reason="x"), "gender.use: no model may use it: it is protected"),
    (variable("marital_status", missing="own"), "it is protected"),
    (variable("loan_id", use="in", reason="x"), "loan_id.use: no model may use it: it is an identifier"),
    ({"format": 1, "portfolio": "german", "variables": {}},
     "portfolio: they are for the portfolio 'german', and this one is 'retail'"),
])  # fmt: skip
def test_what_the_portfolio_does_not_allow_is_refused(content, message):
    (line,) = refused(content)
    assert message in line
    with pytest.raises(OverridesError) as problem:
        Overrides.from_dict(content, "o.json").check(RETAIL)
    assert str(problem.value) == line


def test_what_is_not_modelled_anyway_may_be_forced_out():
    Overrides.from_dict(variable("gender", use="out", reason="never")).check(RETAIL)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "o.json"
    path.write_text("""{
        "format": 1, "portfolio": "german",
        "variables": {
            "agee": {"cuts": [1,
                1]},
            "income": {"reason": "", "use": "in"},
            "loan_type": {"groups": [["a"],
                ["Secured", "b"]]}
        }
    }""")
    with pytest.raises(OverridesError) as problem:
        Overrides.read(path, RETAIL)
    assert [line.split(": ")[0] for line in str(problem.value).splitlines()] == [
        "o.json, line 2, portfolio",
        "o.json, line 4, agee",
        "o.json, line 5, agee.cuts",
        "o.json, line 6, income.use",
        "o.json, line 7, loan_type.groups",
        "o.json, line 8, loan_type.groups",
    ]


def test_a_mistake_is_the_input_s_fault():
    assert issubclass(OverridesError, CreditRiskError) and not issubclass(OverridesError, BinningError)


# The parameters of a training run


def test_training_takes_a_json_file_counted_from_where_it_was_given():
    assert TrainParams().overrides == "" and TrainParams().hold_order is False
    given = check_params("train", {"overrides": "my/overrides.json", "hold_order": "yes"})
    assert given.hold_order is True
    assert given.resolved(Path("/book")).overrides == str(Path("/book/my/overrides.json"))
    for wrong in ("overrides.toml", "overrides", 3):
        with pytest.raises(ParameterError, match=r"^overrides: .*Allowed: a file ending in \.json, or empty"):
            check_params("train", {"overrides": wrong})
