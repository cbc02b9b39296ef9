"""Any tree of images COARSE/FINE/image, with the splits train/ and test/ above it if there are such folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realdata.datasets import SPLITS, DataSet, absent, halves
from realdata.pictures import FilePictures, codes
from realdata.trees import Folder
from sim.catalogue import DATASETS

SIZE = 64
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read(root: Path, split: str) -> FilePictures:
    """The splits of the tree; a tree without splits is halved by fine labels within each coarse one.

    Fine labels are told apart by COARSE/FINE, so that two coarse labels may have a fine one of the same name.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for place in ("cat/manx", "cat/siamese", "dog/beagle", "dog/husky"):
    ...     (root / place).mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(root / place / "0.png")
    >>> train, test = (read(root, split) for split in ("train", "test"))  # the first half of each animal's breeds, the rest
    >>> train.classes.tolist(), train.modes.tolist(), test.modes.tolist()
    ([0, 1], [0, 2], [1, 3])
    """
    tree = Folder(root)
    names = [name for name in tree.sizes if name.lower().endswith(SUFFIXES)]
    apart = all((root / part).is_dir() for part in SPLITS)
    places = [name.split("/")[apart:-1] for name in names]
    odd = [n for n, place in zip(names, places, strict=True) if len(place) != 2]
    if odd or not names:
        raise absent("folder", root, f"COARSE/FINE/image: {odd[0]} lies elsewhere; it" if odd else "an image")
    fine = codes(["/".join(place) for place in places])
    if apart:
        rows = np.array([row for row, name in enumerate(names) if name.startswith(f"{split}/")], np.int64)
    else:
        coarse = codes([place[0] for place in places])
        rows = np.sort(
            np.concatenate([(of := np.flatnonzero(coarse == c))[halves(fine[of], split)] for c in set(coarse)])
        )
    if not len(rows):
        raise absent("folder", root, f"an image for {split}")
    chosen = codes([places[row][0] for row in rows])
    return FilePictures([(tree, names[row]) for row in rows], chosen, fine[rows], size=SIZE)


DATASETS.register("folder")(
    DataSet(
        read,
        title="A folder of images",
        layout="images COARSE/FINE/image, or train/COARSE/FINE/image and test/COARSE/FINE/image",
        labels="the first level; the second",
        official={},
    )
)
