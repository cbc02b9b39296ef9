"""Any tree of images COARSE/FINE/image, with the splits train/ and test/ above it if there are such folders."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from realdata.datasets import DataSet, absent, halves
from realdata.pictures import FilePictures, codes
from realdata.trees import Folder, Tree
from sim.catalogue import DATASETS

SIZE = 64
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)
"""What images' names end in, in small letters; Pillow reads them all, AVIF where it was built with it."""

NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation", "eval", "evaluation", "dev"),
}
"""What the folders of a split may be called, in small or capital letters; one folder a split."""

LIKE_SPLITS = re.compile(rf"({'|'.join(NAMES['train'] + NAMES['test'])})([-_ ]?(set|data|images|imgs|split|[0-9]+))?")


def read(root: Path, split: str) -> FilePictures:
    """The splits of the tree; a tree without splits is halved by fine labels within each coarse one.

    Fine labels are told apart by COARSE/FINE, so that two coarse labels may have a fine one of the same name. Within splits
    there may be one level of labels only: each is coarse and fine.

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
    # What lies at the top beside the folders (a licence, a list) is no image that could be missed.
    names = [name for name in tree.sizes if "/" in name or name.lower().endswith(SUFFIXES)]
    other = [name for name in names if not name.lower().endswith(SUFFIXES)]
    if other:
        raise tree.refusal(other[0], f"nothing but images among the images ({', '.join(SUFFIXES)})")
    splits = _splits(tree, names)
    places = [name.split("/")[bool(splits) : -1] for name in names]
    levels = {1, 2} if splits else {2}
    odd = [
        n for n, place in zip(names, places, strict=True) if len(place) not in levels or len(place) != len(places[0])
    ]
    if odd or not names:
        raise absent("folder", root, f"COARSE/FINE/image: {odd[0]} lies elsewhere; it" if odd else "an image")
    fine = codes(["/".join(place) for place in places])
    if splits:
        rows = np.array([row for row, name in enumerate(names) if name.split("/")[0] == splits[split]], np.int64)
    else:
        coarse = codes([place[0] for place in places])
        rows = np.sort(
            np.concatenate([(of := np.flatnonzero(coarse == c))[halves(fine[of], split)] for c in set(coarse)])
        )
    chosen = codes([places[row][0] for row in rows])
    return FilePictures([(tree, names[row]) for row in rows], chosen, fine[rows], size=SIZE)


def _splits(tree: Tree, names: list[str]) -> dict[str, str]:
    """The folder of each split; none if the folders are labels.

    Raises
    ------
    InvalidInput
        For folders that look like splits, but aren't one for training and one for testing and nothing else.
    """
    tops = sorted({name.split("/")[0] for name in names if "/" in name})
    alike = [top for top in tops if LIKE_SPLITS.fullmatch(top.lower())]
    if not alike:
        return {}
    found = {split: [top for top in tops if top.lower() in known] for split, known in NAMES.items()}
    if len(tops) != 2 or any(len(folders) != 1 for folders in found.values()):
        raise tree.refusal(
            ", ".join(alike),
            f"for splits one folder {' or '.join(NAMES['train'])}, one {' or '.join(NAMES['test'])} and none beside them "
            "(move the images of a third split into one of the two, or away); for labels other names",
        )
    return {split: folders[0] for split, folders in found.items()}


DATASETS.register("folder")(
    DataSet(
        read,
        title="A folder of images",
        layout=(
            "images COARSE/FINE/image, or train/COARSE/FINE/image and test/COARSE/FINE/image "
            "(or train/CLASS/image and test/CLASS/image)"
        ),
        labels="the first level; the second",
        official={},
    )
)
