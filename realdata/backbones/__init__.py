"""Pretrained nets, one file each: what they say of an image is trained on as it is, or they are fine-tuned."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realdata import digests
from realdata.pictures import Pictures, square
from sim.catalogue import BACKBONES
from sim.errors import InvalidInput


@dataclass(frozen=True)
class Preprocessing:
    """What is done to a picture: shorter side to ``shorter``, ``size`` x ``size`` cut out, (x / 255 - mean) / std."""

    size: int
    shorter: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int = 3

    def at(self, size: int) -> Preprocessing:
        """The same for another size."""
        return replace(self, size=size, shorter=max(size, round(self.shorter * size / self.size)))

    def __call__(self, pictures: Pictures, rows: np.ndarray, place: tuple[float, float] = (0.5, 0.5)) -> Tensor:
        """Pictures as (n, 3, size, size) float32; ``place`` of the square, see `realdata.pictures.square`."""
        images = [
            np.asarray(square(pictures.image(int(row)).convert("RGB"), self.size, self.shorter, self.resample, place))
            for row in rows
        ]
        x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


@dataclass(frozen=True)
class Backbone:
    """A pretrained net.

    Attributes
    ----------
    name : str
    weights : tuple of Path
        The files of its weights.
    preprocessing : Preprocessing
    build : callable (device) -> Module
        From images (n, 3, s, s) to features (n, d). Called only where it has to run.
    """

    name: str
    weights: tuple[Path, ...]
    preprocessing: Preprocessing
    build: Callable[[str], nn.Module]

    def digest(self) -> str:
        """SHA-256 of the weights."""
        try:
            found = [digests.of_files(place.parent, [place.name])[0] for place in self.weights]
        except OSError as error:
            raise InvalidInput("features", str(error.filename), f"readable weights ({error.strerror})") from None
        return found[0] if len(found) == 1 else digests.joined(*found)


def backbone(name: str) -> Backbone:
    """A backbone by its name in `BACKBONES`, or a folder with a model that `transformers` can load.

    Raises
    ------
    InvalidInput
        If there is no such backbone, or the extra it needs isn't installed.

    Examples
    --------
    >>> backbone("small_conv").preprocessing.size
    64
    """
    if name in BACKBONES:
        return BACKBONES[name]()
    if Path(name).expanduser().is_dir():
        from realdata.backbones.transformers_folder import local

        return local(Path(name).expanduser())
    raise InvalidInput("features", name, f"one of {', '.join(BACKBONES)}, or a folder with a transformers model")


def import_of_extra(module: str, extra: str) -> Any:
    """A module of an extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidInput("features", module, f"the extra: pip install class-collapse[{extra}] ({error})") from None


class Features(nn.Module):
    """A model, and how to get features from it."""

    def __init__(self, model: nn.Module, embed: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.embed = model, embed

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x)
