"""What a column of results is: told by the run's configuration, whatever a metric is called; and means that say over how many runs they are."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from sim import columns
from sim.catalogue import METRICS
from sim.cli import output
from sim.config import SCHEMA, RunConfig
from sim.errors import InvalidInput
from sim.metrics.base import Entry
from sim.studies import final, made_with, table
from sim.sweeps.execute import execute
from sim.sweeps.grid import grid
from sim.sweeps.rows import flatten
from sim.sweeps.store import Store
from sim.tables import document, readable, wide
from sim.training import RunResult

TINY = {
    "data.params": {"samples_per_mode": 8, "modes_per_class": 2},
    "batch.per_class": 4,
    "net.params": {"width": 8, "depth": 1},
    "steps": 2,
    "checkpoints": 1,
}


def stored(folder: Path, values: list[dict[str, float]], **fields: object) -> pd.DataFrame:
    """Results of one run a seed with these metrics."""
    configs = grid({**TINY, **fields}, {"seed": range(len(values))})
    Store(folder).add(
        [
            RunResult(c, rows=[{"step": 2, "split": "test", "loss": 0.1 * (1 + c.seed), **own}])
            for c, own in zip(configs, values, strict=True)
        ],
        1.0,
    )
    return Store(folder).load()


def test_a_row_of_a_real_run_is_run_fields_and_metrics(tmp_path: Path, replace) -> None:
    """Metrics that are called like the beginning of fields: the whole table falls into three parts, and they are what the run says."""
    for name in ("noise", "beta", "seeds", "data"):
        replace(METRICS, name, Entry(lambda runs: runs.x.sum((1, 2)), lambda options, name=name: (name,), False))
    base = {**TINY, "loss.name": "margin", "negative": "distance_weighted", "net.normalize": True}
    configs = grid({**base, "loss.params.alpha": 0.3}, {"seed": [0, 1]})
    execute(configs, Store(tmp_path))
    rows = Store(tmp_path).load()
    assert columns.fields(rows) == list(flatten(configs[0].model_dump(mode="json")))
    found = columns.metrics(rows)
    assert found[0] == "loss" and {"noise", "beta", "seeds", "data", "recall_at_1"} <= set(found)
    assert {*columns.ABOUT_RUNS, *columns.fields(rows), *found} >= set(rows.columns)
    assert not set(found) & {*columns.ABOUT_RUNS, *columns.fields(rows)}
    shuffled = final(rows)[sorted(rows.columns)]
    assert sorted(columns.metrics(shuffled)) == sorted(found) and output.varied(shuffled) == []


def test_fields_that_other_kinds_of_runs_have_are_fields(tmp_path: Path) -> None:
    from realdata.finetune import FineTune

    runs = [FineTune(seed=s) for s in (1, 2)]
    results = [RunResult(c, rows=[{"step": 1, "split": "test", "loss": 0.1 * c.seed}]) for c in runs]
    Store(tmp_path).add(results, 1.0, {c.key(): "" for c in runs})
    rows = Store(tmp_path).load()
    assert {"backbone", "augment", "precision"} <= set(columns.fields(rows)) and columns.metrics(rows) == ["loss"]


@pytest.mark.parametrize(
    "name", ["loss", "seed", "steps", "key", "schema", "inputs", "seconds", "split", "x_n", "x_low"]
)
def test_a_metric_that_would_hide_a_column_is_refused_before_the_first_step(name: str, replace) -> None:
    from sim.problems import build
    from sim.training import train

    replace(METRICS, "other", Entry(lambda runs: runs.x.sum((1, 2)), lambda options: (name,), False))
    (config,) = grid(TINY, {})
    steps: list[int] = []
    with pytest.raises(InvalidInput, match=f"metric: got '{name}'; allowed: a name that"):
        train([config], [build(config.data.name, 0, **config.data.params)], on_steps=steps.append)
    assert steps == []


def test_a_metric_that_hides_what_the_loss_learns_is_refused(replace) -> None:
    from sim.problems import build
    from sim.training import train

    replace(METRICS, "beta", Entry(lambda runs: runs.x.sum((1, 2)), lambda options: ("beta",), False))
    (config,) = grid({**TINY, "loss": {"name": "margin", "params": {"learn_beta": "global"}}}, {})
    with pytest.raises(InvalidInput, match="metric: got 'beta'; allowed: a name that isn't what the loss learns"):
        train([config], [build(config.data.name, 0, **config.data.params)])


def test_means_are_over_seeds_whatever_the_columns_say(tmp_path: Path) -> None:
    """Four settings of five seeds: four rows, though `loss`, a beta and a metric called `noise` differ from run to run."""
    axes = {"noise.level": [0.0, 0.2], "positive": ["easy", "random"], "seed": range(5)}
    configs = grid(TINY, axes)
    values = [
        {"loss": 0.1 * c.seed, "beta": 1 + 0.01 * i, "noise": i / 100, "recall_at_1": c.seed / 10}
        for i, c in enumerate(configs)
    ]
    Store(tmp_path).add(
        [RunResult(c, rows=[{"step": 2, "split": "test", **v}]) for c, v in zip(configs, values, strict=True)], 1.0
    )
    rows = Store(tmp_path).load()
    assert output.varied(rows) == ["noise.level", "positive"]
    summary = table(rows, ["recall_at_1", "loss"], output.varied(rows))
    assert list(summary["runs"]) == [5, 5, 5, 5]
    assert list(summary["recall_at_1"]) == pytest.approx([0.2] * 4)
    assert json.loads(json.dumps(output.records(summary)))[0]["recall_at_1_n"] == 5


def test_runs_of_another_version_are_not_averaged_with_todays(tmp_path: Path) -> None:
    rows = stored(tmp_path, [{"recall_at_1": 0.5}, {"recall_at_1": 0.7}])
    rows["schema"], rows["net.kind"] = [1, SCHEMA], "conv"
    assert output.varied(rows) == ["schema"]
    assert made_with(rows) == "recorded with schema 1: what has changed since leaves these runs as they are"
    assert "not what this version computes (fully connected nets" in made_with(rows.assign(**{"net.kind": "mlp"}))
    rows["data.params.test_limit"] = [300, None]
    assert "recorded with schema 1: not what this version computes (the images that test_limit picks" in made_with(rows)
    rows["schema"] = 9
    assert made_with(rows) == f"recorded with schema 9: this version has {SCHEMA}"
    assert made_with(rows.drop(columns="schema")) == ""


def test_a_mean_over_some_of_the_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A metric that only one of two stored runs has: everywhere its number is 0.25, of 1 of 2."""
    rows = stored(tmp_path, [{"recall_at_1": 0.25, "map_at_r": 0.5}, {"map_at_r": 0.7}])
    summary = table(rows, ["recall_at_1", "map_at_r", "nowhere"])
    found = summary[["runs", "recall_at_1", "recall_at_1_n", "map_at_r_n", "nowhere_n"]].to_dict("records")
    assert found == [{"runs": 2, "recall_at_1": 0.25, "recall_at_1_n": 1, "map_at_r_n": 2, "nowhere_n": 0}]
    text = readable(summary, ["recall_at_1", "map_at_r"])
    assert text["recall_at_1"][0] == "0.250 ± nan (mean of 1 of 2)" and "mean of" not in text["map_at_r"][0]
    assert wide(rows, "recall_at_1", str)["noise 0"][0] == "0.250 ± nan (mean of 1 of 2)"
    for form in ("markdown", "latex"):
        assert document(rows, "birds", form).count("(mean of 1 of 2)") == 1
    output.show_metrics(rows, "means")
    output.show_means("means", summary, ["recall_at_1", "map_at_r", "nowhere"])
    printed = capsys.readouterr().out
    assert "1 of 2" in next(line for line in printed.splitlines() if "recall_at_1 " in line)
    assert "0.25 (mean of 1 of 2)" in printed and "nan (mean of 0 of 2)" in printed


def test_a_figure_says_where_a_mean_is_over_some_of_the_runs() -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    from figures.style import POSITIVE_LOOK, line_with_band

    rows = pd.DataFrame({"noise.level": [0.0, 0.0, 0.2, 0.2], "spread": [1.0, 2.0, 3.0, None]})
    axis = Figure().subplots()
    line_with_band(axis, table(rows, ["spread"], ["noise.level"]), "noise.level", "spread", POSITIVE_LOOK["easy"])
    assert [(t.get_text(), t.xy) for t in axis.texts if isinstance(t, Annotation)] == [("1 of 2", (0.2, 3.0))]


def test_fields_are_those_of_the_configuration() -> None:
    assert all(columns.is_field(name) for name in flatten(RunConfig().model_dump(mode="json")))
