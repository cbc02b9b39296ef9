"""Computed figures against baseline pictures, without text and layout, so that another font changes nothing.

After a wanted change: ``COLLAPSE_NEW_BASELINES=1 pytest tests/figures/test_images.py``, then look at the pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from figures import Source
from figures.generators import TITLES, panels
from figures.style import STYLE
from sim.catalogue import FIGURES
from sim.sweeps.pieces import compute
from sim.sweeps.store import Store

BASELINES = Path(__file__).parent / "baseline"
TOLERANCE = 6.0
"""Root mean square over grey levels: antialiasing differs between versions of matplotlib."""


def bare(figure: Figure) -> None:
    """Take away text, ticks and the layout that depends on them."""
    for text in figure.findobj(Text):
        text.set_visible(False)
    rows = [axis.get_subplotspec() for axis in figure.axes]
    figure.subplots_adjust(left=0.03, right=0.97, bottom=0.05, top=0.95, wspace=0.1, hspace=0.1)
    for axis, place in zip(figure.axes, rows, strict=True):
        if place is None:  # a colour bar: its place depends on its labels
            axis.remove()
            continue
        axis.tick_params(length=0, which="both")
        legend = axis.get_legend()
        if legend is not None:
            legend.remove()
    for legend in list(figure.legends):
        legend.remove()


@pytest.mark.parametrize("name", ["schematic", "zero_loss", "generators", "landscape", "real_data"])
def test_the_picture_is_the_baseline(name: str, tmp_path: Path) -> None:
    with mpl.rc_context():
        mpl.use("Agg")
        plt.style.use(STYLE)
        mpl.rcParams["figure.constrained_layout.use"] = False
        # Of the generators the shipped ones: one from outside must not change the picture that is compared.
        theory = compute(FIGURES[name].pieces("quick"), Store(tmp_path / "store"))
        source = Source(None, "quick", [], None, theory)
        figure = panels(list(TITLES)) if name == "generators" else FIGURES[name].draw(source)
        bare(figure)
        drawn = tmp_path / f"{name}.png"
        figure.savefig(drawn, dpi=60, bbox_inches=None, metadata={"Software": None})
        plt.close(figure)
    baseline = BASELINES / f"{name}.png"
    if "COLLAPSE_NEW_BASELINES" in os.environ:
        BASELINES.mkdir(exist_ok=True)
        baseline.write_bytes(drawn.read_bytes())
    difference = compare_images(str(baseline), str(drawn), tol=TOLERANCE)
    assert difference is None, difference


def test_another_figure_is_told_apart(tmp_path: Path) -> None:
    """The tolerance isn't so wide that anything passes: the zero-loss maps with the panels swapped differ."""
    from PIL import Image

    with Image.open(BASELINES / "zero_loss.png") as picture:
        mirrored = tmp_path / "zero_loss.png"
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    assert compare_images(str(BASELINES / "zero_loss.png"), str(mirrored), tol=TOLERANCE) is not None
