"""Every registry there is, and where its built-ins live.

An entry's place in a list is that of its home; of several homes that hold it, the first. Homes are named, not imported: nothing
here, and so no command that lists or helps, loads PyTorch before it is needed, and what is below never imports what is above. What
each holds is said where its entries are defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.registry import Families, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from figures.entry import Entry
    from realdata.backbones import Backbone
    from realdata.datasets import DataSet
    from sim.generators import Generator
    from sim.losses.base import Loss
    from sim.losses.weighting import Weighting
    from sim.metrics.base import Entry as MetricEntry
    from sim.nets import Net
    from sim.noise import Kind
    from sim.optim import Optimizer
    from sim.problems import Problem
    from sim.samplers.policies import Policy
    from sim.studies import Study
    from sim.sweeps.executors import Executor
    from sim.theory.claims.base import Claim

GENERATORS: Registry[Generator] = Registry(
    "generator",
    "generators",
    "sim.generators.mixtures",
    "sim.generators.curves",
    "sim.generators.xor_grid",
    "sim.generators.hierarchy",
    "sim.generators",
)
PROBLEMS: Registry[Callable[..., Problem]] = Registry("data.name", "problems")
"""Problems that are neither a generator nor a data set; none is built in."""

NOISE_KINDS: Registry[Kind] = Registry("noise.kind", "noise", "sim.noise")
NETS: Registry[Callable[..., Net]] = Registry("net.kind", "nets", "sim.nets")
LOSSES: Registry[type[Loss]] = Registry("loss", "losses", "sim.losses.softmax", "sim.losses")
WEIGHTINGS: Registry[type[Weighting]] = Registry("robust.name", "weightings", "sim.losses.weighting")
POSITIVES: Families[Policy] = Families("positive", "positives", "sim.samplers.positives")
NEGATIVES: Families[Policy] = Families("negative", "negatives", "sim.samplers.negatives")
OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer.name", "optimizers", "sim.optim")
SCHEDULES: Registry[Callable[[float], float]] = Registry("optimizer.schedule", "schedules", "sim.optim")
METRICS: Registry[MetricEntry] = Registry("metric", "metrics", "sim.metrics.spread", "sim.metrics")
"""Their order is that of the columns of results."""
EXECUTORS: Registry[Executor] = Registry(
    "executor", "executors", "sim.sweeps.executors.local", "sim.sweeps.executors.processes", "sim.sweeps.executors"
)
STUDIES: Registry[Study] = Registry("study", "studies", "sim.studies", "realdata.benchmark")
RECORDED: Registry[Callable[[], pd.DataFrame]] = Registry("recorded results", "recorded", "realdata.recorded")
CLAIMS: Registry[Claim] = Registry("claim", "claims", "sim.theory.claims")
PRESETS: Registry[dict[str, Any]] = Registry("preset", "presets", "sim.explore.presets")
DATASETS: Registry[DataSet] = Registry("dataset", "datasets", "realdata.datasets")
BACKBONES: Registry[Callable[[], Backbone]] = Registry("features", "backbones", "realdata.backbones")
FIGURES: Registry[Entry] = Registry("figure", "figures", "figures.spread_and_subclusters", "figures")
COMMANDS: Registry[Callable[..., None]] = Registry(
    "command",
    "commands",
    "sim.commands.train",
    "sim.commands.sweep",
    "sim.commands.results",
    "sim.commands",
    "realdata.commands.bench",
    "realdata.commands.finetune",
    "figures.commands",
    "realdata.commands",
)
