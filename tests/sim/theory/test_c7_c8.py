"""C7's and C8's checks: hypotheses from the case, verdicts that can go either way, and undecided where nothing is found."""

from __future__ import annotations

from fractions import Fraction as F

import pytest

from sim.theory.certificates import NotFound
from sim.theory.claims import CLAIMS, Setting, c7, c8


def test_c7_hypotheses_are_those_of_the_case() -> None:
    assert all(c7.hypotheses("9/10", 12, 2, "easy").values())
    for arguments, text in (
        (("9/10", 12, 2, "all"), "positives are easy"),
        (("1", 12, 2, "easy"), "q > 0"),
        (("9/10", 3, 2, "easy"), "four or more samples a class"),
    ):
        assert [name for name, met in c7.hypotheses(*arguments).items() if not met] == [text]


def test_c7_can_go_either_way() -> None:
    """By the same function: holds, fails by other positives, fails without noise, undecided where no better one is found."""
    holds, fails = c7.case("9/10", 4, "easy", 3), c7.case("9/10", 4, "all", 3)
    assert (holds[0], fails[0]) == ("holds", "fails")
    assert fails[1]["best free, m = 2"]["value"] >= fails[1]["best collapsed (exact)"] * (1 - 1e-9)
    assert c7.case("1", 4, "easy", 0)[0] == "fails"
    verdict, evidence = c7.case("9/10", 3, "easy", 0)
    assert verdict == "inconclusive" and evidence["reason"].startswith("C7: the best embedding found has")


def test_a_search_that_contradicts_the_certificate_leaves_c7_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c7, "best_free", lambda *_, **__: {"value": 1e9})
    assert c7.case("9/10", 4, "easy", 1)[0] == "inconclusive"
    monkeypatch.setattr(c7, "best_free", lambda *_, **__: {"value": 0.0})
    assert c7.case("9/10", 4, "all", 1)[0] == "inconclusive"


def test_a_certificate_that_is_not_found_does_not_crash_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> None:
        raise NotFound("nothing was found")

    monkeypatch.setattr(c7, "certify_c7", nothing)
    monkeypatch.setattr(c7, "certify_c7_between", nothing)
    monkeypatch.setattr(c8, "certify_c8", nothing)
    for name in ("C7", "C8"):
        outcome = CLAIMS[name].check(Setting())
        assert outcome.verdict == outcome.counter_example.verdict == "inconclusive"
        assert "nothing was found" in str(outcome.evidence)


def test_c8_hypotheses_are_those_of_the_case() -> None:
    assert all(all(c8.hypotheses(*case).values()) for case in c8.CASES["full"])
    assert set(c8.NEAR) <= set(c8.CASES["quick"])
    assert not c8.hypotheses(*c8.COUNTER)["s_in > 1/2"]
    assert not c8.hypotheses(2, 4, "1/2")["s_in > 1/2"]
    assert not c8.hypotheses(2, 4, "1")["q > 0"]


def test_c8_counter_example_differs_in_p_only() -> None:
    assert c8.COUNTER[:2] == c8.NEAR[-1][:2] and F(c8.COUNTER[2]) < F(c8.NEAR[-1][2])
    holds, fails = c8.case(*c8.NEAR[-1], Setting()), c8.case(*c8.COUNTER, Setting())
    assert (holds[0], fails[0]) == ("holds", "fails")
    assert fails[1]["best free, m = 2"] >= fails[1]["best collapsed (exact)"]
