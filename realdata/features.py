"""Frozen features: what a pretrained backbone says of each image, computed once and kept in a cache.

A cache entry is a folder ``<data set>-<split>-<backbone>-<hash>`` with ``features.npy`` and ``about.json``. The hash is of
the images' fingerprint, the backbone, its weights' SHA-256 and the preprocessing, so that nothing stale is ever found.
Extraction writes chunks, each moved into place when whole: one that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pooch
import torch
from filelock import FileLock
from torch import nn

from realdata.backbones import Backbone, Preprocessing
from realdata.pictures import Pictures
from sim.errors import InvalidInput
from sim.files import whole

CACHE_VARIABLE = "COLLAPSE_CACHE"
"""Environment variable: the folder for extracted features; if it isn't set, the user's cache folder."""

CHUNK = 256
"""Images a chunk: what an interruption costs at most."""

BATCH = 32


def cache() -> Path:
    """The folder of the cache.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {CACHE_VARIABLE: "/data/features"}):
    ...     cache().as_posix()
    '/data/features'
    """
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
    features: np.ndarray = np.concatenate(found)  # (n, d)
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
    with whole(place) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.save(file, content)
