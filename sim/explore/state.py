"""What the explorer's controls say, and which run that is."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, Field

from sim.catalogue import GENERATORS, LOSSES, NEGATIVES, NOISE_KINDS, POSITIVES
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput
from sim.losses import make, parameters_of
from sim.losses.base import ProxyLoss

VERSION = 1
"""Of shared states: one that says another number isn't read."""

POINTS = 600
"""Points drawn, about; shared out among the modes."""

LONGEST_QUERY = 2000
"""Characters of a shared state; one that says everything has some 300."""

Name = Annotated[str, Field(max_length=64)]

Geometry = Literal["plane", "circle", "sphere"]
DIMENSIONS = {"plane": 2, "circle": 2, "sphere": 3}


class State(BaseModel):
    """All controls. Ranges are those of the controls; the run that follows is checked again as any other.

    Attributes
    ----------
    compare : str
        A second positive policy, trained beside the first on the same data, initialisation and draws; empty: none.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    generator: Name = "gaussian_mixture"
    classes: int = Field(2, ge=2, le=6)
    modes: int = Field(4, ge=1, le=8)
    noise_kind: Name = "symmetric"
    noise_mode: Literal["static", "resampled"] = "static"
    noise: float = Field(0.0, ge=0, le=0.9)
    loss: Name = "triplet"
    positive: Name = "random"
    compare: Name = "easy"
    negative: Name = "random"
    margin: float = Field(0.5, gt=0, le=2)
    per_class: int = Field(32, ge=2, le=64)
    geometry: Geometry = "plane"
    lr: float = Field(1e-3, gt=0, le=0.1)
    seed: int = Field(0, ge=0, le=10**9)

    def with_(self, changes: Mapping[str, Any]) -> State:
        """This state with some fields changed, checked; policies that a newly chosen loss doesn't take become ``all``.

        Raises
        ------
        InvalidInput

        Examples
        --------
        >>> state = State().with_({"noise": 0.2, "loss": "softmax"})
        >>> state.noise, state.positive, state.compare
        (0.2, 'all', '')
        """
        chosen = parse(State, {**self.model_dump(), **changes})
        follow: dict[str, Any] = {}
        if "loss" in changes and "positive" not in changes:
            if issubclass(LOSSES[chosen.loss], ProxyLoss):
                follow |= {"positive": "all", "negative": "all", "compare": ""}
            elif issubclass(LOSSES[self.loss], ProxyLoss):
                follow |= {k: State.model_fields[k].default for k in ("positive", "negative", "compare")}
        negative = follow.get("negative", chosen.negative)
        on_sphere = negative in NEGATIVES and NEGATIVES[negative].on_sphere
        if on_sphere and chosen.geometry == "plane" and "geometry" not in changes:
            follow["geometry"] = "circle"
        chosen = chosen.model_copy(update=follow)
        for positive in chosen.positives:
            chosen.config(positive)
        return chosen

    @property
    def positives(self) -> list[str]:
        """The policies that are trained: one, or two side by side."""
        return [self.positive, *([self.compare] if self.compare else [])]

    def fields(self, positive: str) -> dict[str, Any]:
        """The fields of the run with this positive policy that differ from a `RunConfig`'s defaults."""
        params: dict[str, Any] = {}
        known = parameters_of(self.loss)
        if "alpha" in known:
            params["alpha"] = self.margin
        if "reduction" in known:
            params["reduction"] = "mean"
        given = {
            "data.name": self.generator,
            "data.params": {
                "classes": self.classes,
                "modes_per_class": self.modes,
                "samples_per_mode": max(2, POINTS // (self.classes * self.modes)),
            },
            "noise.kind": self.noise_kind,
            "noise.mode": self.noise_mode,
            "noise.level": self.noise,
            "net.dim": DIMENSIONS[self.geometry],
            "net.normalize": self.geometry != "plane",
            "loss.name": self.loss,
            "loss.params": params,
            "positive": positive,
            "negative": self.negative,
            "batch.classes": self.classes,
            "batch.per_class": self.per_class,
            "optimizer.lr": self.lr,
            "evaluate": ["train"],
        }
        usual = RunConfig().model_dump(mode="json")
        return {name: value for name, value in given.items() if value != _at(usual, name)}

    def config(self, positive: str, steps: int = 1) -> RunConfig:
        """The run with this positive policy.

        Raises
        ------
        InvalidInput
            If the controls make no sense together.
        """
        fields = {**self.fields(positive), "steps": max(1, steps), "checkpoints": 1, "seed": self.seed}
        return parse(RunConfig, dotted(fields)).check()

    def query(self) -> str:
        """The state as the text after the # of an address: what differs from the default, and the version.

        Examples
        --------
        >>> State(noise=0.2, compare="").query()
        'v=1&noise=0.2&compare='
        """
        usual = State()
        own = {k: v for k, v in self.model_dump().items() if v != getattr(usual, k)}
        return urlencode({"v": VERSION, **own})

    def command(self, positive: str, steps: int) -> str:
        """The same run by the command line."""
        fields = {**self.fields(positive), "steps": max(1, steps), "checkpoints": 1}
        values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
        parts = [f"--set {k}='{v}'" if set(v) & set(' {}[]"') else f"--set {k}={v}" for k, v in values.items()]
        return " \\\n  ".join(["collapse train", *parts, f"--seed {self.seed}"])

    def python(self, positive: str, steps: int) -> str:
        """The same run in Python."""
        fields = {**self.fields(positive), "steps": max(1, steps), "checkpoints": 1, "seed": self.seed}
        lines = "".join(f"    {name!r}: {value!r},\n" for name, value in fields.items())
        return (
            "from sim.config import RunConfig, dotted, parse\nfrom sim.problems import build\nfrom sim.training import train\n\n"
            f"config = parse(RunConfig, dotted({{\n{lines}}})).check()\n"
            "result = train([config], [build(config.data.name, config.seed, **config.data.params)])[0]\n"
            "print(result.rows[-1])\n"
        )


NUMBERS = tuple(name for name, field in State.model_fields.items() if field.annotation in (int, float))
"""Fields that aren't text."""


def _at(nested: Any, path: str) -> Any:
    for part in path.split("."):
        nested = nested[part]
    return nested


def read(query: str) -> State:
    """The state that a shared address holds.

    Raises
    ------
    InvalidInput
        If it is malformed or from another version.

    Examples
    --------
    >>> read("#v=1&noise=0.2&geometry=sphere").geometry
    'sphere'
    >>> read("v=0")
    Traceback (most recent call last):
    sim.errors.InvalidInput: shared state: got 'version 0'; allowed: version 1, which this explorer writes
    """
    text = query.removeprefix("#")
    if not text:
        return State()
    if len(text) > LONGEST_QUERY:
        raise InvalidInput("shared state", f"{len(text)} characters", f"at most {LONGEST_QUERY} characters")
    try:
        pairs = dict(parse_qsl(text, strict_parsing=True, keep_blank_values=True))
    except ValueError as error:
        raise InvalidInput("shared state", text, f"name=value pairs joined by & ({error})") from None
    version = pairs.pop("v", None)
    if version != str(VERSION):
        raise InvalidInput("shared state", f"version {version}", f"version {VERSION}, which this explorer writes")
    return State().with_({name: _number(name, text) if name in NUMBERS else text for name, text in pairs.items()})


def _number(name: str, text: str) -> int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise InvalidInput(f"shared state, {name}", text, "a number")


def choices() -> dict[str, list[str]]:
    """What the lists of the controls offer, by field of `State`: what needs no more than a control.

    Left out are losses and kinds of noise with a parameter that has no default, policies that need a queue of earlier batches, and
    generators that can't place points in the plane.

    Examples
    --------
    >>> found = choices()
    >>> found["noise_mode"], "triplet" in found["loss"], "memory" in found["negative"]
    (['static', 'resampled'], True, False)
    """
    options = {kind: inspect.signature(NOISE_KINDS[kind].options_of).parameters for kind in NOISE_KINDS}
    positives = list(POSITIVES)
    planar = [name for name in GENERATORS if GENERATORS[name].min_dim <= 2]
    return {
        # The default first, as the list shows it.
        "generator": sorted(planar, key=lambda name: name != State.model_fields["generator"].default),
        "noise_kind": [
            kind
            for kind, own in options.items()
            if not _asks({k: p for k, p in own.items() if p.kind is p.KEYWORD_ONLY})
        ],
        "noise_mode": list(get_args(State.model_fields["noise_mode"].annotation)),
        "loss": [name for name in LOSSES if not _asks(parameters_of(name))],
        "positive": positives,
        "compare": ["", *positives],
        "negative": [name for name in NEGATIVES if not NEGATIVES[name].memory],
        "geometry": list(get_args(Geometry)),
    }


def _asks(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether one of the parameters has no default."""
    return any(p.default is p.empty for p in parameters.values())


def allowed(state: State) -> dict[str, list[str]]:
    """What makes sense of the `choices` that depend on one another.

    Returns
    -------
    dict
        Policies that make sense with the state's loss and the other policy, for ``positive``, ``compare`` and ``negative``;
        ``margin``: empty where the loss has none.

    Examples
    --------
    >>> allowed(State().with_({"loss": "softmax"}))
    {'positive': ['all'], 'compare': ['', 'all'], 'negative': ['all'], 'margin': []}
    """
    loss = make(state.loss, runs=1, classes=2, dim=2)

    def fits(positive: str, negative: str) -> bool:
        try:
            loss.sampling(positive, negative)
        except InvalidInput:
            return False
        return True

    own = choices()
    positives = [p for p in own["positive"] if fits(p, state.negative)]
    return {
        "positive": positives,
        "compare": ["", *positives],
        "negative": [n for n in own["negative"] if all(fits(p, n) for p in state.positives)],
        "margin": ["margin"] if "alpha" in parameters_of(state.loss) else [],
    }
