"""A sweep's specification: a YAML file that says which runs to make, with errors that point to its lines.

```yaml
base:                # fields of `sim.config.RunConfig` by dotted name, the same in all runs
  steps: 1500
  data: {name: gaussian_mixture}
list:                # points: fields that belong together, written out
  - {loss.name: triplet, loss.params: {alpha: 0.5}}
  - {loss.name: margin, loss.params: {alpha: 0.2}}
zip:                 # lists of equal length that advance together
  positive: [random, easy]
  negative: [random, semihard]
grid:                # every combination
  noise.level: [0, 0.1, 0.2]
seeds: 10            # 0 to 9; or {first: 100, count: 10}
```

The runs are the product of `list`, `zip`, `grid` and `seeds`, the last varying fastest. Every part may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sim import yaml12
from sim.config import MAX_RUNS, RunConfig
from sim.errors import LARGEST, InvalidInput, integer
from sim.sweeps.grid import Product

PARTS = ("base", "list", "zip", "grid", "seeds")

MAX_SETTINGS = 20_000
"""More settings than this, whatever their seeds, are taken for a mistake."""


@dataclass(frozen=True)
class _At:
    """A value and the line (from 1) that it was written on."""

    value: Any
    line: int


_Point = dict[str, _At]


class _Reader:
    """Reads the nodes of one file, so that errors can name a line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, line: int, field: str, value: object, allowed: str) -> InvalidInput:
        return InvalidInput(f"{self.name}, line {line}: {field}", value, allowed)

    def plain(self, node: yaml.Node) -> Any:
        try:
            return yaml12.plain(node)
        except yaml.YAMLError as error:
            raise self.not_yaml(error, _line(node)) from None

    def not_yaml(self, error: yaml.YAMLError, line: int) -> InvalidInput:
        mark = getattr(error, "problem_mark", None)
        return self.error(line if mark is None else mark.line + 1, "YAML", yaml12.problem(error), "valid YAML 1.2")

    def mapping(self, node: yaml.Node, field: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self.error(_line(node), field, self.plain(node), "a mapping from fields to values")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(self.plain(key))
            if name in found:
                raise self.error(_line(key), name, "twice", "each field once")
            found[name] = value
        return found

    def sequence(self, node: yaml.Node, field: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.error(_line(node), field, self.plain(node), "a list with at least one entry")
        return list(node.value)

    def point(self, node: yaml.Node, field: str) -> _Point:
        return {k: _At(self.plain(v), _line(v)) for k, v in self.mapping(node, field).items()}

    def axes(self, node: yaml.Node, field: str) -> dict[str, list[_At]]:
        return {
            name: [_At(self.plain(v), _line(v)) for v in self.sequence(values, name)]
            for name, values in self.mapping(node, field).items()
        }

    def seeds(self, node: yaml.Node) -> range:
        value = self.plain(node)
        first, count = 0, value
        if isinstance(value, dict):
            if set(value) != {"first", "count"}:
                raise self.error(_line(node), "seeds", value, "a number, or {first: ..., count: ...}")
            first, count = value["first"], value["count"]
        try:
            count = integer("seeds", count, 1, MAX_RUNS)
            first = integer("seeds.first", first, 0, LARGEST - count)
            return range(first, first + count)
        except InvalidInput as error:
            raise self.error(_line(node), error.field, error.value, error.allowed) from None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def read(text: str, name: str = "spec", *, check: bool = True) -> list[RunConfig]:
    """The runs of a specification.

    Parameters
    ----------
    text : str
        YAML, see the module's documentation.
    name : str
        What to call it in errors.
    check : bool
        Whether the runs are to be checked (`RunConfig.check`); who only counts them need not wait for that.

    Returns
    -------
    list of RunConfig
        Checked, without repetitions.

    Raises
    ------
    InvalidInput
        Naming the file, the line and the field.

    Examples
    --------
    >>> runs = read("{base: {steps: 10}, grid: {noise.level: [0, 0.2]}, seeds: 3}")
    >>> len(runs), runs[0].steps
    (6, 10)
    """
    reader = _Reader(name)
    try:
        root = yaml12.compose(text)
    except yaml.YAMLError as error:
        raise reader.not_yaml(error, 1) from None
    if root is None:
        raise reader.error(1, "spec", "", "some of " + ", ".join(PARTS))
    parts = reader.mapping(root, "spec")
    for part, node in parts.items():
        if part not in PARTS:
            raise reader.error(_line(node), part, reader.plain(node), "one of " + ", ".join(PARTS))
    base = reader.point(parts["base"], "base") if "base" in parts else {}
    if "seed" in base:
        raise reader.error(base["seed"].line, "seed", base["seed"].value, "nothing: say `seeds`")
    points = [reader.point(n, "list") for n in reader.sequence(parts["list"], "list")] if "list" in parts else [{}]
    zipped = _zip(reader, parts["zip"]) if "zip" in parts else [{}]
    axes = reader.axes(parts["grid"], "grid") if "grid" in parts else {}
    seeds = reader.seeds(parts["seeds"]) if "seeds" in parts else range(1)
    varied = [*({k for p in points for k in p}), *({k for p in zipped for k in p}), *axes]
    for field in varied:
        at = next(v for v in _everything(points, zipped, axes) if field in v)[field]
        if varied.count(field) > 1:
            raise reader.error(at.line, field, "twice", "a field in one of list, zip and grid only")
        if field == "seed":
            raise reader.error(at.line, field, at.value, "nothing: say `seeds`")
    settings = len(points) * len(zipped)
    for values in axes.values():
        settings *= len(values)
        if settings > MAX_SETTINGS:
            raise reader.error(1, "spec", f"{settings} settings or more", f"at most {MAX_SETTINGS}")
    if settings * len(seeds) > MAX_RUNS:
        raise reader.error(1, "spec", f"{settings * len(seeds)} runs", f"at most {MAX_RUNS}")
    along = [points, zipped, *([{name: value} for value in values] for name, values in axes.items())]
    product = Product(_values(base), [[_values(p) for p in axis] for axis in along])
    configs: dict[str, RunConfig] = {}
    for place in product.places():
        try:
            setting = product.run(place, check=check)
        except InvalidInput as error:
            assigned = base | {name: at for axis, k in zip(along, place, strict=True) for name, at in axis[k].items()}
            raise _at_line(reader, assigned, error) from None
        for seed in seeds:
            config = setting.model_copy(update={"seed": seed})
            configs.setdefault(config.key(), config)
    return list(configs.values())


def _values(point: _Point) -> dict[str, Any]:
    return {name: at.value for name, at in point.items()}


def _everything(points: list[_Point], zipped: list[_Point], axes: dict[str, list[_At]]) -> Iterable[_Point]:
    return [*points, *zipped, {k: v[0] for k, v in axes.items()}]


def _zip(reader: _Reader, node: yaml.Node) -> list[_Point]:
    lists = reader.axes(node, "zip")
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise reader.error(_line(node), "zip", lengths, "lists of one length")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _at_line(reader: _Reader, assigned: Mapping[str, _At], error: InvalidInput) -> InvalidInput:
    line = _culprit(assigned, error.field)
    if line is None:
        return InvalidInput(f"{reader.name}: {error.field}", error.value, error.allowed)
    return reader.error(line, error.field, error.value, error.allowed)


def _culprit(assigned: Mapping[str, _At], field: str) -> int | None:
    """The line of the assignment that a field's error is about: the most specific one that sets it."""

    def closeness(name: str) -> int:
        if field == name or field.startswith(f"{name}."):
            return 1000 + len(name)
        if name.startswith(f"{field}."):
            return 500
        # A loss or a sampler calls its parameter by its own name.
        at = assigned[name].value
        leaf = field.rsplit(".", 1)[-1]
        return 100 if name.rsplit(".", 1)[-1] == leaf or (isinstance(at, dict) and leaf in at) else 0

    best = max(assigned, key=closeness, default=None)
    return None if best is None or not closeness(best) else assigned[best].line


def shipped() -> list[str]:
    """Names of the specifications that come with the package.

    Examples
    --------
    >>> "digits" in shipped()
    True
    """
    folder = resources.files("sim.sweeps") / "specs"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load(place: str | Path, *, check: bool = True) -> list[RunConfig]:
    """The runs of a file, or of a shipped specification by its name (see `shipped`).

    Raises
    ------
    InvalidInput
        If there is neither, or as `read`.

    Examples
    --------
    >>> {config.data.name for config in load("digits", check=False)}
    {'digits'}
    """
    if str(place) in shipped():
        return read((resources.files("sim.sweeps") / "specs" / f"{place}.yaml").read_text(), str(place), check=check)
    text = yaml12.text_of("spec", place, instead=f", or one of {', '.join(shipped())}")
    return read(text, Path(place).name, check=check)
