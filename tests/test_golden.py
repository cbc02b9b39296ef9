"""What runs are called and what they come to must not change unseen: golden run keys, and recorded rows of what is bundled."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from realdata import benchmark, recorded
from realdata.finetune import FineTune
from sim.config import RunConfig, dotted, parse
from sim.fused import program
from sim.problems import build
from sim.sweeps import spec
from sim.sweeps.execute import groups
from sim.sweeps.grid import grid
from sim.training import train

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "run_keys.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["specifications"])
def test_keys_of_the_shipped_specifications(name: str) -> None:
    keys = [c.key() for c in spec.load(name)]
    found = {"runs": len(keys), "first": keys[0], "last": keys[-1]}
    assert {**found, "all": hashlib.sha256("".join(keys).encode()).hexdigest()} == GOLDEN["specifications"][name]


@pytest.mark.parametrize("case", GOLDEN["runs"], ids=lambda case: json.dumps(case["fields"]))
def test_keys_of_runs(case: dict[str, Any]) -> None:
    assert grid(case["fields"], {})[0].key() == case["key"]


@pytest.mark.parametrize("case", GOLDEN["fine_tune"], ids=lambda case: json.dumps(case["fields"]))
def test_keys_of_fine_tuning(case: dict[str, Any]) -> None:
    assert parse(FineTune, dotted(case["fields"])).check().key() == case["key"]


def test_rows_of_the_bundled_digits() -> None:
    """Losses, policies and kinds of noise on digits, 12 steps: changed draws or code show, rounding has no time to grow."""
    with (Path(__file__).parent / "golden" / "digits_rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    configs = {c.key(): c for row in rows for c in digits(row)}
    found = {}
    for group in groups(list(configs.values())):
        results = train(group, [build(c.data.name, c.seed, **c.data.params) for c in group])
        found |= {c.key(): result.rows[-1] for c, result in zip(group, results, strict=True)}
    for row in rows:
        last = found[row["key"]]
        for metric in ("loss", "within_mean", "between_mean", "recall_at_1", "map_at_r"):
            assert last[metric] == pytest.approx(float(row[metric]), rel=2e-4), (row, metric)


@pytest.mark.parametrize("loss", ["triplet", "margin"])
def test_recorded_rows_of_digits_are_what_is_computed(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last recorded digit, after 1,000 steps of the tensor program. (N-pair and multi-similarity take exponentials, in which machines
    differ.)"""
    monkeypatch.setattr(program, "has_fma", lambda: False)
    rows = recorded.rows("digits")
    configs = [
        c
        for c in spec.load("digits")
        if c.loss.name == loss and c.noise.level == 0.2 and c.seed < 2 and c.positive == "easy"
    ]
    results = train(configs, [build("digits", c.seed, **c.data.params) for c in configs])
    for config, result in zip(configs, results, strict=True):
        own = (rows["loss.name"] == loss) & (rows["positive"] == "easy") & (rows["noise.level"] == 0.2)
        (row,) = rows[own & (rows["seed"] == config.seed)].to_dict("records")
        for metric in (
            "loss",
            "within_mean",
            "between_mean",
            "relative_spread",
            "recall_at_1",
            "recall_at_8",
            "map_at_r",
        ):
            assert f"{result.rows[-1][metric]:.5g}" == f"{row[metric]:.5g}", metric


def digits(row: dict[str, str]) -> list[RunConfig]:
    settings = {
        **benchmark.SETTINGS, "data.name": "digits", "data.params": {"limit": 30, "test_limit": 15}, "noise.level": 0.2, "steps": 12,
        "checkpoints": 1, "save_embeddings": False, "net.params": {"width": 16, "depth": 1}, "batch.per_class": 12,
    }  # fmt: skip
    own = {name: row[name] for name in ("loss.name", "negative", "positive", "noise.mode")}
    return grid({**settings, **own, "seed": int(row["seed"])}, {})
