"""Stanford Online Products: 120,053 pictures of 22,634 products in 12 categories (Song, Xiang, Jegelka & Savarese 2016)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realdata.datasets import DataSet, Download, absent
from realdata.lists import lines, number
from realdata.pictures import FilePictures
from realdata.trees import Shelf
from sim.catalogue import DATASETS

LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
HEADER = "image_id class_id super_class_id path"
SIZE = 64


def read(root: Path, split: str) -> FilePictures:
    """The official split, which shares no product. Coarse labels are the categories.

    Examples
    --------
    >>> read(Path("empty"), "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got 'empty'; allowed: a folder with Ebay_train.txt...; Ebay_train.txt (in the folder, in Stanford_Online_Products or its zip) isn't there; ...
    """
    name = LISTS[split]
    tree = Shelf(root).find(name)
    if tree is None:
        raise absent("sop", root, f"{name} (in the folder, in Stanford_Online_Products or its zip)")
    header, *listed = lines(tree, name) or [""]
    rows = [line.split(maxsplit=3) for line in listed]
    if header.split() != HEADER.split() or not rows or any(len(row) != 4 for row in rows):
        raise tree.refusal(name, f"a first line '{HEADER}' and lines of these four")
    try:
        fine = np.array([number(row[1]) - 1 for row in rows])
    except ValueError as error:
        raise tree.refusal(name, f"numbered products (class_id {error})") from None
    coarse = np.unique([row[2] for row in rows], return_inverse=True)[1]
    return FilePictures([(tree, row[3].strip()) for row in rows], coarse, fine, size=SIZE)


DATASETS.register("sop")(
    DataSet(
        read,
        title="Stanford Online Products",
        layout="Ebay_train.txt, Ebay_test.txt and the folders of images they name (in Stanford_Online_Products or its zip)",
        labels="the 12 categories; products",
        ks=(1, 10, 100, 1000),
        official={"train": (59551, 11318), "test": (60502, 11316)},
        downloads=(
            Download(
                "http://ftp.cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
                "Stanford_Online_Products.zip",
                "md5:7f73d41a2f44250d4779881525aea32e",
            ),
        ),
    )
)
