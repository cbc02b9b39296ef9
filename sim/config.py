"""The configuration of one run: frozen, validated, with a canonical form whose hash names the run."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from sim import problems
from sim.catalogue import LOSSES, NETS, OPTIMIZERS, SCHEDULES, WEIGHTINGS
from sim.errors import LARGEST, InvalidInput, takes, within_memory


@dataclass(frozen=True)
class Change:
    """A change of results.

    Attributes
    ----------
    what : str
        In a few words.
    runs : tuple of str
        Runs that set one of these are changed, the others aren't: a dotted field, or ``field=`` and how its value begins.

    Examples
    --------
    >>> change = Change("test images", ("data.params.test_limit", "positive=k_easy"))
    >>> [change.hits(set_by) for set_by in ({"loss.name": "triplet", "positive": "easy"}, {"positive": "k_easy:3"})]
    [False, True]
    """

    what: str
    runs: tuple[str, ...]

    def hits(self, fields: Mapping[str, Any]) -> bool:
        """Whether it changed the results of runs that set these fields (None: not set) to these values."""
        of = [run.partition("=") for run in self.runs]
        return any(fields.get(name) is not None and str(fields[name]).startswith(value) for name, _, value in of)


SCHEMA = 3
"""Version of what a run means; a change of the training program that changes results adds one, and an entry to `CHANGES`."""

CHANGES: dict[int, tuple[Change, ...]] = {
    3: (
        Change(
            "fully connected nets train in compiled code, whose last digits are others, and trainings part by them",
            ("net.kind=mlp", "net.kind=linear"),
        ),
    ),
    2: (
        Change("the images that test_limit picks are drawn from another stream", ("data.params.test_limit",)),
        Change(
            "with several positives, single negatives belonged to samples that are no positives, too",
            ("positive=all", "positive=k_easy", "positive=easy_within"),
        ),
        Change("pictures are turned and laid on white as they say", ("data.name=folder",)),
    ),
}
"""What each version changed: the results of which runs of earlier versions are no longer what this one computes."""

ADDED_LATER = ("memory", "robust")
"""Fields that came after runs had been stored: left at their defaults they don't change a run's name."""

MAX_RUNS = 1_000_000
"""More runs than this at once are taken for a mistake."""

MOST_LEVELS = 10
"""Of lists and mappings in each other, in parameters."""

MATRICES_OF_A_BATCH = 4
"""Of B x B float32 numbers that any loss of pairs holds at the least."""


def _encodes(text: str) -> bool:
    """Whether a text can be written: half a surrogate pair can't."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _plain(value: Any, levels: int = MOST_LEVELS) -> Any:
    """A parameter as JSON's types; tuples, and arrays and scalars of NumPy, become lists and numbers."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and _encodes(value):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)) and levels:
        return [_plain(v, levels - 1) for v in value]
    if isinstance(value, Mapping) and levels and all(isinstance(k, str) and _encodes(k) for k in value):
        return {k: _plain(v, levels - 1) for k, v in value.items()}
    raise ValueError(
        "texts (of Unicode), truth values, finite numbers of at most 64 bits, and lists and mappings (by text) of them, "
        f"at most {MOST_LEVELS} in each other"
    )


Params = Annotated[dict[str, Any], AfterValidator(_plain)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_it_is(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers and truth values are what they are: no text, and no truth value for a number, as pydantic would have it."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = set(get_args(annotation) or (annotation,))
        if kinds & {int, float, bool} and hasattr(value, "item"):
            value = value.item()
        if bool in kinds and not isinstance(value, bool):
            raise ValueError("true or false")
        if int in kinds and (isinstance(value, (bool, str, bytes)) or _beyond(value)):
            raise ValueError("an integer of at most 64 bits")
        if float in kinds and (isinstance(value, (bool, str, bytes)) or (isinstance(value, int) and _beyond(value))):
            raise ValueError("a finite number")
        return value


def _beyond(value: Any) -> bool:
    return isinstance(value, (int, float)) and not abs(value) <= LARGEST


class Data(_Model):
    """What to train on: a name in `sim.problems` and its parameters."""

    name: str = "gaussian_mixture"
    params: Params = Field(default_factory=dict)


class Noise(_Model):
    """Label noise.

    ``level`` is the probability of not keeping a label, in [0, 1). ``resampled`` draws a fresh label every time a sample
    is drawn (the setting of the theory); ``static`` flips once (a real data set). ``exact`` flips exact counts.
    """

    kind: str = "symmetric"
    level: float = 0.0
    mode: Literal["resampled", "static"] = "resampled"
    exact: bool = False
    params: Params = Field(default_factory=dict)


class Net(_Model):
    """The embedding net: a name in `sim.catalogue.NETS`, the embedding and the net's own parameters."""

    kind: str = "mlp"
    dim: int = Field(2, ge=1, le=65_536)
    normalize: bool = False
    params: Params = Field(default_factory=dict)


class Loss(_Model):
    """A name in `sim.catalogue.LOSSES` and its parameters."""

    name: str = "triplet"
    params: Params = Field(default_factory=dict)


