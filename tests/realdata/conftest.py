"""Small data sets in the official layouts, drawn for the tests."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from realdata.digests import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or leaves anything in the user's cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))


def picture(place: Path, value: int, size: tuple[int, int] = (24, 20), mode: str = "RGB") -> None:
    """An image of one grey."""
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(place)


def idx(place: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    content = header + values.astype(np.uint8).tobytes()
    place.write_bytes(gzip.compress(content) if place.suffix == ".gz" else content)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """60 training and 30 test images; the image of digit d is full of 20 d. Training files gzipped, test files plain."""
    root = tmp_path / "mnist"
    root.mkdir()
    for part, suffix, n in (("train", ".gz", 60), ("t10k", "", 30)):
        labels = np.arange(n) % 10
        idx(root / f"{part}-labels-idx1-ubyte{suffix}", labels)
        idx(root / f"{part}-images-idx3-ubyte{suffix}", np.broadcast_to(20 * labels[:, None, None], (n, 28, 28)))
    return root


@pytest.fixture
def omniglot(tmp_path: Path) -> Path:
    """Background: 3 alphabets of 2 characters; evaluation: 2 of 2; 4 drawings each; as folders."""
    root = tmp_path / "omniglot"
    for folder, alphabets in (("images_background", "Greek Latin Tifinagh"), ("images_evaluation", "Angelic Keble")):
        for alphabet in alphabets.split():
            for character in (1, 2):
                for drawing in range(1, 5):
                    name = f"{folder}/{alphabet}/character{character:02d}/{character:04d}_{drawing:02d}.png"
                    picture(root / name, drawing % 2, (105, 105), "1")
    return root


@pytest.fixture
def cub200(tmp_path: Path) -> Path:
    """6 species in 3 kinds, 4 pictures each: the k-th picture's grey is k. The official folder CUB_200_2011."""
    base = tmp_path / "cub200" / "CUB_200_2011"
    kinds = ("Sooty_Gull", "Ivory_Gull", "Fish_Crow", "A_Wren", "B_Wren", "C_Tern")
    species = [f"{n:03d}.{name}" for n, name in enumerate(kinds, 1)]
    images = [f"{name}/{name[4:]}_{k:04d}.jpg" for name in species for k in range(4)]
    for number, name in enumerate(images):
        picture(base / "images" / name, number)
    (base / "classes.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(species, 1)))
    (base / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(images, 1)))
    (base / "image_class_labels.txt").write_text("".join(f"{n} {1 + (n - 1) // 4}\n" for n in range(1, 25)))
    return base.parent


def columns_of(**columns: list[object]) -> np.ndarray:
    rows = np.empty((1, len(columns["class"])), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        rows[name][0] = np.array([*values, None], object)[:-1]
    return rows


CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "BMW X6 SUV 2012")


@pytest.fixture
def cars196(tmp_path: Path) -> Path:
    """4 models, 3 training and 2 test pictures each, in two folders with a devkit."""
    root = tmp_path / "cars196"
    (root / "devkit").mkdir(parents=True)
    for folder, each, place in (
        ("cars_train", 3, "devkit/cars_train_annos.mat"),
        ("cars_test", 2, "cars_test_annos_withlabels.mat"),
    ):
        models = [model for model in range(1, 5) for _ in range(each)]
        names = [f"{n:05d}.jpg" for n in range(1, len(models) + 1)]
        for name, model in zip(names, models, strict=True):
            picture(root / folder / name, 40 * model)
        savemat(root / place, {"annotations": columns_of(**{"fname": names, "class": models})})
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array([CARS], object)})
    return root


@pytest.fixture
def cars196_together(tmp_path: Path) -> Path:
    """The same 20 pictures in the release in one piece."""
    root = tmp_path / "cars196-together"
    models = [model for each in (3, 2) for model in range(1, 5) for _ in range(each)]
    names = [f"car_ims/{n:06d}.jpg" for n in range(1, len(models) + 1)]
    for name, model in zip(names, models, strict=True):
        picture(root / name, 40 * model)
    tables = {
        "annotations": columns_of(**{"relative_im_path": names, "class": models}),
        "class_names": np.array([CARS], object),
    }
    savemat(root / "cars_annos.mat", tables)
    return root


@pytest.fixture
def sop(tmp_path: Path) -> Path:
    """4 training and 4 test products in 2 categories, 3 pictures each."""
    base = tmp_path / "sop" / "Stanford_Online_Products"
    for part, first in (("train", 1), ("test", 5)):
        lines = ["image_id class_id super_class_id path"]
        for product in range(first, first + 4):
            category = ("bicycle", "chair")[product % 2]
            for k in range(3):
                name = f"{category}_final/{product}_{k}.JPG"
                lines.append(f"{len(lines)} {product} {1 + product % 2} {name}")
                picture(base / name, 20 * product)
        (base / f"Ebay_{part}.txt").write_text("\n".join(lines) + "\n")
    return base.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """2 coarse labels of 4 fine ones, 3 pictures each; no splits."""
    root = tmp_path / "folder"
    for coarse in ("cat", "dog"):
        for fine in "abcd":
            for k in range(3):
                picture(root / coarse / fine / f"{k}.png", 10 * k)
    return root


def packed(folder: Path, place: Path) -> Path:
    """An archive of what is in a folder, in a folder of its own; its kind by its suffix."""
    place.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder).as_posix())
    else:
        with tarfile.open(place, "w" if place.suffix == ".tar" else "w:gz") as archive:
            for file in reversed(files):
                archive.add(file, file.relative_to(folder).as_posix())
    return place.parent


@pytest.fixture
def pack():
    return packed
