"""Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people (Lake, Salakhutdinov & Tenenbaum 2015)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realdata.datasets import DataSet, Download, absent
from realdata.pictures import FilePictures, codes
from realdata.trees import Shelf, refusal
from sim.catalogue import DATASETS

FOLDERS = {"train": "images_background", "test": "images_evaluation"}
FIRST_TEST_CHARACTER = 964
SIZE = 28
"""The side that few-shot learning brings the 105 x 105 images to (Vinyals et al. 2016)."""

SOURCE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"


def read(root: Path, split: str) -> FilePictures:
    """The official split, which shares no alphabet: images_background is train, images_evaluation is test.

    Examples
    --------
    >>> read(Path("empty"), "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got 'empty'; allowed: a folder with images_background...; images_background (folder or zip) isn't there; ...
    """
    top = FOLDERS[split]
    tree = Shelf(root).find(top)
    if tree is None:
        raise absent("omniglot", root, f"{top} (folder or zip)")
    found = [(name.split("/"), name) for name in tree.sizes if name.startswith(f"{top}/") and name.endswith(".png")]
    names = sorted((parts, name) for parts, name in found if len(parts) == 4)
    if not names:
        raise absent("omniglot", root, f"{top}/ALPHABET/CHARACTER/*.png")
    alphabets = codes([parts[1] for parts, _ in names])
    characters = codes([f"{parts[1]}/{parts[2]}" for parts, _ in names])
    drawings = np.bincount(characters)
    if drawings.min() != drawings.max():
        parts = names[int(np.flatnonzero(characters == drawings.argmin())[0])][0]
        raise refusal(
            f"{drawings.min()} drawings of {'/'.join(parts[1:3])}",
            tree.place,
            f"as many of every character ({drawings.max()})",
        )
    fine = characters + (FIRST_TEST_CHARACTER if split == "test" else 0)
    return FilePictures([(tree, name) for _, name in names], alphabets, fine, size=SIZE, mode="L")


DATASETS.register("omniglot")(
    DataSet(
        read,
        title="Omniglot",
        layout="images_background and images_evaluation (the official zips, or folders ALPHABET/CHARACTER/*.png)",
        labels="alphabets; characters",
        official={"train": (19280, 964), "test": (13180, 659)},
        downloads=(
            Download(f"{SOURCE}images_background.zip", "images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
            Download(f"{SOURCE}images_evaluation.zip", "images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811"),
        ),
    )
)
