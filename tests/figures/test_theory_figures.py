"""What `theory` and `landscape` draw is what the claims predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures import Source, landscape, theory
from sim.catalogue import FIGURES
from sim.noise import symmetric
from sim.sweeps.pieces import compute
from sim.sweeps.store import Store
from sim.theory.claims.c12 import least_of_rows
from sim.theory.reduced import best_gap
from sim.theory.splitting import kappa

mpl.use("Agg")

# What theory computes is computed once, by one process.
pytestmark = pytest.mark.xdist_group("theory figures")

Drawn = tuple[list[Any], list[Axes]]


def drawn(name: str, store: Store) -> Iterator[Drawn]:
    values = compute(FIGURES[name].pieces("quick"), store)
    figure = FIGURES[name].draw(Source(store, "quick", [], None, values))  # type: ignore[arg-type]
    yield values, figure.axes
    plt.close(figure)


@pytest.fixture(scope="module")
def of_theory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    yield from drawn("theory", Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def of_landscape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    yield from drawn("landscape", Store(tmp_path_factory.mktemp("store")))


def labelled(axis: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axis.get_lines()}


def data(line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def centres(loss: str, level: float) -> float:
    """C12, A and B: the cosine of the best centres."""
    return max(1 - theory.TEMPERATURE * best_gap(theory.PER_CLASS, symmetric(2, 1 - level), loss=loss), -1)


def test_theory_figure_shows_the_sharp_boundary(of_theory: Drawn) -> None:
    """C3: collapsed at every m <= n - 2, spread out at every m >= n - 1; C7: better embeddings lie below."""
    values, axes = of_theory
    dimensions, squared, exact = theory.cases("quick")
    for m, spread in zip(dimensions, values, strict=False):
        assert len(spread) >= 1
        assert max(spread) < 1e-2 if m <= 6 else max(spread) > 1e-2
    start = len(dimensions) + len(squared)
    assert all(better < collapsed for collapsed, better in values[start : start + len(exact)])
    assert len(axes) == 4 + 3


def test_centres_are_where_they_are_predicted(of_theory: Drawn) -> None:
    _, axes = of_theory
    lines = labelled(axes[4])
    predictions = [line for line in axes[4].get_lines() if len(line.get_xydata()) > 20]
    for loss, name, prediction in zip(("ntxent", "supcon"), ("NT-Xent", "SupCon"), predictions, strict=True):
        x, y = data(prediction)
        np.testing.assert_allclose(y, [centres(loss, level) for level in x], atol=1e-9)
        levels, found = data(lines[name])
        np.testing.assert_allclose(levels, [0.05, 0.1, 0.2, 0.3, 0.4])
        np.testing.assert_allclose(found, [centres(loss, level) for level in levels], atol=1e-3)
        assert prediction.get_color() == lines[name].get_color()


def test_only_easy_positives_lie_below_the_best_collapsed_embedding(of_theory: Drawn) -> None:
    _, axes = of_theory
    lines = labelled(axes[5])
    assert np.ptp(data(lines["best collapsed"])[1]) == 0 and data(lines["best collapsed"])[1][0] == 1
    for name in ("NT-Xent", "SupCon"):
        np.testing.assert_allclose(data(lines[name])[1], 1, atol=1e-6)
    levels, ratio = data(lines["NT-Xent, EPS"])
    assert (ratio < 0.95).all()
    assert ratio[levels == pytest.approx(0.1)] == pytest.approx(7.593 / 8.996, abs=1e-3)
    bottom, top = axes[5].get_ylim()
    assert bottom < ratio.min() and top > 1


def test_multi_similarity_collapses_where_it_is_proven(of_theory: Drawn) -> None:
    values, axes = of_theory
    _, cases = theory.similarity_cases("quick")
    found = dict(zip(cases, values[-len(cases) :], strict=True))
    points = [line for line in axes[6].get_lines() if len(line.get_xydata()) == 1]
    assert len(points) == len(cases) == 12
    for line in points:
        (level,), (within,) = data(line)
        marker = {4: "s", 12: "o"}
        size = next(k for k in marker if marker[k] == line.get_marker())
        expected, verdict = next(v for (k, p), v in found.items() if k == size and p == pytest.approx(1 - level))
        assert within == expected
        assert verdict == ("holds" if within > 1 - 1e-6 else "fails")
        assert (line.get_markerfacecolor() == "white") == (verdict == "fails")
    assert [found[k, 0.9][1] for k in (4, 12)] == ["holds", "fails"]  # C12, E


def test_the_caption_of_theory_tells_how_it_was_computed() -> None:
    caption = FIGURES["theory"].caption
    settings = [p.arguments for p in FIGURES["theory"].pieces("quick") if p.function.__name__ == "softmax_minima"]
    for setting in settings:
        assert f"temperature τ = {setting['temperature']}, k = {setting['per_class']} samples" in caption
        assert f"R^{setting['dim']}" in caption
        assert f"{setting['restarts']} random starts (seed 0)" in caption
        assert f"{setting['steps']} + {setting['steps']} steps" in caption
    assert {setting["loss"] for setting in settings} == {"ntxent", "supcon"}
    assert "NT-Xent and SupCon" in caption


@pytest.mark.parametrize(("row", "level"), list(enumerate(landscape.NOISE)))
def test_only_easy_positives_split_a_class(of_landscape: Drawn, row: int, level: float) -> None:
    """C12: with all positives the collapsed class attains the bound; with easy ones the curvature at it is kappa < 0."""
    values, axes = of_landscape
    every, easy = values[8 + row], values[12 + row]
    for axis, found in ((axes[2], every), (axes[3], easy)):
        x, y = data(labelled(axis)[f"{level:g}"])
        np.testing.assert_array_equal(x, landscape.HALVES_APART)
        np.testing.assert_array_equal(y, found["loss"])
    assert int(np.argmin(every["loss"])) == 0
    if level == 0:
        assert int(np.argmin(easy["loss"])) == 0
        return
    n, tau = 2 * landscape.PER_CLASS, landscape.TEMPERATURE
    least = least_of_rows("ntxent", tau, 2, landscape.PER_CLASS, 1 - level) / n
    assert every["loss"][0] == pytest.approx(least, rel=1e-7)
    rings = [line for line in axes[2].get_lines() if line.get_markerfacecolor() == "none"]
    assert any(data(line)[1] == pytest.approx(least) and data(line)[0] == 0 for line in rings)
    bend = kappa(landscape.PER_CLASS, 1 - level, tau, easy["cosine"][0]) / n
    assert bend < 0
    apart = landscape.HALVES_APART[1]
    assert (easy["loss"][1] - easy["loss"][0]) / (apart / 2) ** 2 == pytest.approx(bend, rel=0.02)
    parabolas = [line for line in axes[3].get_lines() if line.get_color() == "black"]
    assert any(data(line)[1] == pytest.approx(easy["loss"][0] + bend * data(line)[0] ** 2 / 4) for line in parabolas)
    assert 0.5 < landscape.HALVES_APART[int(np.argmin(easy["loss"]))] < 1.9


def test_the_landscape_says_by_how_much_the_loss_falls(of_landscape: Drawn) -> None:
    values, axes = of_landscape
    shown = [text.get_text() for text in axes[3].texts]
    assert shown == [f"−{1 - min(v['loss']) / v['loss'][0]:.0%}" for v in values[13:]]
    caption = FIGURES["landscape"].caption
    assert f"temperature {landscape.TEMPERATURE}, two classes of {landscape.PER_CLASS} samples" in caption
