"""Fashion-MNIST: 70,000 product pictures of 28 x 28 (Xiao, Rasul & Vollgraf 2017)."""

from __future__ import annotations

from pathlib import Path

from realdata import idx
from realdata.datasets import DataSet
from realdata.pictures import ArrayPictures
from sim.catalogue import DATASETS

TOPS, BOTTOMS, SHOES, BAGS = range(4)

COARSE = (TOPS, BOTTOMS, TOPS, TOPS, TOPS, SHOES, TOPS, SHOES, BAGS, SHOES)
"""T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot. A dress covers the upper body: a top."""


def read(root: Path, split: str) -> ArrayPictures:
    """The official split.

    Examples
    --------
    Two test pictures in the official format, of an ankle boot and a pullover.

    >>> import struct, tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes([9, 2]))
    >>> _ = (root / "t10k-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4) + bytes(32))
    >>> found = read(root, "test")
    >>> found.classes.tolist(), found.modes.tolist()
    ([2, 0], [9, 2])
    """
    return idx.pictures("fashion_mnist", root, split, COARSE)


DATASETS.register("fashion_mnist")(
    DataSet(
        read,
        title="Fashion-MNIST",
        layout=idx.LAYOUT,
        labels="tops (with dresses), bottoms, shoes and bags; the ten kinds of product",
        official={"train": (60000, 10), "test": (10000, 10)},
        downloads=idx.downloads(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            [
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ],
        ),
    )
)
