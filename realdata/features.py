"""Frozen features: what a pretrained backbone says of each image, computed once and kept in a cache.

A cache entry is a folder ``<data set>-<split>-<backbone>-<hash>`` with ``features.npy`` and ``about.json``. The hash is of
the images' content, the backbone, its weights' SHA-256 and the preprocessing, so that nothing stale is ever found. Every file
ends in its own checksum: one that was damaged is extracted again.
Extraction writes chunks, each moved into place when whole: one that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from realdata.backbones import Backbone, Preprocessing
from realdata.digests import CACHE_VARIABLE, cache, intact, joined, sealed
from realdata.pictures import Pictures
from sim.errors import InvalidInput
from sim.files import whole

CHUNK = 256
"""Images a chunk: what an interruption costs at most."""

BATCH = 32


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def extract(
    pictures: Pictures,
    title: str,
    net: Backbone,
    *,
    device: str = "cpu",
    on_images: Callable[[int], None] = lambda n: None,
    on_damage: Callable[[str], None] = _tell,
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
    on_damage : callable
        Told, in a line, which kept file was damaged; its features are extracted again.

    Returns
    -------
    ndarray, shape (n, d), float32

    Raises
    ------
    InvalidInput
        If an image is broken, the cache can't be written or the device isn't there.
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
    entry = cache() / f"{title}-{net.name}-{joined(about)[:16]}"
    place = entry / "features.npy"
    try:
        entry.mkdir(parents=True, exist_ok=True)
        # Runs of a sweep that start together must not all extract.
        with FileLock(entry / "lock"):
            for part in entry.rglob("*.part"):  # left behind by one that was killed
                part.unlink(missing_ok=True)
            shown, note = (
                json.dumps({"title": title, "n": len(pictures), **about}, indent=2).encode(),
                entry / "about.json",
            )
            if not note.exists() or note.read_bytes() != shown:
                with whole(note) as file:
                    file.write(shown)
            features = _read(place, len(pictures), on_damage)
            if features is None:
                features = _extract(pictures, net, entry, device, on_images, on_damage)
    except OSError as error:
        raise InvalidInput(CACHE_VARIABLE, str(entry), f"a folder that can be written ({error.strerror})") from None
    return features


def _extract(
    pictures: Pictures,
    net: Backbone,
    entry: Path,
    device: str,
    on_images: Callable[[int], None],
    on_damage: Callable[[str], None],
) -> np.ndarray:
    chunks = entry / "chunks"
    chunks.mkdir(exist_ok=True)
    model, done = None, []
    for start in range(0, len(pictures), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(pictures)))
        place = chunks / f"{start}.npy"
        features = _read(place, len(rows), on_damage)
        if features is None:
            model = model or net.build(device)
            features = _run(model, pictures, net.preprocessing, rows, device)
            _write(place, features)
        done.append(features)
        on_images(len(rows))
    found: np.ndarray = np.concatenate(done)
    _write(entry / "features.npy", found)
    shutil.rmtree(chunks)
    return found


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


def _read(place: Path, n: int, on_damage: Callable[[str], None]) -> np.ndarray | None:
    """A kept array of ``n`` rows; None if there is none, or it was damaged."""
    if not place.exists():
        return None
    features: np.ndarray | None = np.load(place) if intact(place) else None
    if features is None or features.ndim != 2 or len(features) != n:
        on_damage(f"{place} was damaged; its features are extracted again")
        return None
    return features


def _write(place: Path, features: np.ndarray) -> None:
    sealed(CACHE_VARIABLE, place, lambda file: np.save(file, features))
