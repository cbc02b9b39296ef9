"""The configuration of a fine-tuned run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from realdata.protocol import Protocol
from sim.catalogue import DATASETS, NOISE_KINDS
from sim.config import Batch, Data, Net, Noise, RunConfig
from sim.errors import InvalidInput, takes


class DataSetOf(Data):
    """A data set of `realdata.datasets`; ``params``: ``root`` and those of `realdata.protocol.Protocol`, ``protocol`` its kind."""

    name: str = "cub200"


class StaticNoise(Noise):
    """Noise as in a real data set: labels are flipped once."""

    mode: Literal["resampled", "static"] = "static"


class Head(Net):
    """The net on the backbone's features."""

    kind: str = "linear"
    dim: int = Field(64, ge=1)
    normalize: bool = True


class FineTuneBatch(Batch):
    """P classes x K samples."""

    classes: int = Field(16, ge=0)
    per_class: int = Field(4, ge=2)


class FineTune(RunConfig):
    """A run that trains a backbone; ``optimizer.lr`` is the head's and the loss's learning rate.

    Attributes
    ----------
    backbone : str
        See `realdata.backbones.backbone`.
    backbone_lr : float
        The backbone's learning rate; 0 keeps it as it is.
    size : int or None
        Side of the images; the backbone's own if not given.
    augment : bool
        Train on random crops and mirror images, instead of the middle.
    precision : str
        ``bfloat16``: mixed precision (PyTorch's autocast).

    Examples
    --------
    >>> config = FineTune(noise=StaticNoise(level=0.2), backbone="small_conv").check()
    >>> config.data.name, config.net.dim, config.checkpoint_steps()
    ('cub200', 64, [0, 200, 400, 600, 800, 1000])
    >>> FineTune(dtype="float64").check()
    Traceback (most recent call last):
    sim.errors.InvalidInput: dtype: got 'float64'; allowed: float32 in fine-tuning
    """

    data: DataSetOf = DataSetOf()
    noise: StaticNoise = StaticNoise()
    net: Head = Head()
    batch: FineTuneBatch = FineTuneBatch()
    steps: int = Field(1000, ge=1)
    backbone: str = "efficientnet_lite0"
    backbone_lr: float = Field(1e-4, ge=0)
    size: int | None = Field(None, ge=16)
    augment: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"

    def check(self) -> FineTune:
        """See `RunConfig.check`; also refuse what fine-tuning has no place for."""
        super().check()
        takes("data.params", protocol_of, self.data.params)
        DATASETS[self.data.name]
        for field, value, allowed in (
            ("memory.size", self.memory.size, 0),
            ("robust.name", self.robust.name, "none"),
            ("dtype", self.dtype, "float32"),
        ):
            if value != allowed:
                raise InvalidInput(field, value, f"{allowed} in fine-tuning")
        if NOISE_KINDS[self.noise.kind].transition is None:
            known = [k for k in NOISE_KINDS if NOISE_KINDS[k].transition is not None]
            raise InvalidInput("noise.kind", self.noise.kind, f"one of {', '.join(known)} in fine-tuning")
        return self


def protocol_of(
    root: str | None = None,
    protocol: str = "coarse",
    per_super: int | None = None,
    merge_seed: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
) -> Protocol:
    """The protocol that ``data.params`` ask for; ``root`` is where the data are, not how they are used.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> protocol_of(protocol="merged", per_super=2).per_super
    2
    """
    return Protocol(protocol, per_super, merge_seed, limit, test_limit)
