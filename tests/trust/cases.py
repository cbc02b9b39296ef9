"""Small commands that `tests.trust.faults` disturbs: a few seconds each, several groups of runs, so that faults fall in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.trust.results import Results, of_cache, of_claims, of_figures, of_finetune, of_store

SPEC = """\
base:
  data.params: {samples_per_mode: 8, modes_per_class: 2}
  batch.per_class: 4
  steps: 120
  checkpoints: 2
  save_embeddings: true
grid:
  net.params: [{width: 8}, {width: 12}, {width: 16}, {width: 20}]
  positive: [random, easy]
  noise.level: [0, 0.2]
seeds: 3
"""

STUDY = '''
import matplotlib.pyplot as plt
from figures import Entry
from sim.catalogue import FIGURES, STUDIES
from sim.studies import Study, final
from sim.sweeps.grid import grid

def configs(profile, seed=0):
    """Three widths."""
    base = {"steps": 120, "checkpoints": 1, "data.params": {"samples_per_mode": 8}, "batch.per_class": 4}
    return grid(base, {"net.params": [{"width": w} for w in (8, 12, 16, 20)], "seed": range(3)})

def draw(source):
    """A point for each run."""
    last = final(source.results)
    figure, axis = plt.subplots(figsize=(3.3, 2.2))
    axis.plot(last["seed"], last["within_mean"], "o")
    return figure

STUDIES.register("fault_study")(Study("Widths", "Nothing?", configs, lambda last: [], ("within_mean",), ("net.params",)))
FIGURES.register("fault_figure")(Entry("Widths", "A point for each run.", "fault_study", draw))
'''


@dataclass(frozen=True)
class Case:
    """A command, the faults that it is put through, and what is compared."""

    command: str
    faults: tuple[str, ...]
    results: Callable[[Path], Results]


ALL = ("kill", "interrupt", "terminate")
CASES = {
    "sweep-local": Case(
        "sweep spec.yaml --executor local --out disk/out --csv disk/out/rows.csv",
        (*ALL, "disk", "writers", "clock"),
        of_store,
    ),
    "sweep-processes": Case(
        "sweep spec.yaml --workers 2 --out disk/out",
        (*ALL, "terminate-all", "kill-worker", "disk", "writers", "clock"),
        of_store,
    ),
    "sweep-dask": Case(
        "sweep spec.yaml --workers 2 --executor dask --out disk/out", (*ALL, "kill-worker", "writers"), of_store
    ),
    "bench": Case(
        "bench --noise 0,0.2 --seeds 2 --set 'data.params={limit: 100, test_limit: 50}' --set batch.per_class=4"
        " --set steps=60 --set checkpoints=1 --out disk/out --json disk/out/b.json --markdown disk/out/b.md",
        (*ALL, "disk", "writers"),
        of_store,
    ),
    "verify": Case("verify --claims C2,C6 --out disk/out", (*ALL, "disk", "writers"), of_claims),
    "finetune": Case(
        "finetune --set data.name=digits --set 'data.params={limit: 40, test_limit: 20}' --set backbone=small_conv"
        " --set size=16 --set batch.classes=2 --set batch.per_class=4 --set steps=20 --set checkpoints=4"
        " --save-every 2 --workers 1 --out disk/out",
        (*ALL, "kill-worker", "disk", "writers", "clock"),
        of_finetune,
    ),
    "features": Case("data features digits --backbone small_conv", (*ALL, "disk", "writers", "clock"), of_cache),
    "figures": Case("figures fault_figure --out disk/out", (*ALL, "disk", "writers"), of_figures),
}
