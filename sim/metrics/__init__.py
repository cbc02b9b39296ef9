"""Metrics of collapse: what an embedding has kept of classes and of the modes inside them.

Every metric is a function ``name(embeddings, classes, modes=None, *, options=Options())`` of embeddings (..., n, m)
and integer or string labels (n,) or (..., n), tensors, arrays or nested lists, which returns a float64 tensor (...) on the embeddings'
device. It says in its docstring what it is, its range, and what *class collapse* (each class on a point) and *total
collapse* (all samples on one point) make of it. Bad input raises ``InvalidInput``; a value that does not exist (0/0
above all) is NaN. A metric that a metric's public function can't compute raises ``NotComputable``.

``evaluate`` and ``evaluate_runs`` compute them all, sharing what they have in common. To add a metric: decorate a function
of ``Runs`` with ``@metric()`` (`sim.metrics.base`), in a file of this package or in a plugin. Nothing else has to know it: it
has its columns in ``evaluate``, in ``evaluate_runs`` and in the rows of training, and its name is a public function in the
module that defines it. Those named below can also be called from here.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from sim.catalogue import METRICS
from sim.errors import InvalidInput

from .base import DEFAULT, Entry, Metric, NotComputable, Options, Runs, prepare
from .inputs import Array, embedding_tensor
from .neural_collapse import cdnv, nc1, nc2, ncc_accuracy
from .retrieval import class_recall_at_1, map_at_r, r_precision, recall_at_k
from .spectrum import effective_rank, participation_ratio, rho
from .spread import (
    between_mean,
    global_spread,
    mode_gap,
    mode_separation,
    mode_spread,
    mode_variance_fraction,
    pi_inter,
    pi_intra,
    pi_ratio,
    relative_spread,
    within_max,
    within_mean,
    within_rms,
)
from .subclusters import mode_ari, mode_nmi, mode_purity, subclusters_gmm, subclusters_hdbscan, subclusters_linkage

__all__ = [
    "METRICS",
    "Metric",
    "NotComputable",
    "Options",
    "between_mean",
    "cdnv",
    "class_recall_at_1",
    "effective_rank",
    "evaluate",
    "evaluate_runs",
    "global_spread",
    "map_at_r",
    "mode_ari",
    "mode_gap",
    "mode_nmi",
    "mode_purity",
    "mode_separation",
    "mode_spread",
    "mode_variance_fraction",
    "nc1",
    "nc2",
    "ncc_accuracy",
    "participation_ratio",
    "pi_inter",
    "pi_intra",
    "pi_ratio",
    "r_precision",
    "recall_at_k",
    "relative_spread",
    "rho",
    "subclusters_gmm",
    "subclusters_hdbscan",
    "subclusters_linkage",
    "within_max",
    "within_mean",
    "within_rms",
]


def evaluate(
    embeddings: Array, classes: Array, modes: Array, *, heavy: bool = True, options: Options = DEFAULT
) -> dict[str, float]:
    """All metrics of one embedding.

    Parameters
    ----------
    embeddings : array-like, (n, m)
        Finite real numbers of any size and type; they are worked on in double precision.
    classes, modes : array-like, (n,)
        Integer or string ids. A fine label is the pair of both: mode ids may start anew in each class or not.
    heavy : bool
        Whether to cluster as well (``subclusters_*``, ``mode_purity``, ``mode_nmi``, ``mode_ari``). Without, the call
        is cheap enough for every checkpoint of a training run.
    options : Options, optional

    Returns
    -------
    dict of str to float
        NaN where a metric does not exist, or can't be computed: a warning then says which and why.

    Raises
    ------
    InvalidInput
        Wrong shape or type, NaN or infinity, or fewer than two classes.

    Examples
    --------
    Two classes of two modes, 2 apart inside a class and 10 from class to class.

    >>> x = torch.tensor([[0.0], [0.0], [2.0], [2.0], [10.0], [10.0], [12.0], [12.0]])
    >>> classes, modes = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    >>> values = evaluate(x, classes, modes, heavy=False)
    >>> values["between_mean"], values["mode_gap"], values["recall_at_1"], values["ncc_accuracy"]
    (10.0, 2.0, 1.0, 1.0)
    """
    return _evaluate(embeddings, 2, classes, modes, heavy, options)[0]


def evaluate_runs(
    embeddings: Array, classes: Array, modes: Array, *, heavy: bool = True, options: Options = DEFAULT
) -> list[dict[str, float]]:
    """All metrics of R embeddings, in one tensor program; the values of a run do not depend on the other runs.

    Parameters
    ----------
    embeddings : array-like, (R, n, m)
    classes, modes : array-like, (n,) or (R, n)
    heavy, options
        As for ``evaluate``.

    Returns
    -------
    list of dict of str to float
        One for each run.

    Raises
    ------
    InvalidInput
        As ``evaluate`` does.

    Examples
    --------
    A class that keeps its modes, class collapse, and total collapse.

    >>> runs = torch.tensor([[0.0, 1.0, 5.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]).unsqueeze(-1)
    >>> results = evaluate_runs(runs, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), heavy=False)
    >>> [(r["within_mean"], r["between_mean"], round(r["relative_spread"], 3)) for r in results]
    [(1.0, 4.5, 0.222), (0.0, 5.0, 0.0), (0.0, 0.0, nan)]
    """
    return _evaluate(embeddings, 3, classes, modes, heavy, options)


def _evaluate(
    embeddings: Array, ndim: int, classes: Array, modes: Array, heavy: bool, options: Options
) -> list[dict[str, float]]:
    embeddings = embedding_tensor(embeddings)
    if embeddings.ndim != ndim:
        axes = "(n, m): one run" if ndim == 2 else "(R, n, m)"
        raise InvalidInput("embeddings", tuple(embeddings.shape), f"shape {axes}")
    entries = {name: METRICS[name] for name in METRICS if heavy or not METRICS[name].heavy}
    columns = [column for entry in entries.values() for column in entry.columns(options)]
    _, chunks = prepare(embeddings, classes, modes, options)
    results, missing = [], dict[str, str]()
    for runs in chunks:
        parts = [_values(name, entry, runs, missing) for name, entry in entries.items()]
        results += [dict(zip(columns, row, strict=True)) for row in torch.cat(parts, -1).tolist()]
    for name, reason in missing.items():
        warnings.warn(f"{name} is NaN where it can't be computed: {reason}", RuntimeWarning, stacklevel=3)
    return results


def _values(name: str, entry: Entry, runs: Runs, missing: dict[str, str]) -> Tensor:
    """Columns of a metric, (R, columns); NaN, and a reason in ``missing``, for the runs it can't be computed for."""
    try:
        return entry.values(runs).view(len(runs.x), -1)
    except (NotComputable, MemoryError, LinAlgError) as error:
        if len(runs.x) > 1:
            return torch.cat([_values(name, entry, runs.only(r), missing) for r in range(len(runs.x))])
        missing.setdefault(name, str(error) or type(error).__name__)
        return runs.x.new_full((1, len(entry.columns(runs.options))), torch.nan)
