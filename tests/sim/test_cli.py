"""The command line: what it writes, and how it refuses bad input (one line, exit code 2, nothing lost)."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sim import cli, kept_claims
from sim.catalogue import CLAIMS, FIGURES, STUDIES
from sim.errors import InvalidInput
from sim.sweeps.grid import grid

TINY = [
    "--set=steps=6",
    "--set=checkpoints=2",
    "--set=batch.per_class=4",
    "--set=net.params.width=8",
]
SMALL_DATA = ["--set=data.params.samples_per_mode=8", "--set=data.params.modes_per_class=2"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_train_prints_and_stores(collapse: Run, tmp_path: Path) -> None:
    code, out, _ = collapse("train", *TINY, *SMALL_DATA, "--set=noise.level=0.2", "--seeds=2", "--json=r/out.json")
    assert code == 0
    assert "within_mean" in out
    assert "2 of 2 runs" in out
    rows = json.loads((tmp_path / "r" / "out.json").read_text())
    assert [row["seed"] for row in rows] == [0, 1]
    assert all(row["noise.level"] == 0.2 and row["step"] == 6 for row in rows)
    assert (tmp_path / "results" / "store" / "index.sqlite").exists()
    assert collapse("train", *TINY, *SMALL_DATA, "--set=noise.level=0.2", "--seeds=2")[1] == out


def test_train_reads_yaml(collapse: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "data: {name: rings, params: {samples_per_mode: 8}}\nnoise: {level: 0.1, mode: static}\nsteps: 5\nseed: 9\n"
        "evaluate: [train]\nbatch: {per_class: 4}\nnet: {params: {width: 4}}\n"
    )
    code, _, _ = collapse("train", "--config=run.yaml", "--seed=3", "--json=out.json", "--set=steps=4")
    row = json.loads((tmp_path / "out.json").read_text())[0]
    assert code == 0
    assert (row["data.name"], row["noise.mode"], row["steps"], row["seed"], row["split"]) == (
        "rings",
        "static",
        4,
        3,
        "train",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set=loss.name=tripet"], "loss: got 'tripet'; allowed: one of softmax, "),
        (["train", "--set=positive=nearest"], "positive: got 'nearest'; allowed: one of all, random, easy"),
        (["train", "--set=positive=semihard"], "negative: got 'semihard'; allowed: one of random, easy, hard"),
        (["train", "--set=noise.level=1"], "noise: got 1.0; allowed: 0 <= noise < 1"),
        (["train", "--set=noise.level=-0.5"], "noise: got -0.5; allowed: 0 <= noise < 1"),
        (["train", "--set=noise.level=.nan"], "noise.level: got nan; allowed: input should be a finite number"),
        (["train", "--set=data.params.classes=1"], "classes: got 1; allowed: an integer, 2 to 5000"),
        (["train", "--set=batch.per_class=201"], "batch.per_class: got 201; allowed: at most"),
        (["train", "--set=noise"], "--set: got 'noise'; allowed: field=value"),
        (["train", "--set=nois.level=1"], "nois: got {'level': 1}; allowed: no such field; there are data, noise"),
        (["train", "--set=steps=2", "--set=steps.x=1"], "steps.x: got 1; allowed: steps has a value of its own"),
        (["train", "--config=none.yaml"], "config: got 'none.yaml'; allowed: a readable YAML file"),
        (["train", "--seeds=0"], "seeds: got 0; allowed: an integer, 1 to 10000"),
        (["train", "--seed=-1"], "seed: got -1; allowed: an integer >= 0"),
        (["train", "--device=tpu"], "device: got 'tpu'; allowed: cpu"),
        (["train", "--set=negative=distance_weighted"], "net.normalize: got False; allowed: true with"),
        (["bench", "--dataset=digit"], "data.name: got 'digit'; allowed: one of"),
        (["bench", "--noise=0,x"], "noise: got '0,x'; allowed: numbers separated by commas"),
        (["bench", "--noise=1.5"], "noise: got 1.5; allowed: 0 <= noise < 1"),
        (["bench", "--losses=triplet,x"], "loss: got 'x'; allowed: one of"),
        (["figures", "nothing"], "figure: got 'nothing'; allowed: one of"),
        (["figures", "--profile=fast"], "profile: got 'fast'; allowed: one of quick, full, tiny"),
        (["reproduce", "--seed=-1"], "seed: got -1; allowed: an integer >= 0"),
        (["verify", "--claims=C0"], "claim: got 'C0'; allowed: one of C1, C2"),
        (["verify", "--size=huge"], "size: got 'huge'; allowed: one of quick, full"),
        (["reproduce", "--profile=fast"], "profile: got 'fast'; allowed: one of quick, full, tiny"),
    ],
)
def test_bad_input_is_one_line(collapse: Run, arguments: list[str], message: str) -> None:
    code, _, err = collapse(*arguments)
    assert code == 2
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["steps: [", "- 1\n- 2\n", "\x00"])
def test_bad_yaml_is_one_line(collapse: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    code, _, err = collapse("train", "--config=bad.yaml")
    assert code == 2
    assert err.startswith("error: config: got 'bad.yaml'; allowed: ")
    assert err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_one_line(collapse: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = collapse("train", *TINY, *SMALL_DATA, "--out=file")
    assert code == 2
    assert err.startswith("error: out: got 'file/store'; allowed: a folder that can be written")


def test_a_run_that_diverges_is_named(collapse: Run) -> None:
    wild = [
        "--set=optimizer.lr=1e30",
        "--set=loss.name=contrastive",
        "--set=loss.params.squared=true",
        "--set=steps=50",
    ]
    code, out, err = collapse("train", *TINY[1:], *SMALL_DATA, *wild, "--set=optimizer.name=sgd")
    assert code == 2
    assert "seed 0" in out
    assert "diverged" in out
    assert err.startswith("error: run: got")


def test_a_bench_whose_runs_all_diverge_says_so(collapse: Run) -> None:
    wild = ["--set=optimizer.lr=1e30", "--set=optimizer.name=sgd", "--set=loss.params.squared=true", "--set=steps=50"]
    normal = ["--set=net.normalize=false", "--set=batch.per_class=4", "--set=net.params.width=8"]
    code, _, err = collapse("bench", "--losses=contrastive", "--noise=0", "--seeds=2", *wild, *normal)
    assert code == 2
    assert err.startswith("error: run: got")


def test_bench_takes_generators_and_other_splits(collapse: Run) -> None:
    code, out, _ = collapse("bench", "--dataset=rings", "--losses=triplet", "--noise=0", "--seeds=2", *TINY[:2],
                            "--set=evaluate=[train]", "--set=net.params.width=8")  # fmt: skip
    assert code == 0
    assert "Recall@1 on fine labels" in out


@pytest.mark.filterwarnings("default")
def test_eps_with_two_samples_warns_in_a_line(collapse: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", cli.show_warning)
    code, _, err = collapse("train", *TINY[:2], *SMALL_DATA, "--set=batch.per_class=2", "--set=net.params.width=8")
    assert code == 0
    assert err.startswith("warning: batch.per_class: with 2 samples a class")


def test_bench_writes_table_and_words(collapse: Run, tmp_path: Path) -> None:
    code, out, _ = collapse(
        "bench",
        "--losses=triplet",
        "--noise=0,0.3",
        "--seeds=2",
        *TINY[:2],
        "--set=net.params.width=8",
        "--json=b.json",
        "--markdown=t/b.md",
        "--latex=t/b.tex",
        "--retrieval=t/b.png",
    )
    assert code == 0
    assert (tmp_path / "t" / "b.md").read_text().startswith("## digits: Recall@1 on fine labels; mean ± half")
    assert r"\begin{tabular}" in (tmp_path / "t" / "b.tex").read_text()
    assert (tmp_path / "t" / "b.png").read_bytes().startswith(b"\x89PNG")
    assert "Recall@1 on fine labels is greater with easy than with random positives" in out
    written = json.loads((tmp_path / "b.json").read_text())
    assert len(written["table"]) == 4
    assert {f["verdict"] for f in written["findings"]} <= {"holds", "fails", "inconclusive"}
    assert all(row["recall_at_1_low"] <= row["recall_at_1"] <= row["recall_at_1_high"] for row in written["table"])
    named = [row["baseline"] for row in written["baselines"]]
    assert named[0] == "input, Euclidean" and named[-1] == "trained on fine labels, no noise: triplet, random, semihard"
    assert "## digits: floor and ceiling over the same 2 seeds" in (tmp_path / "t" / "b.md").read_text()
    assert "of the input as it is" in out
    code, out, _ = collapse(
        "bench", "--losses=triplet", "--noise=0", "--seeds=2", *TINY[:2], "--set=net.params.width=8", "--no-baselines"
    )
    assert code == 0 and "floor" not in out


def test_reproduce_writes_everything_and_resumes(collapse: Run, tmp_path: Path) -> None:
    tiny = ("reproduce", "--profile=tiny")
    code, out, _ = collapse(*tiny, "--json=v.json")
    assert code == 0
    report = (tmp_path / "results" / "report.html").read_text()
    assert report.count("data:image/png;base64,") == len(FIGURES)
    assert "://" not in report  # self-contained: it asks no other place for anything
    assert "its verdicts and pictures mean nothing" in report
    assert "settings" in out
    findings = json.loads((tmp_path / "v.json").read_text())
    assert {"noise_sweep", "k_effect", "digits"} <= {f["study"] for f in findings} <= set(STUDIES)
    for name in ("noise_sweep.csv", "noise_sweep.md", "digits.csv", "digits_findings.csv"):
        assert (tmp_path / "results" / "tables" / name).stat().st_size > 100
    # Nothing is trained again, and the report can be written anew from the store alone.
    index = tmp_path / "results" / "store" / "index.sqlite"
    stored = index.stat().st_mtime_ns
    (tmp_path / "results" / "report.html").unlink()
    assert collapse("report", "--profile=tiny", "--json=r.json")[0] == 0
    assert index.stat().st_mtime_ns == stored
    assert json.loads((tmp_path / "r.json").read_text()) == findings
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000


def test_another_first_seed_gives_other_runs() -> None:
    for name in STUDIES:
        here, there = (STUDIES[name].runs("tiny", seed) for seed in (0, 5))
        assert [c.seed + 5 for c in here] == [c.seed for c in there]
        assert not {c.key() for c in here} & {c.key() for c in there}


def test_report_reads_the_store_only(collapse: Run, tmp_path: Path) -> None:
    code, _, err = collapse("report")
    assert code == 2
    assert "out: got 'results'; allowed: a folder with all runs of" in err and "collapse reproduce makes them" in err
    assert not (tmp_path / "results" / "report.html").exists()


def test_figures_trains_what_is_missing(collapse: Run, tmp_path: Path) -> None:
    code, out, _ = collapse("figures", "embeddings", "generators", "--profile=tiny")
    assert code == 0
    for name in ("embeddings.pdf", "embeddings.png", "generators.pdf", "generators.png"):
        assert name in out
        assert (tmp_path / "results" / "figures" / name).stat().st_size > 10_000
    assert "spread_and_subclusters: Spread" in collapse("figures", "--list")[1]


def test_verify_prints_writes_and_judges(collapse: Run, tmp_path: Path, replace: Callable[..., None]) -> None:
    code, out, _ = collapse("verify", "--claims=C2,C6", "--json=c.json")
    assert code == 0
    assert "holds" in out
    written = json.loads((tmp_path / "c.json").read_text())
    assert [r["id"] for r in written] == ["C2", "C6"]
    assert all(r["counter_example"]["flipped"] for r in written)
    replace(CLAIMS, "C2", dataclasses.replace(CLAIMS["C2"], documented="fails"))
    code, _, err = collapse("verify", "--claims=C2")
    assert code == 1
    assert err == "not as documented: C2 (holds, documented: fails)\n"


def test_findings_are_kept_as_they_are(tmp_path: Path) -> None:
    """NumPy's truth values came back as the texts "True" and "False", both of which count as true."""
    reports = [
        {"id": "C2", "hypotheses": {"bounded": np.bool_(False)}, "error": np.float64(0.5), "counts": torch.tensor(3)}
    ]
    kept_claims.keep(tmp_path, reports)
    assert kept_claims.read(tmp_path) == [{"id": "C2", "hypotheses": {"bounded": False}, "error": 0.5, "counts": 3}]


