"""The cut-off policy: one definition for one PD and many, the one in force decides, mistakes are located."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditrisk.errors import DataError, ParameterError
from creditrisk.serving.policy import DECISIONS, Policies, Policy, load_policies, parse_policies

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
FILE = """
[[policy]]
version = "2026-01"
effective = 2026-01-01
approve_below = 0.08
decline_from = 0.15

[[policy]]
version = "2026-07"
effective = 2026-07-01T00:00:00+05:30
approve_below = 0.06

[[policy]]
version = "cards-1"
effective = 2026-03-01
approve_below = 0.04
portfolio = "cards"
"""

probabilities = st.floats(0, 1)


def policy(approve_below: float, decline_from: float | None = None) -> Policy:
    return Policy(version="p", effective=ALWAYS, approve_below=approve_below, decline_from=decline_from)


@st.composite
def policies_and_pds(draw) -> tuple[Policy, list[float]]:
    low, high = sorted((draw(probabilities), draw(probabilities)))
    near = st.sampled_from([np.nextafter(cut, to) for cut in (low, high) for to in (cut, 0.0, 1.0)]).map(float)
    return policy(low, high), draw(st.lists(probabilities | near, max_size=20))


# ------------------------------------------------------------------------------------- deciding


@given(policies_and_pds())
def test_one_pd_and_an_array_of_them_get_the_same_decision_and_it_is_the_one_of_the_words(given_):
    chosen, pds = given_
    low, high = chosen.cut_offs
    expected = ["approve" if pd < low else "decline" if pd >= high else "refer" for pd in pds]
    assert [chosen.decide(pd) for pd in pds] == expected
    assert chosen.decide(np.array(pds)).tolist() == expected


@given(policies_and_pds())
def test_a_higher_pd_never_gets_a_milder_decision(given_):
    chosen, pds = given_
    severity = [DECISIONS.index(one) for one in chosen.decide(np.sort(np.array(pds)))]
    assert severity == sorted(severity)


def test_a_pd_exactly_at_a_cut_off_has_reached_it():
    chosen = policy(0.08, 0.15)
    at = [0.08, np.nextafter(0.08, 0), 0.15, np.nextafter(0.15, 0), 0, 1]
    expected = ["refer", "approve", "decline", "refer", "approve", "decline"]
    assert [chosen.decide(pd) for pd in at] == expected
    assert chosen.decide(np.array(at)).tolist() == expected
    assert policy(0.1).decide(0.1) == "decline"  # without decline_from nobody is referred


def test_decisions_on_an_array_are_plain_texts_in_its_shape():
    decided = policy(0.5).decide(np.array([[0.1, 0.9]], np.float32))
    assert decided.shape == (1, 2)
    assert {type(one) for one in decided.flat} == {str}  # databases take no NumPy texts
    assert policy(0.5).decide(np.array([])).shape == (0,)


@pytest.mark.parametrize("pd", [float("nan"), float("inf"), -1e-9, 1.0000001])
def test_what_is_no_pd_is_refused(pd):
    with pytest.raises(DataError, match="no PD"):
        policy(0.1).decide(pd)
    with pytest.raises(DataError, match=r"row 3 has .*no PD"):
        policy(0.1).decide(np.array([0.0, 1.0, pd, 0.2]))


def test_without_a_file_the_model_declines_from_its_own_cut_off_on():
    chosen = Policies.of_model(SimpleNamespace(threshold=0.2)).in_force(ALWAYS, "retail")
    assert chosen.version == "model-cut-off"
    assert [chosen.decide(pd) for pd in (np.nextafter(0.2, 0), 0.2)] == ["approve", "decline"]


# ------------------------------------------------------------------------------------- which one is in force


def test_the_last_policy_to_take_effect_decides_from_its_first_moment_on():
    policies = parse_policies(FILE)
    change = datetime(2026, 6, 30, 18, 30, tzinfo=UTC)  # midnight of 1 July five and a half hours east
    moments = [datetime(2026, 1, 1, tzinfo=UTC), change - timedelta(microseconds=1), change]
    assert [policies.in_force(at).version for at in moments] == ["2026-01", "2026-01", "2026-07"]


def test_a_portfolio_has_its_own_policy_once_that_is_in_force_and_the_common_one_before():
    policies = parse_policies(FILE)
    before, after = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert [policies.in_force(at, "cards").version for at in (before, after)] == ["2026-01", "cards-1"]
    assert policies.in_force(after, "retail").version == "2026-07"


def test_before_the_first_policy_takes_effect_the_error_says_when_that_is():
    with pytest.raises(ParameterError, match=r"policy.toml: no policy .* at 2025-12-31 .* takes effect on 2026-01-01"):
        parse_policies(FILE).in_force(datetime(2025, 12, 31, tzinfo=UTC))
    only_cards = parse_policies(FILE[FILE.rindex("[[") :])
    with pytest.raises(ParameterError, match="'retail' is in force .*; there is none"):
        only_cards.in_force(datetime(2030, 1, 1, tzinfo=UTC), "retail")


@given(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=8), st.integers(0, 1000))
def test_the_order_of_policies_in_a_file_does_not_matter(days, day):
    made = [Policy(version=str(n), effective=ALWAYS + timedelta(days=d), approve_below=0.1) for n, d in enumerate(days)]
    at = ALWAYS + timedelta(days=day)
    begun = [one for one in made if one.effective <= at]
    if begun:
        assert Policies(tuple(made)).in_force(at) == max(begun, key=lambda one: one.effective)
    else:
        with pytest.raises(ParameterError):
            Policies(tuple(made)).in_force(at)


# ------------------------------------------------------------------------------------- the file

RIGHT = '[[policy]]\nversion = "a"\neffective = 2026-01-01\napprove_below = 0.1\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RIGHT.replace("0.1", "1.1"), "line 4, policy.0.approve_below: must be less than or equal to 1, but it is 1.1"),
        (RIGHT.replace("0.1", "nan"), "line 4, policy.0.approve_below: must be a finite number, but it is nan"),
        (RIGHT.replace("0.1", "true"), "line 4, policy.0.approve_below: must be a number, but it is True"),
        (RIGHT + "declne_from = 0.2\n", "line 5, .*did you mean 'decline_from'"),
        (RIGHT.replace("2026-01-01", '"2026"'), "line 3, policy.0.effective: must be a date"),
        (RIGHT.replace("2026-01-01", "2026-01-01T10:00:00"), "line 3, .*has no time zone: write 2026-01-01T10:00:00Z"),
        (RIGHT.replace("2026-01-01", "0001-01-01T00:00:00+05:00"), "line 3, .*before year 1"),
        (RIGHT + "decline_from = 0.05\n", "line 5, policy.0.decline_from: must not be below approve_below, 0.1"),
        (RIGHT + RIGHT.replace("01-01", "02-01"), "line 6, policy.1.version: 'a' is the version of another"),
        (RIGHT + RIGHT.replace('"a"', '"b"'), "line 7, policy.1.effective: 'a' takes effect at the same moment"),
        (RIGHT.replace("effective", "# effective"), "line 1, .*the key 'effective' is missing"),
        (RIGHT.replace("[[policy]]", "[policy]"), "line 1, policy: must be a list"),
        (RIGHT + "approve_below = ", "line 5: not valid TOML"),
        ("# nothing yet\n", "there is no policy in it"),
        ("policy = []\n", "there is no policy in it"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_line_key_and_value(text, said):
    with pytest.raises(ParameterError, match=f"cut-offs.toml[,:].*{said}") as caught:
        parse_policies(text, "cut-offs.toml")
    assert len(str(caught.value).splitlines()) == 1


def test_all_mistakes_are_said_at_once():
    with pytest.raises(ParameterError) as caught:
        parse_policies(RIGHT.replace("0.1", "2").replace('"a"', "7"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ParameterError, match="absent.toml: there is no such policy file"):
        load_policies(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ParameterError, match="latin.toml: not UTF-8"):
        load_policies(tmp_path / "latin.toml")
    (tmp_path / "right.toml").write_text(RIGHT)
    assert load_policies(tmp_path / "right.toml").in_force(datetime(2027, 1, 1, tzinfo=UTC)).cut_offs == (0.1, 0.1)


def test_the_example_in_the_documentation_is_a_file_of_policies():
    page = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    policies = parse_policies(example)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert policies.in_force(at, "cards").decide(0.07) == "decline"
    assert policies.in_force(at, "retail").decide(0.1) == "refer"
