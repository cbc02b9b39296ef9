"""What a table of trained nets is read against: doing nothing (the floor), and training on the fine labels themselves (the ceiling).

"Better than the input" is another claim than "better than random positives": a net trained on coarse labels may well lose what its input had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.config import RunConfig
from sim.problems import MODES, Problem, build
from sim.studies import FINE_LABEL_METRICS, table
from sim.verdict import Statement

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("recall_at_1", "map_at_r", "class_recall_at_1", "relative_spread")
"""Of fine and of coarse labels; none that clusters, as inputs may be large."""

EUCLIDEAN, COSINE = "input, Euclidean", "input, cosine"
UNTRAINED, CEILING = "untrained net", "trained on fine labels, no noise: {}"
CEILING_CLASSES = 8
"""Classes of a batch where there are many fine ones; it has as many samples as the others' batches."""


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float64)


def _cosine(x: np.ndarray) -> np.ndarray:
    """On the unit sphere, where Euclidean neighbours are those of the cosine; 0 stays 0."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    found: np.ndarray = x / np.where(length > 0, length, 1.0)
    return found


def _principal(train: np.ndarray, x: np.ndarray, dim: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    found: np.ndarray = PCA(min(dim, *train.shape), random_state=0).fit(train).transform(x)
    return found


def of_inputs(problem: Problem, dim: int, split: str = "test") -> dict[str, dict[str, float]]:
    """Metrics of a split's inputs as they are, and of their ``dim`` principal components (those of the training inputs).

    Examples
    --------
    >>> found = of_inputs(build("rings", 0, samples_per_mode=20), dim=2)
    >>> list(found)
    ['input, Euclidean', 'input, cosine', 'PCA to 2, Euclidean', 'PCA to 2, cosine']
    >>> found["input, Euclidean"]["recall_at_1"] == found["PCA to 2, Euclidean"]["recall_at_1"]  # of two dimensions all are left
    True
    """
    from sim.metrics import Options, evaluate

    sample = problem.sample(split)
    x = _flat(sample.x)
    components = _principal(_flat(problem.train.x), x, dim)
    kinds = {
        EUCLIDEAN: x,
        COSINE: _cosine(x),
        f"PCA to {dim}, Euclidean": components,
        f"PCA to {dim}, cosine": _cosine(components),
    }
    options = Options(ks=problem.ks)
    found = {}
    for name, embedding in kinds.items():
        values = evaluate(embedding, sample.classes, sample.modes, heavy=False, options=options)
        found[name] = {metric: values[metric] for metric in METRICS}
    return found


def ceilings(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The runs of a benchmark that are trained on the fine labels without noise: each loss with its first positives, each seed.

    None where the classes trained on are the fine ones anyway (zero-shot): there the benchmark's own runs without noise are the ceiling.

    Examples
    --------
    >>> from sim.sweeps.grid import grid
    >>> runs = grid({}, {"positive": ["random", "easy"], "noise.level": [0.0, 0.2], "seed": [0, 1]})
    >>> [(c.positive, c.noise.level, c.seed, c.batch.classes, c.batch.per_class) for c in ceilings(runs)]
    [('random', 0.0, 0, 8, 8), ('random', 0.0, 1, 8, 8)]
    """
    first = configs[0]
    train = build(first.data.name, first.seed, **first.data.params).train
    fine = len(np.unique(train.modes))
    if fine == train.t:
        return []
    size = max(first.batch.classes, 1) * first.batch.per_class
    classes = min(CEILING_CLASSES, fine, size // 2)
    found: dict[tuple[str, int], RunConfig] = {}
    for config in configs:
        found.setdefault(
            (f"{config.loss.name}, {config.negative}", config.seed),
            config.model_copy(
                update={
                    "data": config.data.model_copy(update={"params": {**config.data.params, "trained_on": MODES}}),
                    "noise": config.noise.model_copy(update={"level": 0.0}),
                    "batch": config.batch.model_copy(update={"classes": classes, "per_class": size // classes}),
                }
            ),
        )
    return list(found.values())


def rows(configs: Sequence[RunConfig], results: pd.DataFrame, of_ceilings: pd.DataFrame | None) -> pd.DataFrame:
    """A row for each baseline and seed: columns ``baseline``, ``seed`` and `METRICS`.

    Parameters
    ----------
    configs : sequence of RunConfig
        The benchmark's runs: one problem a seed.
    results : DataFrame
        All their rows; those of step 0 are of the untrained net.
    of_ceilings : DataFrame or None
        The last rows of `ceilings`.
    """
    import pandas as pd

    first_of_seed: dict[int, RunConfig] = {}
    for config in configs:
        first_of_seed.setdefault(config.seed, config)
    known: dict[int, tuple[Problem, dict[str, dict[str, float]]]] = {}  # a data set is one problem for all seeds
    found: list[dict[str, Any]] = []
    for seed, config in first_of_seed.items():
        problem = build(config.data.name, seed, **config.data.params)
        if id(problem) not in known:
            known[id(problem)] = problem, of_inputs(problem, config.net.dim, config.evaluate[-1])
        found += [{"baseline": name, "seed": seed, **values} for name, values in known[id(problem)][1].items()]
    untrained = results[(results["step"] == 0) & (results["split"] == configs[0].evaluate[-1])].drop_duplicates("seed")
    found += _of_runs(untrained, lambda row: UNTRAINED)
    if of_ceilings is not None:
        found += _of_runs(
            of_ceilings, lambda row: CEILING.format(f"{row['loss.name']}, {row['positive']}, {row['negative']}")
        )
    return pd.DataFrame(found)


def _of_runs(of: pd.DataFrame, name: Callable[[dict[Any, Any]], str]) -> list[dict[str, Any]]:
    return [
        {"baseline": name(row), "seed": row["seed"], **{metric: row[metric] for metric in METRICS}}
        for row in of.to_dict("records")
    ]


def table_of(found: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of each baseline, floor first, in the order in which `rows` has them."""
    order = {name: k for k, name in enumerate(dict.fromkeys(found["baseline"]))}
    summary = table(found, METRICS, ["baseline"])
    return summary.sort_values("baseline", key=lambda names: names.map(order)).reset_index(drop=True)


def better_than_input(last: pd.DataFrame, found: pd.DataFrame, normalize: bool) -> list[Statement]:
    """For each loss, noise level and positive policy: fine labels are retrieved better than from the input as it is.

    Parameters
    ----------
    last : DataFrame
        One row a run.
    found : DataFrame
        As `rows` gives it.
    normalize : bool
        Whether embeddings are on the sphere: then the input's cosine is what they are held to, else its Euclidean distance.
    """
    inputs = found[found["baseline"] == (COSINE if normalize else EUCLIDEAN)].set_index("seed")
    statements: list[Statement] = []
    for metric, called in FINE_LABEL_METRICS.items():
        for (loss, negative, level, positive), group in last.groupby(
            ["loss.name", "negative", "noise.level", "positive"]
        ):
            where = f"{loss}, {negative} negatives, noise {level:g}"
            claim = f"{called} is greater with {positive} positives than of the input as it is"
            statements.append((claim, where, group[metric].tolist(), inputs.loc[group["seed"], metric].tolist()))
    return statements
