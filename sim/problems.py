"""Problems: what a run is trained and evaluated on, by name. Generators are problems; `realdata` adds its data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim import generators
from sim.errors import InvalidInput, choice, takes
from sim.generators import Sample
from sim.registry import Registry


@dataclass(frozen=True)
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


PROBLEMS: Registry[Callable[..., Problem]] = Registry("data.name")
"""name -> function (seed=..., **params) -> Problem."""


def _generated(name: str) -> Callable[..., Problem]:
    def build(*, seed: int, **params: Any) -> Problem:
        if "split" in params:
            raise InvalidInput("data.params.split", params["split"], "nothing: a problem holds both splits")
        train, test = (generators.generate(name, seed=seed, split=split, **params) for split in ("train", "test"))
        return Problem(train, test)

    return build


for _name in generators.names():
    PROBLEMS.register(_name)(_generated(_name))


def build(name: str, seed: int, /, **params: Any) -> Problem:
    """Build a problem.

    Parameters
    ----------
    name : str
        A name in `PROBLEMS`.
    seed : int
        The run's seed; synthetic problems are drawn from it unless ``params`` has a ``seed`` of its own.
    **params
        What the problem takes.

    Raises
    ------
    InvalidInput
        For an unknown problem or parameter, or a value out of range.
    """
    found = PROBLEMS[name]
    if name not in generators.names():
        takes("data.params", found, params, given=("seed",))
    return found(**{"seed": seed, **params})
