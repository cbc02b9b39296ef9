"""CUB-200-2011: 11,788 pictures of 200 bird species (Wah, Branson, Welinder, Perona & Belongie 2011).

Parts of it with the official files (fewer classes, numbered from 1) are read as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realdata.datasets import DataSet, Download, absent, halves
from realdata.lists import lines, number
from realdata.pictures import FilePictures, codes
from realdata.trees import Shelf, Tree
from sim.catalogue import DATASETS
from sim.errors import InvalidInput

SIZE = 64


def read(root: Path, split: str) -> FilePictures:
    """Train: the first half of the species; test: the others (the split of metric learning, not train_test_split.txt).

    Coarse labels are the last words of the species' names: Albatross, Gull, Warbler.

    Examples
    --------
    >>> read(Path("empty"), "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got 'empty'; allowed: a folder with images.txt...; images.txt (in the folder, in CUB_200_2011 or in an archive) isn't there; ...
    """
    tree = Shelf(root).find("images.txt")
    if tree is None:
        raise absent("cub200", root, "images.txt (in the folder, in CUB_200_2011 or in an archive)")
    for name in ("images.txt", "image_class_labels.txt", "classes.txt"):
        if name not in tree.sizes:
            raise absent("cub200", root, name)
    images, classes = _table(tree, "images.txt"), _table(tree, "classes.txt")
    labels = {image: _label(tree, text) for image, text in _table(tree, "image_class_labels.txt").items()}
    if set(images) != set(labels):
        odd = min(set(images) ^ set(labels))
        raise tree.refusal("image_class_labels.txt", f"the images of images.txt; image {odd} differs")
    unknown = set(labels.values()) - set(classes)
    if unknown or set(classes) != set(range(1, len(classes) + 1)):
        allowed = f"classes numbered 1..{len(classes)}" + (f", not {min(unknown)}" if unknown else "")
        raise tree.refusal("classes.txt", allowed)
    numbers = sorted(images)
    fine = np.array([labels[image] - 1 for image in numbers])
    rows = halves(fine, split)
    kinds = [classes[fine[row] + 1].split(".")[-1].split("_")[-1] for row in rows]
    sources = [(tree, f"images/{images[numbers[row]]}") for row in rows]
    return FilePictures(sources, codes(kinds), fine[rows], size=SIZE)


def _table(tree: Tree, name: str) -> dict[int, str]:
    """Lines of a number and a value."""
    try:
        pairs = [line.split(maxsplit=1) for line in lines(tree, name)]
        table = {number(key): value.strip() for key, value in pairs}
    except InvalidInput:
        raise
    except ValueError as error:
        raise tree.refusal(name, f"lines of a number and a value ({error})") from None
    if len(table) != len(pairs) or not table:
        raise tree.refusal(name, "lines of a number and a value, each number once")
    return table


def _label(tree: Tree, text: str) -> int:
    try:
        return number(text)
    except ValueError as error:
        raise tree.refusal("image_class_labels.txt", f"lines of two numbers ({error})") from None


DATASETS.register("cub200")(
    DataSet(
        read,
        title="CUB-200-2011",
        layout="images.txt, image_class_labels.txt, classes.txt and images/ (in CUB_200_2011 or its archive)",
        labels="kinds of bird (last word of the name); species",
        official={"train": (5864, 100), "test": (5924, 100)},
        downloads=(
            Download(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
                "CUB_200_2011.tgz",
                "md5:97eceeb196236b17998738112f37df78",
            ),
        ),
    )
)
