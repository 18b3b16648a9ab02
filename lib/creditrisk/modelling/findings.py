"""The findings of a validation: what a test gives, the thresholds it is held against, and what all of them come to.

Most thresholds are conventions or a lender's policy, since no regulator sets them, and each says so. A finding is never
blank: what cannot be computed is "not applicable", with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan

from creditrisk.modelling.inference import Interval

PASS, WATCH, FAIL, NOT_APPLICABLE = "pass", "watch", "fail", "not applicable"

ECB = "ECB Instructions (2019)"
POLICY = "policy default; no regulator sets one"


@dataclass(frozen=True)
class Finding:
    """One test and its result, as plain data.

    `key` is section.test and stays the same from release to release: whoever reads result.json reads it by key. `form`
    is how the value is written.
    """

    key: str
    name: str
    value: float | None
    status: str
    threshold: str = ""
    source: str = ""
    why: str = ""
    interval: tuple[float, float] | None = None
    form: str = "{:.3f}"

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def shown(self) -> str:
        """The value, with its interval if it has one; empty where there is none."""
        if self.value is None or not isfinite(self.value):
            return ""
        text = self.form.format(self.value)
        if self.interval is None or not all(map(isfinite, self.interval)):
            return text
        return f"{text} ({self.form.format(self.interval[0])} to {self.form.format(self.interval[1])})"

    def to_dict(self) -> dict:
        """Plain data for JSON, which knows no NaN."""
        plain = asdict(self) | {"section": self.section, "value": _plain(self.value)}
        plain["interval"] = None if self.interval is None else [_plain(end) for end in self.interval]
        del plain["form"]
        return plain


def _plain(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(value)


@dataclass(frozen=True)
class Limit:
    """From `watch` on a value is watched, from `fail` on it fails; `side` says which way is worse. Infinite: never."""

    watch: float
    fail: float
    source: str
    side: str = "above"

    def status(self, value: float) -> str:
        if self.side == "below":
            return FAIL if value < self.fail else WATCH if value < self.watch else PASS
        return FAIL if value >= self.fail else WATCH if value >= self.watch else PASS

    def text(self, form: str = "{:.2f}") -> str:
        word = "from" if self.side == "above" else "below"
        ends = (("watch", self.watch), ("fail", self.fail))
        return ", ".join(f"{name} {word} {form.format(end)}" for name, end in ends if isfinite(end))


@dataclass(frozen=True)
class Band:
    """Where a value should lie. One outside is watched, and fails when its whole interval lies outside."""

    low: float
    high: float
    source: str

    def status(self, value: Interval) -> str:
        if self.low <= value.value <= self.high:
            return PASS
        return FAIL if value.high < self.low or value.low > self.high else WATCH

    @property
    def text(self) -> str:
        return f"{self.low:g} to {self.high:g}; fail when the interval lies outside"

    def why(self, value: Interval) -> str:
        if self.status(value) == WATCH:
            return "outside, but the interval reaches inside: more outcomes will tell"
        if self.status(value) == FAIL:
            return "the whole interval lies outside"
        return "" if self.low <= value.low and value.high <= self.high else "inside; the interval reaches beyond"


FEWEST_BADS, ENOUGH_BADS = 20, 100
"""Fewer bads than the first cannot judge a model, fewer than the second judge it poorly."""
OBSERVED_EXPECTED = Band(0.9, 1.1, "bounds of the release gate")
JEFFREYS = Limit(0.05, 0.01, f"{ECB}, 2.5.3.1; cut-offs are policy", "below")


def number_text(value: float) -> str:
    """A number as people write it: no exponent, no needless decimals."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def p_text(p: float) -> str:
    """A p-value in words."""
    return "p below 0.001" if p < 0.001 else f"p {p:.3f}"


def nothing(key: str, name: str, why: str, threshold: str = "", source: str = "") -> Finding:
    return Finding(key, name, None, NOT_APPLICABLE, threshold, source, why)


def too_few(bads: int, rows: int) -> str:
    """Why so few bads, or goods, cannot judge; empty when they can."""
    fewest = min(bads, rows - bads)
    return f"insufficient defaults: {bads:,} bads and {rows - bads:,} goods" if fewest < FEWEST_BADS else ""


def banded(key: str, name: str, value: Interval, band: Band) -> Finding:
    """A figure with its interval, held against a band; one that is not known is not applicable, never in the band."""
    if isnan(value.value):
        return nothing(key, name, "it cannot be estimated from these rows", band.text, band.source)
    return Finding(
        key, name, value.value, band.status(value), band.text, band.source, band.why(value), (value.low, value.high)
    )


_ORDER = {NOT_APPLICABLE: -1, PASS: 0, WATCH: 1, FAIL: 2}


def worst(statuses: Iterable[str]) -> str:
    """The worst of some statuses; not applicable when none applies."""
    return max([NOT_APPLICABLE, *statuses], key=_ORDER.__getitem__)


@dataclass(frozen=True)
class Verdict:
    """What the findings come to: `status` is pass, watch or fail, `action` what it asks for, `text` the sentence."""

    status: str
    action: str
    text: str


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The verdict on all findings.

    Any failure is a failure: of discrimination, the model should be developed anew; of calibration alone, calibrated
    anew; of anything else, mended. Without enough defaults there is no verdict.
    """
    failed = [one for one in findings if one.status == FAIL]
    watched = [one for one in findings if one.status == WATCH]
    names = "; ".join(one.name for one in failed or watched)
    sections = {one.section for one in failed}
    if any(one.key == "data.defaults" for one in failed):
        return Verdict(FAIL, "wait", "No verdict: there are too few defaults to judge with.")
    if "discrimination" in sections:
        return Verdict(FAIL, "redevelop", f"Not fit for use: develop anew. Failed: {names}.")
    if sections == {"calibration"}:
        return Verdict(FAIL, "recalibrate", f"Not fit for use as it is: calibrate anew. Failed: {names}.")
    if failed:
        return Verdict(FAIL, "mend", f"Not fit for use until mended. Failed: {names}.")
    if watched:
        return Verdict(WATCH, "watch", f"Fit for use, with points to watch: {names}.")
    return Verdict(PASS, "none", "Fit for use: every test that applies is passed.")
