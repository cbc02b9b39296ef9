"""What commands write is checked before they work; what they kept is checked when it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sim import cli, kept_claims
from sim.catalogue import CLAIMS, COMMANDS
from sim.errors import InvalidInput
from sim.sweeps.store import Store

REPORTS = [
    {"id": name, "verdict": "holds", "bound": 0.5 * k, "evidence": {"text": "a\nb — ü", "nothing": None}}
    for k, name in enumerate(("C1", "C2", "C10", "Z"))
]
WORK = {
    "train": ("json",),
    "sweep noise_sweep_quick": ("json", "csv"),
    "results": ("json", "csv", "parquet"),
    "verify": ("json",),
    "bench": ("json", "markdown", "latex", "retrieval"),
    "reproduce": ("json",),
    "report": ("json",),
    "finetune": ("json",),
    "explore": ("animation",),
}


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in WORK.items() for o in options])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    for place in ("file/a", "folder"):
        assert cli.run([*command.split(), f"--{option}={place}"]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {option}") and err.count("\n") == 1
    assert sorted(os.listdir()) == ["file", "folder"]


def test_every_option_that_writes_is_looked_at() -> None:
    """A new command's --json, --csv, ... can't be forgotten."""
    import inspect

    for name in COMMANDS:
        for parameter in inspect.signature(COMMANDS[name], eval_str=True).parameters.values():
            for option in getattr(parameter.annotation, "__metadata__", ()):
                told = str(option.help)
                if "to this" in told or "Markdown file" in told or "PDF or PNG" in told:
                    assert option.callback is not None, f"{name}: {parameter.name}"


def test_findings_are_kept_in_the_order_of_claims(tmp_path: Path) -> None:
    kept_claims.keep(tmp_path, REPORTS[::-1])
    assert kept_claims.read(tmp_path) == REPORTS
    kept_claims.keep(tmp_path, [{**REPORTS[1], "verdict": "fails"}])
    assert [r["verdict"] for r in kept_claims.read(tmp_path)] == ["holds", "fails", "holds", "holds"]
    json.loads((tmp_path / "claims.json").read_text())


def test_findings_of_earlier_releases_are_read(tmp_path: Path) -> None:
    (tmp_path / "claims.json").write_text(json.dumps(REPORTS, indent=2))
    assert kept_claims.read(tmp_path) == REPORTS
    kept_claims.keep(tmp_path, [])
    assert kept_claims.read(tmp_path) == REPORTS


def test_any_flipped_bit_of_findings_is_named(tmp_path: Path) -> None:
    """What is still given is what was written; what isn't is said to be missing."""
    kept_claims.keep(tmp_path, REPORTS)
    place = tmp_path / "claims.json"
    content = place.read_bytes()
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        place.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"claims.json is damaged: .* are whole"):
            found = kept_claims.read(tmp_path)
        assert len(found) >= 2 and all(report in REPORTS for report in found)
    assert (tmp_path / "claims.damaged.json").read_bytes() == damaged


def test_findings_that_are_cut_or_lack_a_line_are_named(tmp_path: Path) -> None:
    kept_claims.keep(tmp_path, REPORTS)
    place = tmp_path / "claims.json"
    lines = place.read_text().splitlines(keepends=True)
    for kept in (lines[:3], lines[:1] + lines[2:], [*lines[:3], lines[3][:40]]):
        place.write_text("".join(kept))
        with pytest.warns(UserWarning, match="is damaged"):
            assert kept_claims.read(tmp_path) == [r for r in REPORTS if any(f'"{r["id"]}"' in k for k in kept[1:4])][:3]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[" * 100_000, b'{"a": 1}', b"[1]", b"null", b"12"])
def test_verify_refuses_a_file_it_cannot_read_before_it_works(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "claims.json").write_bytes(content)

    def work(*_: object) -> None:
        raise AssertionError("worked first")

    monkeypatch.setattr(type(CLAIMS["C2"]), "check", property(lambda _: work), raising=False)
    assert cli.run(["verify", "--claims=C2", f"--out={tmp_path}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: out: got '{tmp_path}/claims.json'"[:60]) and err.count("\n") == 1
    assert (tmp_path / "claims.json").read_bytes() == content
    with pytest.raises(InvalidInput):
        kept_claims.read(tmp_path)


def test_a_query_from_the_command_line_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sim.config import RunConfig
    from sim.training import RunResult

    monkeypatch.chdir(tmp_path)
    Store("results/store").add([RunResult(RunConfig(), rows=[{"step": 0, "split": "test", "loss": 1.0}])], 1.0)
    before = sorted(tmp_path.rglob("*"))
    assert cli.run(["results", '--query=@os.system("touch hacked") == 0']) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert cli.run(["results", "--query=loss.name == 'triplet' and loss >= 1"]) == 0
    assert "1 runs (1 done), 1 rows" in capsys.readouterr().out
