"""Problems: what a run is trained and evaluated on, by name: every generator is one, every real data set, and what is entered in
`sim.catalogue.PROBLEMS` as a function (seed=..., **params) -> `Problem`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sim.catalogue import DATASETS, GENERATORS, PROBLEMS
from sim.errors import InvalidInput, choice, takes
from sim.files import digest

if TYPE_CHECKING:
    from sim.generators import Sample


CLASSES, MODES = TRAINED_ON = ("classes", "modes")
"""What any problem may be trained on, by its parameter ``trained_on``: its classes, or each fine label as a class of its own."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A training and an evaluation sample of one problem.

    Attributes
    ----------
    train, test : Sample
        ``classes`` are the labels trained on (before noise), ``modes`` the fine labels that metrics look for.
    ks : tuple of int
        The K of Recall@K.
    """

    train: Sample
    test: Sample
    ks: tuple[int, ...] = (1, 2, 4, 8)

    def sample(self, split: str) -> Sample:
        """``train`` or ``test`` by name."""
        choice("split", split, ("train", "test"))
        return self.train if split == "train" else self.test


def names() -> list[str]:
    """The names of all problems: generators, problems of their own, data sets.

    Examples
    --------
    >>> "rings" in names() and "digits" in names()
    True
    """
    return list(dict.fromkeys([*GENERATORS, *PROBLEMS, *DATASETS]))


def builder(name: str) -> Callable[..., Problem]:
    """A function (seed=..., **params) -> Problem.

    Raises
    ------
    InvalidInput
        For an unknown problem.
    """
    if name in GENERATORS:
        return functools.partial(_generated, name)
    if name in PROBLEMS:
        return PROBLEMS[name]
    if name in DATASETS:
        return DATASETS[name].problem(name)
    raise InvalidInput("data.name", name, "one of " + ", ".join(names()))


def _generated(name: str, /, *, seed: int, **params: Any) -> Problem:
    # Imported here, as `sim.config` is to be light.
    from sim.generators import generate

    if "split" in params:
        raise InvalidInput("data.params.split", params["split"], "nothing: a problem holds both splits")
    train, test = (generate(name, seed=seed, split=split, **params) for split in ("train", "test"))
    return Problem(train, test)


def fingerprint(name: str, seed: int, /, **params: Any) -> str:
    """What a problem's data are, beside what its name, seed and parameters say.

    Returns
    -------
    str
        ``""`` for generators, whose data are drawn; for a data set a hash of its content; for what is entered in
        `sim.catalogue.PROBLEMS` hashes of what it builds for seed 0 and, after a dot, for this seed.

    Raises
    ------
    InvalidInput
        If the data aren't there, or as `build`.

    Examples
    --------
    >>> fingerprint("rings", 0), len(fingerprint("digits", 0))
    ('', 64)
    """
    params, _ = _without_labels(params)
    if name in GENERATORS:
        return ""
    if name in PROBLEMS:
        return ".".join(_content(build(name, s, **params)) for s in (0, seed))
    found = builder(name)
    takes("data.params", found, params, given=("seed",))
    return DATASETS[name].fingerprint(name, **params)


def _content(problem: Problem) -> str:
    arrays = [a for sample in (problem.train, problem.test) for a in (sample.x, sample.classes, sample.modes)]
    kinds = [[str(a.dtype), a.shape] for a in arrays]
    return digest(b"".join([repr([kinds, problem.ks]).encode(), *(a.tobytes() for a in arrays)]))


def build(name: str, seed: int, /, **params: Any) -> Problem:
    """Build a problem.

    Parameters
    ----------
    name : str
        A generator (`sim.generators`) or a data set (`realdata.datasets`).
    seed : int
        The run's seed; synthetic problems are drawn from it unless ``params`` has a ``seed`` of its own.
    **params
        What the problem takes; ``trained_on`` = ``modes`` makes each fine label a class.

    Raises
    ------
    InvalidInput
        For an unknown problem or parameter, or a value out of range.

    Examples
    --------
    >>> problem = build("rings", 0, classes=3, modes_per_class=2, samples_per_mode=10)
    >>> problem.train.x.shape, problem.train.t
    ((60, 2), 3)
    >>> build("rings", 0, classes=3, modes_per_class=2, samples_per_mode=10, trained_on="modes").train.t
    6
    """
    found = builder(name)
    params, fine = _without_labels(params)
    if name not in GENERATORS:
        takes("data.params", found, params, given=("seed",))
    built = found(**{"seed": seed, **params})
    return _with_fine_classes(built) if fine else built


def _without_labels(params: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Parameters that a problem itself takes, and whether the fine labels are trained on."""
    chosen = params.get("trained_on", CLASSES)
    choice("data.params.trained_on", chosen, TRAINED_ON)
    return {name: value for name, value in params.items() if name != "trained_on"}, chosen == MODES


# Runs that share a problem share its memory, so the same object is given for the same problem.
@functools.lru_cache(maxsize=4)
def _with_fine_classes(problem: Problem) -> Problem:
    import numpy as np

    def own(sample: Sample) -> Sample:
        # Each split counts its own from 0: in zero-shot problems they share none.
        return replace(sample, classes=np.unique(sample.modes, return_inverse=True)[1].astype(np.int64))

    return replace(problem, train=own(problem.train), test=own(problem.test))
