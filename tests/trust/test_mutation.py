"""The list of mutants is true, and mutants are noticed: two of them here, all of them under `make verify`."""

from __future__ import annotations

import collections
from contextlib import closing
from pathlib import Path

import pytest

from tests.trust.mutation import ROOT, Copy, Mutant, load, main, trial

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.title[:100])
def test_a_mutant_changes_one_place_and_compiles(mutant: Mutant) -> None:
    compile(mutant.changed(), mutant.file, "exec")
    assert mutant.old != mutant.new and mutant.numba in ("both", "on", "off")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / file).read_text(), test


def test_there_are_mutants_of_everything() -> None:
    areas = collections.Counter(m.area for m in MUTANTS)
    assert set(areas) == {
        "samplers", "losses", "trainer", "noise", "theory", "metrics", "store", "protocol", "verdict", "command line"
    }  # fmt: skip
    assert sum(not m.equivalent for m in MUTANTS) >= 80 and min(areas.values()) >= 3


def test_wrong_code_is_noticed_and_harmless_code_is_not() -> None:
    tests = ("sim/test_verdict.py::test_several_verdicts_are_one",)
    line = 'return "holds" if found == {"holds"} else'
    wrong = Mutant("verdict", "sim/verdict.py", line, 'return "holds" if "holds" in found else', tests)
    harmless = Mutant("verdict", "sim/verdict.py", line, 'return "holds" if {"holds"} == found else', tests)
    assert [o.result for o in trial([wrong, harmless], jobs=1, modes=["off"])] == ["killed", "survived"]
    with pytest.raises(ValueError, match="is 0 times in the file"):
        trial([Mutant("verdict", "sim/verdict.py", "no such text", "", tests)], jobs=1)


def test_tests_that_hang_are_ended(tmp_path: Path) -> None:
    """With what they have started; the process that runs the tests goes on."""
    with closing(Copy.make(tmp_path)) as copy:
        (tmp_path / "tests" / "test_hang.py").write_text(
            "import subprocess, time\n\n\ndef test_hang():\n    subprocess.Popen(['sleep', '300'])\n    time.sleep(300)\n"
        )
        (tmp_path / "tests" / "test_fine.py").write_text("def test_fine():\n    pass\n")
        assert copy.run(["test_hang.py"], "off", limit=5)[0] is None
        assert copy.run(["test_fine.py"], "off")[0] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_mutant_survives() -> None:
    assert main(["--jobs", "2"]) == 0
