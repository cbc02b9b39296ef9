"""Cars196: 16,185 pictures of 196 models of cars (Krause, Stark, Deng & Fei-Fei 2013)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from realdata import mat
from realdata.datasets import DataSet, Download, absent, halves
from realdata.pictures import FilePictures, codes
from realdata.trees import Shelf, Tree, refusal
from sim.catalogue import DATASETS

SIZE = 64
TOGETHER = "cars_annos.mat"
APART = (
    ("cars_train", ("devkit/cars_train_annos.mat", "cars_train_annos.mat")),
    ("cars_test", ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")),
)
MODELS = ("devkit/cars_meta.mat", "cars_meta.mat")
BY_MODEL = "car_data"
SOURCE = "https://ai.stanford.edu/~jkrause/"

Listed = list[tuple[Tree, str, int]]


def read(root: Path, split: str) -> FilePictures:
    """Train: the first half of the models; test: the others (the split of metric learning, not cars_train and cars_test).

    Coarse labels are the makes, the first words of the models' names. In folders named by their models these are numbered in
    the order of their names; both halves hold the same models as with the official numbers.

    Examples
    --------
    >>> read(Path("empty"), "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got 'empty'; allowed: a folder with car_ims...; cars_annos.mat or devkit/cars_train_annos.mat isn't there; ...
    """
    shelf = Shelf(root)
    named = _by_model(shelf)
    if named:
        listed, names = named
    else:
        # cars_annos.mat also comes with cars_train and cars_test, whose images have other numbers.
        whole = shelf.find(TOGETHER) and (shelf.find("car_ims") or not shelf.find("cars_train"))
        listed, names = _together(shelf) if whole else _apart(shelf)
    fine = np.array([model for _, _, model in listed]) - 1
    if set(fine) - set(range(len(names))) or not len(fine):
        raise refusal(f"annotated models {sorted(set(fine + 1))}", root, f"models numbered 1..{len(names)}")
    rows = halves(fine, split)
    makes = [names[fine[row]].split()[0] for row in rows]
    return FilePictures([listed[row][:2] for row in rows], codes(makes), fine[rows], size=SIZE)


def _together(shelf: Shelf) -> tuple[Listed, list[str]]:
    """The release in one piece: car_ims and cars_annos.mat."""
    tree = _find(shelf, TOGETHER)
    annotated, names = _annotated(tree, TOGETHER, "relative_im_path"), _names(tree, TOGETHER)
    images = _find(shelf, "car_ims")
    return [(images, name, model) for name, model in annotated], names


def _apart(shelf: Shelf) -> tuple[Listed, list[str]]:
    """The release in two: cars_train, cars_test, devkit and the test labels."""
    listed: Listed = []
    for folder, places in APART:
        annotated = _annotated(*_first(shelf, places, f"{TOGETHER} or "), "fname")
        images = _find(shelf, folder)
        # Kaggle's copies have a folder in a folder of the same name.
        base = f"{folder}/{folder}" if images.holds(f"{folder}/{folder}") else folder
        listed += [(images, f"{base}/{name}", model) for name, model in annotated]
    return listed, _names(*_first(shelf, MODELS))


def _by_model(shelf: Shelf) -> tuple[Listed, list[str]] | None:
    """Pictures in folders named by their models, in train and test, at the top or in car_data; None if there are none."""
    for base in (f"{BY_MODEL}/", ""):
        tree = shelf.find(f"{base}train")
        if tree is None or not tree.holds(f"{base}test"):
            continue
        parts = [name.removeprefix(base).split("/") for name in tree.sizes if name.startswith(base)]
        found = [(tree, base + "/".join(p), p[1]) for p in parts if len(p) == 3 and p[0] in ("train", "test")]
        names = sorted({model for _, _, model in found})
        odd = [name for name in names if not re.search("[0-9]{4}$", name)]
        if odd or not names:
            allowed = "folders named by models, such as 'Acura RL Sedan 2012'"
            raise tree.refusal(odd[0] if odd else f"{base}train", allowed)
        number = {name: place for place, name in enumerate(names, 1)}
        return [(tree, file, number[model]) for tree, file, model in found], names
    return None


def _first(shelf: Shelf, places: tuple[str, ...], other: str = "") -> tuple[Tree, str]:
    for place in places:
        if tree := shelf.find(place):
            return tree, place
    raise absent("cars196", shelf.root, other + places[0])


def _find(shelf: Shelf, what: str) -> Tree:
    return _first(shelf, (what,))[0]


def _annotated(tree: Tree, name: str, field: str) -> list[tuple[str, int]]:
    """Names and models of the annotated images."""
    table = _mat(tree, name, "annotations")
    if not isinstance(table, dict) or not {field, "class"} <= set(table):
        raise tree.refusal(name, f"annotations with class and {field}")
    found = list(zip(table[field], table["class"], strict=True))
    if not all(isinstance(file, str) and type(model) is int for file, model in found):
        raise tree.refusal(name, f"annotations with one class and one {field} each")
    return found


def _names(tree: Tree, name: str) -> list[str]:
    names = _mat(tree, name, "class_names")
    if not isinstance(names, list) or not all(isinstance(model, str) and model.strip() for model in names):
        raise tree.refusal(name, "a name for each model")
    return names


def _mat(tree: Tree, name: str, table: str) -> Any:
    content = tree.read(name)
    try:
        tables = mat.read(content)
    except ValueError as error:
        raise tree.refusal(name, f"a readable MATLAB file ({str(error)[:200]})") from None
    if table not in tables:
        raise tree.refusal(name, f"a table {table}")
    return tables[table]


DATASETS.register("cars196")(
    DataSet(
        read,
        title="Cars196",
        layout=(
            "car_ims and cars_annos.mat; or cars_train, cars_test, devkit and cars_test_annos_withlabels.mat; "
            "or car_data/train/MODEL and car_data/test/MODEL (folders, or archives of them)"
        ),
        labels="makes; models",
        official={"train": (8054, 98), "test": (8131, 98)},
        gone=(
            "the official host no longer has it (404 since 2023); copies on Kaggle: cyizhuo/stanford-cars-by-classes-folder "
            "(folders by model), rickyyyyyyy/torchvision-stanford-cars (with devkit and test labels); of parquet files, as on "
            "Hugging Face, save the pictures as car_data/train/MODEL/*.jpg and car_data/test/MODEL/*.jpg"
        ),
        downloads=(
            Download(f"{SOURCE}car196/cars_train.tgz", "cars_train.tgz", "md5:065e5b463ae28d29e77c1b4b166cfe61"),
            Download(f"{SOURCE}car196/cars_test.tgz", "cars_test.tgz", "md5:4ce7ebf6a94d07f1952d94dd34c4d501"),
            Download(f"{SOURCE}cars/car_devkit.tgz", "car_devkit.tgz", "md5:c3b158d763b6e2245038c8ad08e45376"),
            Download(
                f"{SOURCE}car196/cars_test_annos_withlabels.mat",
                "cars_test_annos_withlabels.mat",
                "md5:b0a2b23655a3edd16d84508592a98d10",
            ),
        ),
    )
)
