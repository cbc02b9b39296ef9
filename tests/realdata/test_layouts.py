"""The layouts that people really have, and what operating systems and archivers make of them."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realdata.datasets import load
from realdata.trees import Archive
from sim.errors import InvalidInput

CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "BMW X6 SUV 2012")

Pack = Callable[[Path, Path], Path]


def pictures_at(root: Path, *names: str) -> None:
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (10 * (k + 1),) * 3).save(root / name)


# The folder reader.


@pytest.mark.parametrize(
    ("first", "second"),
    [("train", "test"), ("Train", "Test"), ("TRAINING", "validation"), ("train", "val"), ("Training", "testing")],
)
def test_splits_by_their_usual_names(first: str, second: str, tmp_path: Path) -> None:
    pictures_at(
        tmp_path, f"{first}/cat/a/0.png", f"{first}/dog/b/0.png", f"{second}/cat/a/0.png", f"{second}/dog/c/0.png"
    )
    train, test = (load("folder", tmp_path, split, size=8) for split in ("train", "test"))
    np.testing.assert_allclose(255 * train.x[:, 0, 0, 0], [10, 20], rtol=1e-6)
    np.testing.assert_allclose(255 * test.x[:, 0, 0, 0], [30, 40], rtol=1e-6)
    assert train.classes.tolist() == test.classes.tolist() == [0, 1]
    assert train.modes.tolist() == [0, 1] and test.modes.tolist() == [0, 2]


def test_one_level_of_labels_within_splits_is_coarse_and_fine(tmp_path: Path) -> None:
    pictures_at(tmp_path, "train/cat/0.png", "train/dog/0.png", "val/cat/0.png", "val/dog/0.png")
    train, test = (load("folder", tmp_path, split, size=8) for split in ("train", "test"))
    np.testing.assert_allclose(255 * train.x[:, 0, 0, 0], [10, 20], rtol=1e-6)
    np.testing.assert_allclose(255 * test.x[:, 0, 0, 0], [30, 40], rtol=1e-6)
    for side in (train, test):
        assert side.classes.tolist() == side.modes.tolist() == [0, 1]


@pytest.mark.parametrize(
    "tops",
    [
        ("train", "test", "val"),
        ("train", "cat"),
        ("train",),
        ("train", "test", "cat"),
        ("train", "training"),
        ("test", "val"),
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("Train-images", "dog"),
    ],
)
def test_what_only_looks_like_splits_is_refused(tops: tuple[str, ...], tmp_path: Path) -> None:
    pictures_at(tmp_path, *(f"{top}/cat/a/0.png" for top in tops), *(f"{top}/dog/b/0.png" for top in tops))
    with pytest.raises(InvalidInput, match="for splits one folder train or training, one test or .* none beside them"):
        load("folder", tmp_path)


def test_mixed_depths_are_refused(tmp_path: Path) -> None:
    pictures_at(tmp_path, "train/cat/0.png", "train/dog/a/0.png", "test/cat/0.png")
    with pytest.raises(InvalidInput, match="dog/a/0.png lies elsewhere"):
        load("folder", tmp_path)


def test_labels_that_only_begin_like_splits_are_labels(tmp_path: Path) -> None:
    pictures_at(tmp_path, *(f"{top}/{fine}/0.png" for top in ("train station", "test tube") for fine in "ab"))
    assert load("folder", tmp_path, size=8).t == 2


@pytest.mark.parametrize(
    "junk",
    [
        "cat/a/._0.png",
        ".DS_Store",
        "cat/Thumbs.db",
        "cat/a/desktop.ini",
        "__MACOSX/cat/a/._0.png",
        "cat/.ipynb_checkpoints/0-checkpoint.png",
    ],
)
def test_what_systems_leave_behind_is_no_data(junk: str, folder: Path) -> None:
    expected = load("folder", folder, size=8)
    (folder / junk).parent.mkdir(parents=True, exist_ok=True)
    (folder / junk).write_bytes(b"\0\5\26\7")
    found = load("folder", folder, size=8)
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.modes, expected.modes)


def test_a_folder_in_itself_and_a_link_to_nothing(folder: Path) -> None:
    (folder / "cat" / "a" / "again").symlink_to(folder, target_is_directory=True)
    assert load("folder", folder, size=8).n == 12
    (folder / "cat" / "a" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(InvalidInput, match="cat/a/gone.png'; allowed: a readable file"):
        load("folder", folder)


# Lists.


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_lists_with_a_byte_order_mark_and_other_ends_of_lines(ends: bytes, cub200: Path, sop: Path) -> None:
    before = [load("cub200", cub200, size=8), load("sop", sop, size=8)]
    for place in [*(cub200 / "CUB_200_2011").glob("*.txt"), *(sop / "Stanford_Online_Products").glob("*.txt")]:
        place.write_bytes(b"\xef\xbb\xbf" + place.read_bytes().replace(b"\n", ends))
    for expected, found in zip(before, [load("cub200", cub200, size=8), load("sop", sop, size=8)], strict=True):
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.modes, expected.modes)


def test_lists_of_other_encodings_and_endless_numbers_are_refused(cub200: Path, sop: Path) -> None:
    base, products = cub200 / "CUB_200_2011", sop / "Stanford_Online_Products" / "Ebay_train.txt"
    whole = products.read_text()
    for number in ("1" * 5000, "0", "-1", "1.5", "²", "٣"):
        products.write_text(whole.replace("\n1 1 ", f"\n1 {number} ", 1))
        with pytest.raises(InvalidInput, match="Ebay_train.txt'; allowed: numbered products") as error:
            load("sop", sop)
        assert len(str(error.value)) < 400
    products.write_bytes(whole.encode("utf-16"))
    with pytest.raises(InvalidInput, match="Ebay_train.txt'; allowed: text in UTF-8"):
        load("sop", sop)
    labels = (base / "image_class_labels.txt").read_text()
    for old, new in (("24 6", "24 " + "6" * 5000), ("24 6", "2" * 5000 + " 6")):
        (base / "image_class_labels.txt").write_text(labels.replace(old, new))
        with pytest.raises(InvalidInput, match="image_class_labels.txt'; allowed: lines of") as error:
            load("cub200", cub200)
        assert len(str(error.value)) < 400


# Archives.


def test_a_zip_made_by_windows(cub200: Path, tmp_path: Path) -> None:
    place = tmp_path / "windows" / "birds.zip"
    place.parent.mkdir()
    with zipfile.ZipFile(place, "w") as archive:
        for file in sorted(cub200.rglob("*")):
            name = str(file.relative_to(cub200)).replace("/", "\\")
            archive.writestr(
                zipfile.ZipInfo(f"{name}\\" if file.is_dir() else name), b"" if file.is_dir() else file.read_bytes()
            )
    np.testing.assert_array_equal(load("cub200", place.parent, size=8).x, load("cub200", cub200, size=8).x)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("..\\images.txt", b"")
    with pytest.raises(InvalidInput, match="members that point out of its folder"):
        load("cub200", place.parent)


def test_a_zip_made_by_macos(omniglot: Path, tmp_path: Path, pack: Pack) -> None:
    place = pack(omniglot, tmp_path / "mac" / "omniglot.zip") / "omniglot.zip"
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("__MACOSX/images_background/Greek/character01/._0001_01.png", b"?")
        archive.writestr("images_background/Greek/character01/._0001_01.png", b"?")
        archive.writestr("images_background/.DS_Store", b"?")
    np.testing.assert_array_equal(load("omniglot", place.parent).x, load("omniglot", omniglot).x)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", [".", "", ".//.", "./", "./."])
def test_members_without_a_name_are_refused(name: str, suffix: str, tmp_path: Path) -> None:
    place = tmp_path / f"odd{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), b"x")
    else:
        with tarfile.open(place, "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    try:
        assert Archive(place).sizes == {}  # a name that ends in a slash is a folder's
        assert name == "./"
    except InvalidInput as error:
        assert "an archive whose members have names" in str(error)  # noqa: PT017


# Cars196: the official host is gone, copies differ.


def test_kaggles_folder_in_a_folder(cars196: Path) -> None:
    expected = load("cars196", cars196, size=8)
    for folder in ("cars_train", "cars_test"):
        (cars196 / folder).rename(cars196 / "inner")
        (cars196 / folder).mkdir()
        (cars196 / "inner").rename(cars196 / folder / folder)
    (cars196 / "car_devkit").mkdir()
    (cars196 / "devkit").rename(cars196 / "car_devkit" / "devkit")
    found = load("cars196", cars196, size=8)
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.modes, expected.modes)


def test_annotations_beside_the_pictures(cars196: Path) -> None:
    expected = load("cars196", cars196, size=8)
    for place in (cars196 / "devkit").iterdir():
        shutil.move(place, cars196)
    np.testing.assert_array_equal(load("cars196", cars196, size=8).x, expected.x)


def test_annotations_of_the_other_release_are_not_taken_for_these(cars196: Path, cars196_together: Path) -> None:
    """Kaggle's copy has cars_annos.mat, which numbers the pictures of car_ims, beside cars_train and cars_test."""
    shutil.copy(cars196_together / "cars_annos.mat", cars196)
    expected = load("cars196", cars196, size=8)
    assert expected.n == 10
    shutil.rmtree(cars196 / "devkit")
    with pytest.raises(
        InvalidInput, match="devkit/cars_train_annos.mat isn't there; the official host no longer has it"
    ):
        load("cars196", cars196)


