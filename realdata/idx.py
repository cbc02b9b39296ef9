"""IDX, the file format of MNIST and its kin: a magic number, the dimensions, unsigned bytes; gzipped or plain."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realdata.datasets import Download, absent
from realdata.pictures import ArrayPictures
from realdata.trees import refusal

FILES = {"train": "train", "test": "t10k"}
LAYOUT = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (.gz or plain)"
)


def downloads(base: str, md5: Sequence[str]) -> tuple[Download, ...]:
    """The four files of such a data set: images and labels for training, then for testing.

    Examples
    --------
    >>> [d.name for d in downloads("https://example.org/", ["0"] * 4)][:2]
    ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz']
    """
    names = [f"{prefix}-{kind}-ubyte" for prefix in FILES.values() for kind in ("images-idx3", "labels-idx1")]
    return tuple(
        Download(f"{base}{name}.gz", f"{name}.gz", f"md5:{sum_}") for name, sum_ in zip(names, md5, strict=True)
    )


def read(place: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes.

    Parameters
    ----------
    place : Path
        Gzipped if it ends so.
    dimensions : int
        How many it must have.

    Returns
    -------
    ndarray, uint8

    Raises
    ------
    InvalidInput
        If the file is no such IDX file, or shorter or longer than its header says.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = place.write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + bytes([7, 0, 9]))
    >>> read(place, dimensions=1).tolist()
    [7, 0, 9]
    """
    try:
        content = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
    # gzip raises errors of three libraries.
    except Exception as error:
        what = "a complete gzip file" if place.suffix == ".gz" else "a file that can be read"
        raise refusal(place.name, place.parent, f"{what} ({error})") from None
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise refusal(place.name, place.parent, f"an IDX file of unsigned bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise refusal(
            place.name,
            place.parent,
            f"{math.prod(shape)} bytes after the header, as it says, not {len(content) - header}",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def pictures(name: str, root: Path, split: str, coarse: Sequence[int]) -> ArrayPictures:
    """One split of MNIST or a data set made like it; ``coarse[fine]`` is a fine label's coarse one.

    Raises
    ------
    InvalidInput
        If a file is missing or broken, if images and labels differ in number, or for a label without a coarse one.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes([1, 2]))
    >>> _ = (root / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4) + bytes(32))
    >>> found = pictures("mnist", root, "train", coarse=[0, 1, 0])
    >>> len(found), found.size, found.classes.tolist(), found.modes.tolist()
    (2, 4, [1, 0], [1, 2])
    """
    found = {}
    for kind, dimensions in (("images", 3), ("labels", 1)):
        plain = root / f"{FILES[split]}-{kind}-idx{dimensions}-ubyte"
        places = [p for p in (plain, plain.with_name(plain.name + ".gz")) if p.is_file()]
        if not places:
            raise absent(name, root, f"{plain.name}.gz")
        found[kind] = read(places[0], dimensions)
    images, labels = found["images"], found["labels"]
    if len(images) != len(labels) or not len(images):
        raise refusal(f"{len(images)} {split} images", root, f"as many as labels ({len(labels)}), not 0")
    if images.shape[1] != images.shape[2] or not images.shape[1]:
        raise refusal(f"images of {images.shape[1]} x {images.shape[2]}", root, "square images")
    if labels.max() >= len(coarse):
        raise refusal(f"{split} label {labels.max()}", root, f"labels 0..{len(coarse) - 1}")
    return ArrayPictures(images, np.asarray(coarse)[labels], labels)
