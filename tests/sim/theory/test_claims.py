"""Claims: cheap ones run; all are able to fail; their reports are what `collapse verify` promises."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sim import noise
from sim.catalogue import CLAIMS
from sim.registry import natural
from sim.theory.claims import Claim, CounterExample, Outcome, Part, Setting, report, unexpected
from sim.theory.claims.base import collapse_verdict
from sim.theory.claims.c3 import meets_condition
from sim.theory.claims.c4 import critical
from sim.theory.claims.c10 import off_the_pole
from sim.theory.descent import Search
from sim.theory.minimise import minimise
from sim.verdict import Verdict

SHIPPED = [name for name in CLAIMS if CLAIMS[name].check.__module__.startswith("sim.theory.claims.")]
"""A plugin's claims are its own business."""
QUICK = ["C1", "C2", "C6", "C7", "C8"]


@pytest.mark.parametrize("name", QUICK)
def test_quick_claims_come_to_their_documented_verdict(name: str) -> None:
    outcome = CLAIMS[name].check(Setting())
    assert outcome.verdict == CLAIMS[name].documented
    assert outcome.counter_example.verdict == outcome.counter_example.demanded != outcome.verdict
    written = json.loads(json.dumps(report(name, outcome)))
    assert unexpected(written) == []
    assert {"id", "title", "hypotheses", "verdict", "bound", "best", "evidence", "counter_example"} <= set(written)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in QUICK])
def test_slow_claims_come_to_their_documented_verdict(name: str) -> None:
    assert unexpected(report(name, CLAIMS[name].check(Setting()))) == []


def test_whatever_is_not_as_documented_is_named(replace) -> None:
    counter = CounterExample("elsewhere", "inconclusive", "fails")
    parts = {"one": Part("holds", "2 of 2"), "two": Part("fails", "0 of 2"), "a plugin's": Part("fails", "0 of 1")}
    outcome = Outcome({"met": True, "unmet": False}, "holds", None, None, counter, parts=parts)
    documented: dict[str, Verdict] = {"one": "holds", "two": "inconclusive", "three": "holds"}
    replace(CLAIMS, "C99", Claim("a claim", "fails", lambda _: outcome, parts=documented))
    assert unexpected(report("C99", outcome)) == [
        "C99 (holds, documented: fails)",
        "C99 (not met: unmet)",
        "C99 (counter-example inconclusive, demanded: fails)",
        "C99 (not checked: three)",
        "C99 (two: fails, documented: inconclusive)",
    ]


def test_order_of_claims() -> None:
    """By their numbers, C2 before C10, whatever else was registered and wherever it stands."""
    assert sorted(SHIPPED, key=natural) == SHIPPED
    assert SHIPPED.index("C2") < SHIPPED.index("C10")


def test_verdicts_of_minimisers() -> None:
    """Collapsed, spread out, and not found at all."""
    classes, transition = np.repeat([0, 1], 3), noise.symmetric(2, 0.9)
    collapsed = minimise(classes, transition, loss="contrastive", alpha=1.0, restarts=3)
    assert collapse_verdict(collapsed, classes, 1.0)[0] == "holds"
    spread = minimise(classes, transition, loss="contrastive", squared=True, alpha=1.0, restarts=3)
    assert collapse_verdict(spread, classes, 1.0)[0] == "fails"
    unreachable = minimise(
        classes, transition, loss="contrastive", alpha=1.0, restarts=3, bound=0.5, search=Search(steps=50, polish=50)
    )
    assert collapse_verdict(unreachable, classes, 1.0)[0] == "inconclusive"


def test_condition_of_c3() -> None:
    assert meets_condition(noise.symmetric(3, 0.6))
    assert meets_condition(noise.symmetric(3, 0.1))
    assert not meets_condition(noise.symmetric(4, 0.25))
    assert meets_condition([[0.9, 0.1], [0.3, 0.7]])
    assert not meets_condition([[1.0, 0.0], [0.6, 0.4]])
    assert not meets_condition(noise.pair_flip(4, 0.8))


def test_phase_transition_of_c4() -> None:
    assert critical(2) == pytest.approx(0.5)
    assert critical(10**6) == pytest.approx(np.sqrt(0.5), abs=1e-5)
    for t in (2, 3, 7, 50):
        p = critical(t)
        assert p**2 + (1 - p) ** 2 / (t - 1) == pytest.approx(0.5)


def test_normalised_softmax_attains_its_noisy_bound_without_collapse() -> None:
    found = off_the_pole(0.9, 0.05)
    bound = found["bound: entropy of the label given the class"]
    assert found["expected loss"] == pytest.approx(bound, rel=1e-12)
    assert found["largest within-class distance"] > 1.9