@pytest.mark.parametrize("base", ["car_data/car_data", "car_data", "", "archive/"])
def test_folders_by_model(base: str, cars196: Path, tmp_path: Path, pack: Pack) -> None:
    """Kaggle's other copies; the models' names sort as their makes are numbered officially."""
    root = tmp_path / "by-model"
    for part, each in (("train", 3), ("test", 2)):
        for model, name in enumerate(CARS):
            for k in range(each):
                place = root / base / part / name / f"{each}{model}{k}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (24, 20), (40 * (model + 1),) * 3).save(place)
    (root / "anno_train.csv").write_text("not looked at")
    roots = [root, pack(root, tmp_path / "packed" / "archive.zip")] if base != "archive/" else [root]
    for place in roots:
        for split, models in (("train", {0, 1}), ("test", {2, 3})):
            found = load("cars196", place, split, size=8)
            assert set(found.modes) == models and found.n == 10 and found.t == 2
            assert (np.abs(255 * found.x.mean((1, 2, 3)) - 40 * (found.modes + 1)) < 2).all()


def test_folders_that_are_no_models_are_refused(tmp_path: Path) -> None:
    pictures_at(tmp_path, "train/cat/0.png", "test/cat/0.png")
    with pytest.raises(InvalidInput, match="got 'cat'; allowed: folders named by models"):
        load("cars196", tmp_path)
