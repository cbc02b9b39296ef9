"""Claims: cheap ones run; all are able to fail; their reports are what `collapse verify` promises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sim import noise
from sim.catalogue import CLAIMS, RECORDED
from sim.registry import natural
from sim.theory.claims import (
    Claim,
    CounterExample,
    Outcome,
    Part,
    Setting,
    c1,
    c3,
    c4,
    c5,
    c9,
    c10,
    c11,
    report,
    unexpected,
)
from sim.theory.claims.base import collapse_verdict
from sim.theory.claims.c3 import meets_condition
from sim.theory.claims.c4 import critical
from sim.theory.claims.c10 import off_the_pole
from sim.theory.descent import Search
from sim.theory.minimise import Minima, minimise
from sim.verdict import Verdict, decide

SHIPPED = [name for name in CLAIMS if CLAIMS[name].check.__module__.startswith("sim.theory.claims.")]
"""A plugin's claims are its own business."""
PAGES = {page.stem: page for page in (Path(__file__).parents[3] / "docs" / "claims").glob("*.md")}
HEADINGS = ["Statement", "Hypotheses", "Proof", "What is sharp", "Certificate", "Counter-example", "Re-run"]
QUICK = ["C1", "C2", "C6", "C8"]


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


def test_pages_are_of_claims() -> None:
    assert PAGES
    assert set(PAGES) == set(SHIPPED)


@pytest.mark.parametrize("name", sorted(PAGES, key=natural))
def test_pages_say_what_is_registered(name: str) -> None:
    """Title, documented verdict and those of the parts; all headings, in order."""
    lines, claim = PAGES[name].read_text(encoding="utf-8").splitlines(), CLAIMS[name]
    assert lines[0] == f"# {name}. {claim.title}"
    assert f"Documented verdict: {claim.documented}" in lines
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS
    assert any(f"collapse verify --claims {name}" in line for line in lines)
    for text, verdict in claim.parts.items():
        assert f"| {text} | {verdict} |" in lines


def _nothing(classes, transition, **options) -> Minima:
    """As if no restart had come anywhere."""
    start = minimise(classes, transition, **{**options, "restarts": 1, "search": Search(steps=0, polish=0)})
    return Minima(start.embeddings, torch.full_like(start.values, math.nan), start.betas, start.bound)


@pytest.mark.parametrize(("module", "name"), [(c1, "C1"), (c3, "C3"), (c4, "C4"), (c5, "C5")])
def test_a_search_that_finds_nothing_is_inconclusive(module, name: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "minimise", _nothing)
    outcome = CLAIMS[name].check(Setting())
    assert outcome.verdict == outcome.counter_example.verdict == "inconclusive"
    assert not any(part.verdict == "fails" for part in outcome.parts.values())
    json.dumps(report(name, outcome))


def test_trainings_that_tell_nothing_are_inconclusive(monkeypatch) -> None:
    def untold(keys, metrics) -> dict:
        return {key: {metric: [math.nan] * 3 for metric in metrics} for key in keys}

    def of_runs(runs, device) -> dict:
        keys = {(name, c.noise.level) for name, configs in runs.items() for c in configs}
        return untold(keys, ("relative_spread", "recall_at_1"))

    def of_configs(configs, device) -> dict:
        return untold({(c.data.name, c.noise.level) for c in configs}, ("within", "between"))

    points = torch.zeros(1, 9, 3, dtype=torch.float64)
    nowhere = Minima(points, torch.full((1,), math.nan), torch.full((1,), math.nan), 0.0)
    monkeypatch.setattr(c9, "_measure", of_configs)
    monkeypatch.setattr(c10, "_measure", of_runs)
    monkeypatch.setattr(c10, "minima", lambda *_, **__: nowhere)
    monkeypatch.setattr(c11, "_findings", lambda *_: [])
    monkeypatch.setattr(c11, "RECORDED", {})
    for name in ("C9", "C10", "C11"):
        outcome = CLAIMS[name].check(Setting())
        assert outcome.verdict == outcome.counter_example.verdict == "inconclusive", name
        json.dumps(report(name, outcome))


def test_hypotheses_are_computed(monkeypatch) -> None:
    """With settings that break them they are not met."""
    monkeypatch.setattr(c11, "noisy_runs", lambda _: [])
    monkeypatch.setattr(c11, "_findings", lambda *_: [])
    monkeypatch.setattr(c11, "RECORDED", {})
    assert not any(c11.check(Setting()).hypotheses.values())
    monkeypatch.setattr(c3, "meets_condition", lambda _: False)
    assert list(c3.hypotheses(noise.symmetric(2, 0.9), np.repeat([0, 1], 2), 2).values()) == [False, True, True]


def test_counter_examples_of_trainings_differ_in_one_thing() -> None:
    """C9: in the positives; C11: in the samples a class in the batch."""
    for steps in c9.STEPS["quick"]:
        checked, other = (c9._configs(Setting(), steps, p, "resampled", (0.1,)) for p in ("random", "easy"))
        assert [c.model_copy(update={"positive": "easy"}) for c in checked] == other
    runs = c11.noisy_runs(Setting())
    pairs = c11.in_pairs(runs)
    assert runs and {c.batch.per_class for c in pairs} == {2}
    restored = [c.model_copy(update={"batch": runs[0].batch}) for c in pairs]
    assert restored == runs


def test_one_failing_recorded_row_does_not_decide_c11(monkeypatch) -> None:
    """Its verdict is its own training's; recorded data sets have their own."""
    confirmed = decide([("Recall@1 on fine labels", "digits", [0.5, 0.6, 0.7], [0.1, 0.3, 0.2])])
    monkeypatch.setattr(c11, "_findings", lambda *_: confirmed)
    monkeypatch.setattr(c11, "RECORDED", {"fashion_mnist": RECORDED["fashion_mnist"]})
    outcome = c11.check(Setting())
    assert outcome.verdict == "holds"
    recorded = {text: part for text, part in outcome.parts.items() if text.startswith("recorded")}
    assert {text: part.verdict for text, part in recorded.items()} == {
        c11.recorded_part("fashion_mnist", "recall_at_1"): "holds",
        c11.recorded_part("fashion_mnist", "map_at_r"): "fails",
    }
    assert all("of 16 settings" in part.found for part in recorded.values())


def test_easy_positive_supcon_is_not_counted_again() -> None:
    """It is easy-positive N-pair: no part, and no training, of its own."""
    assert len([text for text in c10.PARTS if text.startswith("easy-positive")]) == 1
    assert c10.AGAINST[c10.EASY_POSITIVES] == ("N-pair", "SupCon")
    runs = c10._configs(Setting(), "mlp", c10.COLLAPSING | c10.KEEPING)
    assert c10._hypotheses(runs, runs)["easy-positive N-pair and SupCon are one loss"]


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
    assert not meets_condition(c3.PUSHED)
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
