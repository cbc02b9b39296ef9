"""A certificate that was changed in any place is refused, and the verifier needs nothing of the engine."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import pytest

from sim.errors import InvalidInput
from sim.theory import verifier
from sim.theory.certificates import (
    Certificate,
    certify_c3,
    certify_c4,
    certify_c7,
    certify_c7_between,
    certify_c8,
    exact_loss,
    gram_rank,
)
from sim.theory.verifier.setting import exact
from sim.theory.verifier.statements import NOISY, SIZE


@pytest.fixture(scope="module")
def c7() -> Certificate:
    return certify_c7("9/10", 5, "1/2")


@pytest.fixture(scope="module")
def c8() -> Certificate:
    return certify_c8("9/10", 4, "1/5")


def leaves(x: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(x, dict):
        return [leaf for k, v in x.items() for leaf in leaves(v, (*path, k))]
    if isinstance(x, list):
        return [leaf for k, v in enumerate(x) for leaf in leaves(v, (*path, k))]
    return [path]


def changed(data: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    data = copy.deepcopy(data)
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = change(target[path[-1]])
    return data


def nudge(x: Any) -> Any:
    if isinstance(x, int):
        return x + 1
    if x is None:
        return "1/7"
    return str(F(x) + F(1, 1000)) if x[0].isdigit() or x[0] == "-" else "C" + x


def test_every_single_number_is_guarded(c7: Certificate, c8: Certificate) -> None:
    """Any one entry changed anywhere is refused, save a field that the claim does not use (None)."""
    plane, slope = certify_c8("3/5", 3, "1/5", arrangement="plane"), certify_c7_between(5, method="slope")
    for certificate in (certify_c3("9/10", 2, "1/2"), certify_c4("9/10", 2, "1/5"), c7, c8, plane, slope):
        data = certificate.to_dict()
        assert verifier.verify(data) == []
        # Of a statement for every m >= 1 that for every m >= 2 is a part.
        paths = [p for p in leaves(data) if not (len(p) == 1 and data[p[0]] is None) and p != ("dimensions", 0)]
        accepted = [p for p in paths if not verifier.verify(changed(data, p, nudge))]
        assert accepted == []


@pytest.mark.parametrize("index", range(4))
def test_an_omitted_breakpoint_is_refused(c7: Certificate, index: int) -> None:
    data = c7.to_dict()
    del data["breakpoints"][index]
    assert verifier.verify(data) == ["breakpoints: 1 missing, 0 unknown"]


def test_a_consistent_forgery_is_refused(c7: Certificate) -> None:
    """Both embeddings swapped for others with their true values: still no proof."""
    data = c7.to_dict()
    better = data["better"]
    assert "class is not on one point" in verifier.verify({**data, "collapsed": better})[0]
    assert verifier.verify({**data, "better": data["collapsed"]}) == ["better: it is not better than collapse"]
    far = changed(data, ("collapsed", "distances"), lambda D: [[str(2 * F(x)) for x in row] for row in D])["collapsed"]
    T = c7.transition
    D = [[F(x) for x in row] for row in far["distances"]]
    far["value"] = str(exact_loss(D, c7.classes, T, loss="triplet", positive="easy", alpha=c7.alpha))
    assert verifier.verify({**data, "collapsed": far}) == ["collapsed: it is not the best collapsed embedding"]


def test_impossible_embedding_with_a_small_value_is_refused(c7: Certificate) -> None:
    """Same class at 0, other class at a, but one pair of samples torn apart: cheap, and no points do that."""
    n = len(c7.classes)
    D = [[F(0) if i == j else F(1, 2) * (1 + (i + j) % 3) for j in range(n)] for i in range(n)]
    assert gram_rank(D) is None
    value = exact_loss(D, c7.classes, c7.transition, loss="triplet", positive="easy", alpha=c7.alpha)
    better = {"distances": [[str(x) for x in r] for r in D], "dimension": 2, "value": str(value), "beta": None}
    assert verifier.verify({**c7.to_dict(), "better": better}) == ["better: the distances are not Euclidean"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("alpha",), 0.5),
        (("alpha",), "0.5"),
        (("alpha",), "-1/2"),
        (("claim",), "C9"),
        (("verdict",), "fails"),
        (("transition",), [["1/2", "1/4"], ["0", "1"]]),
        (("better",), None),
        (("classes",), []),
    ],
)
def test_malformed_certificates_are_refused(c7: Certificate, path: tuple[Any, ...], value: Any) -> None:
    assert verifier.verify(changed(c7.to_dict(), path, lambda _: value)) != []


def test_verifier_runs_alone_on_a_copy(tmp_path: Path, c8: Certificate) -> None:
    """A copy of the folder, no project and no packages: exit codes 0, 1, 2."""
    shutil.copytree(Path(verifier.__file__).parent, tmp_path / "verifier")
    c8.save(tmp_path / "good.json")
    data = json.loads((tmp_path / "good.json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps(changed(data, ("better", "value"), nudge)))

    def run(*files: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-E", "-s", "-S", "-m", "verifier", *files]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (run("good.json").returncode, run("good.json").stdout) == (0, "good.json: accepted\n")
    refused = run("good.json", "bad.json")
    assert refused.returncode == 1
    assert "bad.json: refused: better: the value is" in refused.stdout
    assert run("missing.json").returncode == 1
    assert run().returncode == 2


def test_saved_file_is_the_certificate(tmp_path: Path, c7: Certificate) -> None:
    c7.save(tmp_path / "c7.json")
    assert json.loads((tmp_path / "c7.json").read_text()) == c7.to_dict()
    assert verifier.verify(tmp_path / "c7.json") == []


def test_verifier_shares_no_code_with_the_engine() -> None:
    for file in Path(verifier.__file__).parent.glob("*.py"):
        text = file.read_text()
        assert "import sim" not in text and "from sim" not in text


def asked(t: int, claim: str = "C7", size: int = 2) -> dict[str, Any]:
    """One label for all, everything on one point, and nothing listed."""
    n = t * size
    T = [["1/2" if y < 2 else "0" for y in range(t)]] * t if t > 1 else [["1"]] * t
    collapsed = {
        "distances": [["0"] * n] * n,
        "dimension": 0,
        "value": "0",
        "beta": None if claim in ("C3", "C7") else "1",
    }
    easy = claim in ("C7", "C8")
    return {
        "claim": claim, "verdict": "holds", "classes": [c for c in range(t) for _ in range(size)], "transition": T, "alpha": "1",
        "statement": "no minimiser is collapsed" if easy else "a collapsed embedding is a minimiser", "positive": "easy" if easy else "all",
        "hypotheses": {SIZE: str(size)} | ({NOISY: "1/2"} if easy else {}), "dimensions": [1, None],
        "collapsed": collapsed, "better": None, "breakpoints": [], "collapsed_bound": "0", "one_class_bound": "0", "global_bound": "0",
    }  # fmt: skip


def right_value(data: dict[str, Any]) -> dict[str, Any]:
    setting = verifier.Setting(data)
    beta = data["collapsed"]["beta"]
    value = setting.value([[exact(F(0))] * setting.n] * setting.n, None if beta is None else F(beta))
    return {**data, "collapsed": {**data["collapsed"], "value": str(value)}}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (right_value(asked(8)), "breakpoints: 8 classes have more than 200000 cases to go through"),
        (right_value(asked(8, "C8", 10)), "more than 200000 near sets to go through"),
        (asked(0), "fewer than 2 classes"),
        (asked(1), "fewer than 2 classes"),
        (asked(101, "C3"), "more than 100 classes"),
        (asked(2, "C3", 60), "more than 100 samples"),
        ({**asked(2), "alpha": "1" + "0" * 600}, "not a rational of at most 500 characters: '1000"),
        ({**asked(2), "alpha": "1/" + "1" + "0" * 5000}, "not a rational of at most 500 characters: '1/10"),
        ({**asked(2), "alpha": "٣"}, "not a rational of at most 500 characters: '٣'"),
        ({**asked(2), "claim": ["C7"]}, "unknown claim: ['C7']"),
        ({**asked(2), "collapsed": {**asked(2)["collapsed"], "dimension": False}}, "collapsed: the dimension is not an integer"),
        ({**asked(2), "transition": 3}, "malformed: TypeError"),
    ],
    ids=lambda x: None if isinstance(x, str) else "",
)  # fmt: skip
def test_what_is_too_large_is_refused_by_name(data: dict[str, Any], reason: str) -> None:
    [said] = verifier.verify(data)
    assert said.startswith(reason) and len(said) < 300


def test_a_huge_beta_is_a_number_like_any_other() -> None:
    """Its value is beyond floats: b - 0 + a, and half of it, for all twelve ordered pairs."""
    data = asked(2, "C4")
    data["collapsed"]["beta"] = "1" + "0" * 450
    [said] = verifier.verify(data)
    assert said.startswith("collapsed: the value is 6" + "0" * 30) and said.endswith(", not 0")


def test_a_check_ends(monkeypatch: pytest.MonkeyPatch, c7: Certificate) -> None:
    monkeypatch.setattr(verifier.setting, "MOST_SECONDS", 0.0)
    assert verifier.verify(c7.to_dict()) == ["collapsed: not checked within 0 s"]


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"[1]", b"9" * 5000, b" " * 10_000_001]
)
def test_files_that_are_no_certificates(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "c.json"
    place.write_bytes(content)
    assert verifier.main([str(place)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{place}: refused: ") and said.count("\n") == 1 and len(said) < 400


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("1e999999999", 3, "1/2"), "p"),
        (("9/10", 3, "1e999999999"), "alpha"),
        (("9/10", 3, 10**5000), "alpha"),
        (("0." + "9" * 5000, 3, "1/2"), "p"),
        (("9/10", 10**9, "1/2"), "per_class"),
        (("9/10", 3, "1/2", 10**9), "t"),
        (("9/10", True, "1/2"), "per_class"),
    ],
)
def test_certificates_that_would_not_end_are_refused(arguments: tuple[Any, ...], field: str) -> None:
    for certify in (certify_c3, certify_c4, certify_c7, certify_c8):
        with pytest.raises(InvalidInput) as error:
            certify(*arguments)
        assert error.value.field == field