class Batch(_Model):
    """Batches of P classes x K samples; ``classes`` = 0: ``per_class`` samples drawn uniformly."""

    classes: int = Field(2, ge=0, le=1_000_000)
    per_class: int = Field(32, ge=2, le=1_000_000)


class Robust(_Model):
    """A noise-robust baseline: a name in `sim.catalogue.WEIGHTINGS`, or none."""

    name: str = "none"
    params: Params = Field(default_factory=dict)


class MemoryQueue(_Model):
    """A queue of earlier batches' embeddings for ``negative = memory``: its size Q (0: none) and the momentum of the net
    that computes them (0: the net itself; He et al. 2020)."""

    size: int = Field(0, ge=0, le=100_000_000)
    momentum: float = Field(0.99, ge=0, lt=1)


class Optimizer(_Model):
    """Optimiser; ``loss_lr`` is the learning rate of what the loss learns (beta), ``lr`` where not given."""

    name: str = "adam"
    lr: float = Field(1e-3, gt=0)
    loss_lr: float | None = Field(None, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: str = "constant"


class RunConfig(_Model):
    """One run. The seed, from 0 to 2^63 - 1, decides everything random in it, and nothing else does.

    Examples
    --------
    >>> config = RunConfig(noise=Noise(level=0.2), seed=3).check()
    >>> config.loss.name, config.positive, len(config.key())
    ('triplet', 'easy', 16)
    """

    data: Data = Data()
    noise: Noise = Noise()
    net: Net = Net()
    loss: Loss = Loss()
    positive: str = "easy"
    negative: str = "semihard"
    batch: Batch = Batch()
    memory: MemoryQueue = MemoryQueue()
    robust: Robust = Robust()
    optimizer: Optimizer = Optimizer()
    steps: int = Field(1500, ge=1, le=1_000_000_000)
    checkpoints: int = Field(5, ge=1, le=10_000)
    evaluate: tuple[Literal["train", "test"], ...] = ("test",)
    save_embeddings: bool = False
    seed: int = Field(0, ge=0, le=LARGEST)
    dtype: Literal["float32", "float64"] = "float32"

    def key(self) -> str:
        """The run's name: 16 hexadecimal digits of the hash of its canonical form and `SCHEMA`."""
        form = self.model_dump(mode="json")
        for name in ADDED_LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                del form[name]
        canonical = json.dumps([SCHEMA, form], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def program(self) -> str:
        """What runs of one tensor program must have in common: all but seed, data, noise, margins and rates."""
        form = self.model_dump(mode="json", exclude={"seed": True, "data": True, "noise": {"kind", "level", "params"}})
        for name in LOSSES[self.loss.name].per_run:
            form["loss"]["params"].pop(name, None)
        for name in ("lr", "loss_lr", "weight_decay"):
            form["optimizer"].pop(name)
        return json.dumps(form, sort_keys=True)

    def checkpoint_steps(self) -> list[int]:
        """The steps after which the run is evaluated: evenly spread, the first (0) and the last among them.

        Examples
        --------
        >>> RunConfig(steps=10, checkpoints=4).checkpoint_steps()
        [0, 2, 5, 8, 10]
        """
        return sorted({round(k * self.steps / self.checkpoints) for k in range(self.checkpoints + 1)})

    def check(self) -> RunConfig:
        """Refuse what can be refused before any data is built; returns itself.

        Raises
        ------
        InvalidInput
            For unknown names, values out of range and combinations that make no sense.
        """
        Checked().config(self)
        return self


class Checked:
    """Checks runs, and what many of them share only once: parts are told apart as objects, as those of `sim.sweeps.grid` are.

    Examples
    --------
    >>> checked, config = Checked(), RunConfig()
    >>> for seed in range(3):
    ...     checked.config(config.model_copy(update={"seed": seed}))
    >>> checked.config(config.model_copy(update={"positive": "esay"}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: positive: got 'esay'; allowed: one of all, random, easy, ...
    """

    def __init__(self) -> None:
        # With the parts themselves: an object that is gone leaves its identity to another one.
        self._seen: dict[tuple[Any, ...], list[Any]] = {}

    def config(self, config: RunConfig) -> None:
        """Refuse what can be refused before any data is built, see `RunConfig.check`."""
        of = config.__dict__
        for check, fields in _CHECKS:
            parts = [of[name] for name in fields]
            seen = (check, *[part if type(part) in (str, tuple) else id(part) for part in parts])
            if seen not in self._seen:
                check(*parts)
                self._seen[seen] = parts


def _check_names(data: Data, optimizer: Optimizer) -> None:
    problems.builder(data.name), OPTIMIZERS[optimizer.name], SCHEDULES[optimizer.schedule]


def _check_net(net: Net) -> None:
    given = ("keys", "shape", "samples", "dim", "normalize")
    takes("net.params", NETS[net.kind], net.params, given=given)


def _check_noise(noise: Noise) -> None:
    # Imported here, and below: who only lists or counts runs doesn't wait for PyTorch.
    from sim.noise import check

    check(noise.kind, noise.level, noise.params)


def _check_sizes(evaluate: tuple[str, ...], net: Net, batch: Batch, memory: MemoryQueue) -> None:
    if not evaluate or len(set(evaluate)) < len(evaluate):
        raise InvalidInput("evaluate", evaluate, "train, test or both, each once")
    size = max(batch.classes, 1) * batch.per_class
    within_memory("batch.per_class", batch.per_class, 4 * MATRICES_OF_A_BATCH * size**2)
    within_memory("memory.size", memory.size, 4 * memory.size * (size + net.dim))


def _check_loss(loss: Loss, net: Net, positive: str, negative: str, robust: Robust, memory: MemoryQueue) -> None:
    from sim import losses
    from sim.losses import weighting

    losses.check_parameters(loss.name, loss.params)
    made = losses.make(loss.name, **loss.params, runs=1, classes=2, dim=net.dim)
    sampling = made.sampling(positive, negative)
    if robust.name != "none":
        takes("robust.params", WEIGHTINGS[robust.name], robust.params)
        weighed = weighting.make(robust.name, **robust.params)
        fits = [n for n in LOSSES if LOSSES[n].weighed_by(weighed)]
        if loss.name not in fits:
            raise InvalidInput("loss.name", loss.name, f"with {robust.name}: one of {', '.join(fits)}")
    elif robust.params:
        raise InvalidInput("robust.params", robust.params, "nothing with robust.name = none")
    if sampling.negative.memory != (memory.size > 0):
        raise InvalidInput("memory.size", memory.size, "> 0 with negative = memory, 0 without")
    sides = (("positive", positive, sampling.positive), ("negative", negative, sampling.negative))
    for side, name, policy in sides:
        if policy.on_sphere and not net.normalize:
            raise InvalidInput("net.normalize", False, f"true with {side}={name!r} (defined on the sphere)")


def _check_batch(batch: Batch, positive: str, noise: Noise) -> None:
    if batch.classes == 1:
        raise InvalidInput("batch.classes", 1, "0 (uniform batches) or at least 2 (else there are no negatives)")
    # Batches are balanced over the labels of static noise; labels drawn afresh fall into unequal groups.
    as_labelled = noise.mode == "static" or noise.level == 0
    if batch.classes and batch.per_class == 2 and positive == "easy" and as_labelled:
        warnings.warn(
            "batch.per_class: with 2 samples a class in the batch an anchor has a single positive, so that "
            "easy, hard and random positives are the same; take 3 or more",
            stacklevel=4,
        )


_CHECKS: tuple[tuple[Callable[..., None], tuple[str, ...]], ...] = (
    (_check_names, ("data", "optimizer")),
    (_check_net, ("net",)),
    (_check_noise, ("noise",)),
    (_check_sizes, ("evaluate", "net", "batch", "memory")),
    (_check_loss, ("loss", "net", "positive", "negative", "robust", "memory")),
    (_check_batch, ("batch", "positive", "noise")),
)
"""What is checked, in this order, and of which fields it depends."""


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Validate a mapping (from YAML, JSON or the command line).

    Raises
    ------
    InvalidInput
        Naming the first offending field by its dotted path.

    Examples
    --------
    >>> parse(RunConfig, {"noise": {"level": 0.2}}).noise.level
    0.2
    >>> parse(RunConfig, {"nose": 1})
    Traceback (most recent call last):
    sim.errors.InvalidInput: nose: got 1; allowed: no such field; there are data, noise, net, loss, positive, negative, batch, memory, robust, optimizer, steps, checkpoints, evaluate, save_embeddings, seed, dtype
    """
    if not isinstance(values, Mapping):
        raise InvalidInput(model.__name__, values, "a mapping from fields to values")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or model.__name__
        if first["type"] == "extra_forbidden":
            parent: Any = model
            for part in first["loc"][:-1]:
                parent = parent.model_fields[part].annotation
            raise InvalidInput(
                field, first["input"], "no such field; there are " + ", ".join(parent.model_fields)
            ) from None
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(field, first["input"], said[0].lower() + said[1:]) from None


def dotted(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """``{"noise.level": 0.2}`` -> ``{"noise": {"level": 0.2}}``; later entries win, mappings may be given whole.

    Examples
    --------
    >>> dotted({"noise.level": 0.2, "noise.mode": "static", "seed": 1})
    {'noise': {'level': 0.2, 'mode': 'static'}, 'seed': 1}
    """
    nested: dict[str, Any] = {}
    for path, value in assignments.items():
        if not isinstance(path, str) or path.count(".") > MOST_LEVELS:
            raise InvalidInput("field", path, f"a field's name, with at most {MOST_LEVELS} dots")
        *parents, leaf = path.split(".")
        place = nested
        for parent in parents:
            inner = place.get(parent, {})
            if not isinstance(inner, dict):
                raise InvalidInput(path, value, f"{parent} has a value of its own")
            # A copy: it may be the caller's.
            place[parent] = dict(inner)
            place = place[parent]
        place[leaf] = value
    return nested
