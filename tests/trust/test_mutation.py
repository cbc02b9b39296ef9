"""The list of mutants is true, and mutants are noticed: two of them here, all of them under `make verify`."""

from __future__ import annotations

import collections

import pytest

from tests.trust.mutation import Mutant, load, main, trial

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.title[:100])
def test_a_mutant_changes_one_place_and_compiles(mutant: Mutant) -> None:
    compile(mutant.changed(), mutant.file, "exec")
    assert mutant.old != mutant.new and mutant.numba in ("both", "on", "off")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (mutant_root() / file).read_text(), test


def mutant_root() -> object:
    from tests.trust.mutation import ROOT

    return ROOT / "tests"


def test_there_are_mutants_of_everything() -> None:
    areas = collections.Counter(m.area for m in MUTANTS)
    assert set(areas) == {"samplers", "losses", "trainer", "noise", "theory", "metrics", "store", "protocol", "verdict"}
    assert sum(not m.equivalent for m in MUTANTS) >= 80 and min(areas.values()) >= 3


def test_wrong_code_is_noticed_and_harmless_code_is_not() -> None:
    tests = ("sim/test_verdict.py::test_several_verdicts_are_one",)
    line = 'return "holds" if found == {"holds"} else'
    wrong = Mutant("verdict", "sim/verdict.py", line, 'return "holds" if "holds" in found else', tests)
    harmless = Mutant("verdict", "sim/verdict.py", line, 'return "holds" if {"holds"} == found else', tests)
    assert [o.result for o in trial([wrong, harmless], jobs=1, modes=["off"])] == ["killed", "survived"]
    with pytest.raises(ValueError, match="is 0 times in the file"):
        trial([Mutant("verdict", "sim/verdict.py", "no such text", "", tests)], jobs=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_mutant_survives() -> None:
    assert main(["--jobs", "2"]) == 0
