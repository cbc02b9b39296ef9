"""Figures show what the store holds: the plotted numbers are the table's."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from figures import Source, schematic, throughput, zero_loss
from figures.render import provenance, render
from figures.report import conclude, write_report
from figures.spread_and_subclusters import draw_metrics
from sim.catalogue import FIGURES, POSITIVES, STUDIES
from sim.studies import final, table
from sim.sweeps.execute import execute
from sim.sweeps.grid import grid
from sim.sweeps.store import Store
from sim.tables import readable

mpl.use("Agg")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    store = Store(tmp_path_factory.mktemp("store"))
    base = {
        "data.params": {"samples_per_mode": 8},
        "batch.per_class": 4,
        "net.params": {"width": 8},
        "steps": 5,
        "checkpoints": 1,
        "save_embeddings": True,
        "negative": "random",
    }
    axes = {
        "loss.name": ["triplet", "margin"],
        "positive": ["random", "easy"],
        "noise.level": [0.0, 0.2],
        "seed": [0, 1, 2],
    }
    configs = grid(base, axes)
    execute(configs, store)
    return Source(store, "quick", configs, store.load(configs))


def test_lines_are_the_means_and_bands_the_intervals(source: Source) -> None:
    figure = draw_metrics(source, {"within_mean": "spread", "recall_at_1": "recall"})
    summary = table(final(source.results), ["within_mean", "recall_at_1"])
    by_title = {axis.get_title(): axis for axis in figure.axes}
    assert set(by_title) == {"triplet: spread", "triplet: recall", "margin: spread", "margin: recall"}
    rows = summary[(summary["loss.name"] == "margin") & (summary["positive"] == "easy")]
    lines = {line.get_label(): line for line in by_title["margin: recall"].get_lines()}
    line = lines["easy (EPS) positives"]
    np.testing.assert_allclose(line.get_xdata(), [0, 0.2])
    np.testing.assert_allclose(line.get_ydata(), rows["recall_at_1"])
    bands = [c.get_paths()[0].vertices[:, 1] for c in by_title["margin: recall"].collections]
    ends = [rows["recall_at_1_low"].min(), rows["recall_at_1_high"].max()]
    assert any([b.min(), b.max()] == pytest.approx(ends) for b in bands)


def test_embeddings_draws_the_stored_points(source: Source) -> None:
    figure = FIGURES["embeddings"].draw(source)
    drawn = {axis: sum(len(c.get_offsets()) for c in axis.collections) for axis in figure.axes}
    assert sorted(drawn.values()) == [0] * 6 + [64] * 4


@pytest.mark.parametrize("name", ["generators", "embeddings"])
def test_files_are_vector_text_and_say_where_they_come_from(
    source: Source, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("figures.render.source", lambda *_: source)
    pdf, png = render(name, source.store, "quick", tmp_path)
    data = pdf.read_bytes()
    assert b"/FontFile2" in data or b"/Type0" in data
    assert FIGURES[name].title.encode() in data
    assert b"--profile quick" in png.read_bytes()[:3000]


def test_the_manifest_tells_and_the_same_runs_give_the_same_bytes(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("figures.render.source", lambda *_: source)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = [p.read_bytes() for p in render("embeddings", source.store, "quick", tmp_path / "a")]
    assert [p.read_bytes() for p in render("embeddings", source.store, "quick", tmp_path / "b")] == first
    render("generators", source.store, "quick", tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert list(manifest) == ["embeddings", "generators"]
    entry = manifest["embeddings"]
    assert entry["command"] == "collapse figures embeddings --profile quick --seed 0"
    assert (entry["runs"], entry["seeds"], entry["date"]) == (24, [0, 1, 2], "2023-11-14")
    assert entry["versions"]["torch"] == torch.__version__
    other = provenance("embeddings", "quick", 0, source.configs[:-1])
    assert other["hash"] != entry["hash"]


def test_every_figure_names_a_study_that_exists() -> None:
    for name in FIGURES:
        study = FIGURES[name].study
        assert study is None or study in STUDIES


def test_report_shows_computed_verdicts(source: Source, tmp_path: Path, replace: Callable[..., None]) -> None:
    replace(STUDIES, "noise_sweep", dataclasses.replace(STUDIES["noise_sweep"], configs=lambda profile: source.configs))
    outcome = conclude("noise_sweep", source.store, "quick")
    assert outcome.diverged == 0
    assert len(outcome.findings) == 2 * (1 + 1) + 2 * (2 + 2)
    text = readable(outcome.table, STUDIES["noise_sweep"].metrics)
    assert re.fullmatch(r"-?\d+\.\d{3} ± \d+\.\d{3}", text["within_mean"][0])
    picture = tmp_path / "x.png"
    picture.write_bytes(b"png")
    write_report([outcome], {"embeddings": picture}, tmp_path / "r.html", profile="quick", command="collapse reproduce")
    html = (tmp_path / "r.html").read_text()
    for finding in outcome.findings:
        assert finding.claim in html
    assert html.count('class="holds"') == sum(f.verdict == "holds" for f in outcome.findings)


def test_report_shows_the_claims_that_were_checked(tmp_path: Path) -> None:
    claim = {
        "id": "C9",
        "title": "a title",
        "verdict": "inconclusive",
        "bound": None,
        "best": 0.25,
        "evidence": {"steps": 3, "text": "a < b"},
        "counter_example": {"setting": "elsewhere", "verdict": "fails", "flipped": False},
        "size": "quick",
        "seed": 7,
    }
    for claims, expected in (([claim], "collapse verify --claims C9 --size quick --seed 7"), ([], "Not checked yet")):
        write_report([], {}, tmp_path / "report.html", profile="quick", command="a command", claims=claims)
        page = (tmp_path / "report.html").read_text()
        assert expected in page
        assert ("NOT FLIPPED" in page) == ("a &lt; b" in page) == bool(claims)


def test_zero_loss_sets_are_those_of_the_claims() -> None:
    """C2: zero iff the classes are farther than the modes by the margin; C6 (modes on points): iff they are a margin apart."""
    found = zero_loss.computed()
    u, v = np.meshgrid(zero_loss.MODES_APART, zero_loss.CLASSES_APART)
    np.testing.assert_array_equal(found["all"] <= 1e-12, v >= u + 1 - 1e-9)
    np.testing.assert_array_equal(found["easy"] <= 1e-12, v >= 1 - 1e-9)


def test_the_schematic_shows_the_nearest_of_the_label() -> None:
    scene = schematic.computed()
    mates = [i for i in range(len(scene.x)) if i != scene.anchor and scene.labels[i] == scene.labels[scene.anchor]]
    near = min(mates, key=lambda i: float(np.linalg.norm(scene.x[i] - scene.x[scene.anchor])))
    assert near == scene.easy
    # The gradient of distances and hinges leaves the batch's mean where it is.
    for push in scene.pushes.values():
        np.testing.assert_allclose(push.sum(0), 0, atol=1e-12)
    assert schematic._towards_the_class(scene, "all") > schematic._towards_the_class(scene, "easy")


def test_throughput_is_what_the_benchmark_recorded() -> None:
    rows = throughput.ratios()
    assert set(rows["side"]) <= set(throughput.LOOKS)
    assert (rows["least"] <= rows["ratio"] + 1e-9).all()
    assert (rows["ratio"] <= rows["most"] + 1e-9).all()
    figure = FIGURES["throughput"].draw(Source(None, "quick", [], None))
    for bars in figure.axes[0].containers:
        line = bars.lines[0]  # type: ignore[attr-defined]
        np.testing.assert_allclose(
            np.asarray(line.get_xdata(), dtype=float), rows[rows["side"] == bars.get_label()]["ratio"]
        )


def test_runs_of_one_seed_begin_alike() -> None:
    """What the figure `training` takes for granted: a longer run begins as the shorter one."""
    configs = {c.positive: c for c in STUDIES["training"].configs("quick") if c.steps == 50}
    assert set(configs) == {"random", "easy"}
    assert all(c.optimizer.schedule == "constant" for c in configs.values())


def test_every_positive_has_a_look(source: Source, replace: Callable[..., None]) -> None:
    """Shipped families, and a policy from outside, are drawn as the others are: after all runs are trained is no time to fail."""
    replace(POSITIVES, "own", POSITIVES["easy"])
    results = source.results
    for name in ("k_easy:3", "easy_within:0.5", "own", "gone"):
        shown = results.assign(positive=results["positive"].replace({"random": name}))
        figure = FIGURES["spread_and_subclusters"].draw(dataclasses.replace(source, results=shown))
        lines = figure.axes[0].get_lines()
        assert len({(line.get_color(), line.get_marker()) for line in lines if line.get_marker() != "None"}) == 2
        plt.close(figure)
