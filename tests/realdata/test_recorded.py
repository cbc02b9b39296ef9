"""The recorded results are whole, and the page shows what they hold."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import matplotlib as mpl
import pytest

from figures import Source
from figures.real_data import SHOWN
from realdata import recorded
from sim.catalogue import FIGURES, RECORDED
from sim.config import SCHEMA
from sim.studies import final, made_with
from sim.sweeps import spec, store

ROOT = Path(__file__).parents[2]
mpl.use("Agg")


@pytest.mark.parametrize("name", recorded.names())
def test_rows_are_the_runs_of_the_specification(name: str) -> None:
    rows = recorded.rows(name)
    runs = sorted((c.loss.name, c.negative, c.positive, c.noise.level, c.seed) for c in spec.load(name))
    columns = ["loss.name", "negative", "positive", "noise.level", "seed"]
    assert sorted(rows[columns].itertuples(index=False, name=None)) == runs
    assert rows["recall_at_1"].between(0, 1).all()
    assert RECORDED[name]().equals(rows)
    text = (resources.files("realdata") / "results" / f"{name}.csv").read_text()
    assert text.startswith(f"# collapse sweep {name} --csv {name}.csv\n")


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "sim.cli", "data", "results"]
    written = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "results.md").read_text() == written.stdout


def test_rows_from_elsewhere_are_shown(replace) -> None:
    """What a plugin brings has no title, and not every loss: the page and the figure show it all the same."""
    digits = recorded.rows("digits")
    digits = digits[digits["loss.name"] == "triplet"].drop(columns="schema")
    replace(RECORDED, "elsewhere", lambda: digits)
    section = recorded.page().partition("## elsewhere\n\n")[2]
    assert section.startswith(f"{len(RECORDED['elsewhere']())} runs. Recall@1") and "triplet" in section

    axes = FIGURES["real_data"].draw(Source(None, "quick", [], None)).axes
    last = axes[-len(SHOWN) :]
    assert last[0].get_ylabel() == "elsewhere\nRecall@1"
    assert [len(axis.lines[0].get_xdata()) > 0 for axis in last] == [loss == "triplet" for loss in SHOWN]


def test_rows_of_another_version_are_marked(replace) -> None:
    """On the page and in the figure, truly for each data set: all train otherwise, and limited test images are others, too."""
    marked = {name: made_with(recorded.rows(name), name) for name in recorded.names()}
    assert all("recorded with schema 1: not what this version computes" in note for note in marked.values())
    assert all("train in compiled code" in note for note in marked.values())
    assert {name for name, note in marked.items() if "the images that test_limit" in note} == {
        name for name in recorded.names() if "test_limit" in spec.load(name, check=False)[0].data.params
    }
    replace(RECORDED, "elsewhere", lambda: recorded.rows("digits"))
    replace(RECORDED, "today", lambda: recorded.rows("digits").assign(schema=SCHEMA))
    page = recorded.page()
    section = page.partition("## MNIST")[2].partition("## ")[0]
    assert "**Recorded with schema 1: not what this version computes (the images that test_limit" in section
    assert "**Recorded with schema 1: may not be what" in page.partition("## elsewhere")[2].partition("## ")[0]
    assert "schema" not in page.partition("## today")[2].partition("## ")[0]

    figure = FIGURES["real_data"].draw(Source(None, "quick", [], None))
    labels = [axis.get_ylabel().split("\n")[0] for axis in figure.axes[:: len(SHOWN)]]
    assert labels == [
        "digits*",
        "MNIST†",
        "Fashion-MNIST†",
        "Omniglot†",
        "CUB, merged*",
        "CUB, zero-shot*",
        "elsewhere‡",
        "today",
    ]
    assert figure.get_supxlabel().splitlines() == [
        f"* {marked['digits']}", f"† {marked['mnist']}", f"‡ {made_with(recorded.rows('digits'), 'elsewhere')}"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded.names())
def test_a_cell_can_be_reproduced(name: str, tmp_path: Path) -> None:
    """One run of the specification, trained again where the data are, has the recorded metrics."""
    import os

    from realdata.datasets import locate
    from sim.errors import InvalidInput
    from sim.sweeps.execute import execute

    config = spec.load(name)[0]
    try:
        locate(config.data.name)
    except InvalidInput as error:
        pytest.skip(f"data aren't here ({error})" if "COLLAPSE_DATA" in os.environ else "COLLAPSE_DATA isn't set")
    execute([config], store.Store(tmp_path))
    again = final(store.load(tmp_path)).iloc[0]
    rows = recorded.rows(name)
    mask = (rows["seed"] == config.seed) & (rows["noise.level"] == config.noise.level)
    mask &= (rows["loss.name"] == config.loss.name) & (rows["positive"] == config.positive)
    before = rows[mask].iloc[0]
    assert again["recall_at_1"] == pytest.approx(before["recall_at_1"], abs=0.03)