def test_a_reader_that_has_enough_ends_a_command_without_a_word() -> None:
    program = (
        "import sys\n"
        "from sim import cli\n"
        "from sim.catalogue import COMMANDS\n"
        "list(COMMANDS)\n"
        "@COMMANDS.register('pour')\n"
        "def pour() -> None:\n"
        "    for _ in range(100_000):\n"
        "        print('much of it', flush=True)\n"
        "sys.argv = ['collapse', 'pour']\n"
        "cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_interruption_keeps_what_is_finished(tmp_path: Path) -> None:
    """Ctrl-C in the middle: exit code 130, one line, and the next call goes on from the finished groups."""
    program = (
        "import sys, sim.cli, sim.sweeps.execute as x, sim.sweeps.executors as e\n"
        "real, calls = e.train, []\n"
        "def train(*a, **k):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: raise KeyboardInterrupt\n"
        "    return real(*a, **k)\n"
        "e.train, x.MOST_RUNS_TOGETHER = train, 2\n"
        "sys.argv = ['collapse', 'train', '--seeds=6', *sys.argv[1:]]\n"
        "sim.cli.main()\n"
    )
    end = subprocess.run(
        [sys.executable, "-c", program, *TINY, *SMALL_DATA], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert end.returncode == 130
    assert end.stderr == "interrupted; what is finished is kept, and the same command goes on from there\n"
    from sim.sweeps.store import Store

    assert len(Store(tmp_path / "results" / "store").load()["key"].unique()) == 2


ODD = ["abc", "-1", "0", "1.5", ".nan", ".inf", "null", "[1]", "{a: 1}", "true"]
FIELDS = [
    "data.name", "data.params", "data.params.classes", "data.params.dim", "data.params.separation", "data.params.seed",
    "data.params.x", "data.params.split", "data.params.name", "noise.kind", "noise.level", "noise.mode", "noise.exact", "noise.params", "noise.params.rate",
    "net.kind", "net.dim", "net.normalize", "net.params", "net.params.width", "net.params.activation", "loss.name",
    "loss.params", "loss.params.alpha", "loss.params.squared_distances", "loss.params.reduction", "loss.params.x",
    "positive", "negative", "batch", "batch.classes", "batch.per_class", "optimizer.name", "optimizer.lr",
    "optimizer.loss_lr", "optimizer.weight_decay", "optimizer.schedule", "steps", "checkpoints", "evaluate",
    "save_embeddings", "dtype", "steps.x", "",
]  # fmt: skip


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("field", FIELDS)
def test_no_value_of_any_field_ends_in_a_traceback(collapse: Run, field: str) -> None:
    refused = 0
    for value in ODD:
        code, _, err = collapse("train", *TINY[:3], *SMALL_DATA, f"--set={field}={value}")
        assert code in (0, 2)
        if code == 2:
            refused += 1
            assert err.startswith("error: ")
            assert err.count("\n") == 1
    assert refused >= 1


def test_errors_survive_pickling() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(InvalidInput("noise", 2, "0 <= noise < 1")))
    assert str(error) == "noise: got 2; allowed: 0 <= noise < 1"


def test_grid_in_the_documentation_is_valid() -> None:
    assert len(grid({"steps": 10}, {"noise.level": [0, 0.1], "seed": range(3)})) == 6


def test_sweep_and_results(collapse: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "base: {steps: 4, checkpoints: 1, batch.per_class: 4, data.params: {samples_per_mode: 8}}\n"
        "grid: {positive: [easy, random]}\nseeds: 2\n"
    )
    code, out, _ = collapse("sweep", "s.yaml", "--executor=local", "--csv=rows.csv", "--json=s.json")
    assert code == 0
    assert "4 runs, 0 of them in" in out
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == "# collapse sweep s.yaml --csv rows.csv"
    assert len(lines) == 2 + 4
    assert {r["positive"] for r in json.loads((tmp_path / "s.json").read_text())} == {"easy", "random"}
    assert "4 runs, 4 of them in" in collapse("sweep", "s.yaml", "--executor=local")[1]
    code, out, _ = collapse("results", '--query=positive == "easy"', "--csv=all.csv", "--parquet=all.parquet")
    assert code == 0
    assert "2 runs (2 done), 4 rows" in out
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 5
    assert collapse("results", "--query=nothing > 1")[0] == 2
    assert collapse("results", "--out=elsewhere")[0] == 2
    assert collapse("sweep", "absent.yaml")[0] == 2
    (tmp_path / "bad.yaml").write_text("base:\n  stpes: 4\n")
    code, _, err = collapse("sweep", "bad.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: bad.yaml, line 2: stpes: got 4")
