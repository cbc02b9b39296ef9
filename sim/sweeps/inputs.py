"""What a run reads beside its configuration: data, and code from outside. With the configuration's key it names a result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sim import problems
from sim.catalogue import (
    BACKBONES,
    DATASETS,
    GENERATORS,
    LOSSES,
    NEGATIVES,
    NETS,
    NOISE_KINDS,
    OPTIMIZERS,
    POSITIVES,
    PROBLEMS,
    SCHEDULES,
    WEIGHTINGS,
)
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.files import digest
from sim.registry import Registry

UNKNOWN = "unknown"
"""Stands with runs from before inputs were stored: nobody can say what they read, and they count for no configuration."""


def of(configs: Iterable[RunConfig]) -> dict[str, str]:
    """The inputs of runs by their keys.

    Returns
    -------
    dict from str to str
        ``""`` for a run that nothing decides but its configuration; else hexadecimal digits, and where the data depend on the
        seed more of them after a dot.

    Raises
    ------
    InvalidInput
        If the data aren't there, or an entry that a configuration names is unknown.

    Examples
    --------
    >>> drawn = RunConfig()
    >>> read = RunConfig.model_validate({"data": {"name": "digits"}})
    >>> found = of([drawn, read])
    >>> found[drawn.key()], len(found[read.key()])
    ('', 16)
    """
    reading = Reading()
    return {config.key(): reading.of(config) for config in configs}


class Reading:
    """Looks at everything once, however many runs read it."""

    def __init__(self) -> None:
        self._data: dict[str, str | InvalidInput] = {}
        self._code: dict[tuple[str, str], str] = {}

    def of(self, config: RunConfig) -> str:
        """The inputs of one run, see `of`."""
        code = {field: text for field, registry, name in named(config) if (text := self._source(registry, name))}
        shared, _, own = self.data(config).partition(".")
        if not code and not shared:
            return ""
        return ".".join(
            [digest(json.dumps([shared, code], sort_keys=True).encode())[:16], *([own[:16]] if own else [])]
        )

    def _source(self, registry: Registry[Any], name: str) -> str:
        if (registry.group, name) not in self._code:
            text = registry.source(name)
            self._code[registry.group, name] = text and digest(text.encode(errors="surrogatepass"))
        return self._code[registry.group, name]

    def data(self, config: RunConfig) -> str:
        """What its data are, see `sim.problems.fingerprint`."""
        params = read_with(config)
        wanted = json.dumps(
            [config.data.name, config.seed if config.data.name in PROBLEMS else 0, params], default=repr
        )
        if wanted not in self._data:
            try:
                self._data[wanted] = problems.fingerprint(config.data.name, config.seed, **params)
            except OSError as error:
                self._data[wanted] = InvalidInput(
                    "data.name", config.data.name, f"data that can be read ({error.strerror or error})"
                )
            except InvalidInput as error:
                self._data[wanted] = error
        found = self._data[wanted]
        if isinstance(found, InvalidInput):
            raise found
        return found


def read_with(config: RunConfig) -> dict[str, Any]:
    """The parameters of a run's data; a backbone that is trained is read as one that gives features is."""
    backbone = getattr(config, "backbone", None)
    return dict(config.data.params) if backbone is None else {**config.data.params, "features": backbone}


def bundled(name: str) -> bool:
    """Whether data are the same on every machine: drawn, or part of an installed package."""
    return name in GENERATORS or (name not in PROBLEMS and DATASETS[name].bundled)


def named(config: RunConfig) -> list[tuple[str, Registry[Any], str]]:
    """The entries that a configuration names: field, registry, name."""
    data = config.data.name
    found: list[tuple[str, Registry[Any], str]] = [
        ("data.name", next((r for r in (GENERATORS, PROBLEMS) if data in r), DATASETS), data),
        ("loss.name", LOSSES, config.loss.name),
        ("positive", POSITIVES, config.positive),
        ("negative", NEGATIVES, config.negative),
        ("net.kind", NETS, config.net.kind),
        ("noise.kind", NOISE_KINDS, config.noise.kind),
        ("optimizer.name", OPTIMIZERS, config.optimizer.name),
        ("optimizer.schedule", SCHEDULES, config.optimizer.schedule),
    ]
    if config.robust.name != "none":
        found.append(("robust.name", WEIGHTINGS, config.robust.name))
    features = read_with(config).get("features")
    if isinstance(features, str) and features in BACKBONES:  # else a folder, whose content the data's fingerprint holds
        found.append(("features", BACKBONES, features))
    return found
