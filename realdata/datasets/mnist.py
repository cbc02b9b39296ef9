"""MNIST: 70,000 handwritten digits of 28 x 28 (LeCun, Bottou, Bengio & Haffner 1998)."""

from __future__ import annotations

from pathlib import Path

from realdata import idx
from realdata.datasets import DataSet
from realdata.pictures import ArrayPictures
from sim.catalogue import DATASETS

COARSE = (0, 1) * 5


def read(root: Path, split: str) -> ArrayPictures:
    """The official split.

    Examples
    --------
    Two test pictures in the official format, of a seven and a two.

    >>> import struct, tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes([7, 2]))
    >>> _ = (root / "t10k-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4) + bytes(32))
    >>> found = read(root, "test")
    >>> found.classes.tolist(), found.modes.tolist()
    ([1, 0], [7, 2])
    """
    return idx.pictures("mnist", root, split, COARSE)


DATASETS.register("mnist")(
    DataSet(
        read,
        title="MNIST",
        layout=idx.LAYOUT,
        labels="even and odd; the ten digits",
        official={"train": (60000, 10), "test": (10000, 10)},
        downloads=idx.downloads(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            [
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ],
        ),
    )
)
