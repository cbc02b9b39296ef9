"""Losses that are one loss under several names: found by construction, so that nobody trains or counts them twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sim.catalogue import LOSSES, NEGATIVES, POSITIVES
from sim.losses import parameters_of
from sim.losses.base import Setting

if TYPE_CHECKING:
    from sim.config import RunConfig


def canonical(name: str, params: Mapping[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
    """What settings of a loss come to: the name and all parameters under which every loss that is the same one is known.

    Parameters
    ----------
    name, params
        A loss in `LOSSES`, and its parameters as the user writes them.
    setting : Setting
        How many positives and negatives an anchor has, and where embeddings lie.

    Examples
    --------
    With one positive an anchor, NT-Xent and SupCon are the same loss, and on the sphere the N-pair loss is, too.

    >>> easy = Setting(one_positive=True, one_negative=False, unit=True)
    >>> [canonical(loss, {"temperature": 0.1}, easy)[0] for loss in ("npair", "ntxent", "supcon")]
    ['ntxent', 'ntxent', 'ntxent']
    >>> canonical("supcon", {}, easy._replace(one_positive=False))[0]
    'supcon'
    """
    given = {k: p.default for k, p in parameters_of(name).items() if p.default is not p.empty} | dict(params)
    while True:
        other, changed = LOSSES[name].same_as(name, given, setting)
        if (other, changed) == (name, given):
            return name, given
        name, given = other, changed


def identity(config: RunConfig) -> str:
    """What runs that train the same loss in the same way have in common: the configuration with the loss's `canonical` form.

    Examples
    --------
    >>> from sim.sweeps.grid import grid
    >>> base = {"net.normalize": True, "negative": "all", "positive": "easy"}
    >>> runs = grid({**base, "loss.params": {"temperature": 0.1}}, {"loss.name": ["npair", "ntxent", "supcon"]})
    >>> len({identity(run) for run in runs})
    1
    """
    setting = Setting(POSITIVES[config.positive].single, NEGATIVES[config.negative].single, config.net.normalize)
    name, params = canonical(config.loss.name, config.loss.params, setting)
    form = config.model_dump(mode="json", exclude={"loss"})
    return json.dumps([form, name, params], sort_keys=True, default=str)


def distinct(configs: Iterable[RunConfig]) -> tuple[list[RunConfig], dict[str, list[str]]]:
    """Runs without those whose loss another one has under another name.

    Returns
    -------
    list of RunConfig
        The first of each.
    dict from str to list of str
        Loss names that were kept, to those left out for them.

    Examples
    --------
    >>> from sim.sweeps.grid import grid
    >>> base = {"net.normalize": True, "negative": "all", "loss.params": {"temperature": 0.1}}
    >>> runs = grid(base, {"loss.name": ["npair", "ntxent"], "positive": ["easy", "all"]})
    >>> kept, others = distinct(runs)
    >>> [(run.loss.name, run.positive) for run in kept], others
    ([('npair', 'easy'), ('npair', 'all')], {'npair': ['ntxent']})
    """
    first: dict[str, RunConfig] = {}
    others: dict[str, list[str]] = {}
    for config in configs:
        kept = first.setdefault(identity(config), config)
        if kept.loss.name != config.loss.name:
            names = others.setdefault(kept.loss.name, [])
            if config.loss.name not in names:
                names.append(config.loss.name)
    return list(first.values()), others


def in_words(others: Mapping[str, list[str]]) -> str:
    """Which losses are one, for readers.

    Examples
    --------
    >>> in_words({"npair": ["ntxent", "supcon"]})
    'npair = ntxent = supcon'
    """
    return "; ".join(" = ".join([name, *names]) for name, names in others.items())
