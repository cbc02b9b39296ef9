"""Every data set in its official layout; what is missing, broken or dangerous is refused by name."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from realdata import datasets
from realdata.datasets import DATA_VARIABLE, load
from sim.catalogue import DATASETS
from sim.errors import InvalidInput

Pack = Callable[[Path, Path], Path]


def test_mnist(mnist: Path) -> None:
    train, test = (load("mnist", mnist, split) for split in ("train", "test"))
    assert train.x.shape == (60, 1, 28, 28) and test.x.shape == (30, 1, 28, 28)
    assert train.x.dtype == np.float32
    np.testing.assert_array_equal(train.x[:, 0, 5, 7], (20 * train.modes / np.float32(255)).astype(np.float32))
    np.testing.assert_array_equal(train.modes, np.arange(60) % 10)
    np.testing.assert_array_equal(test.classes, test.modes % 2)


def test_fashion_mnist_has_four_kinds(mnist: Path) -> None:
    train = load("fashion_mnist", mnist)
    kinds = {fine: int(train.classes[train.modes == fine][0]) for fine in range(10)}
    assert [sorted(f for f in kinds if kinds[f] == c) for c in range(4)] == [[0, 2, 3, 4, 6], [1], [5, 7, 9], [8]]


def test_omniglot_folders_and_zips_are_the_same(omniglot: Path, tmp_path: Path, pack: Pack) -> None:
    for part in ("images_background", "images_evaluation"):
        shutil.copytree(omniglot / part, tmp_path / "one" / part / part)
        pack(tmp_path / "one" / part, tmp_path / "zips" / f"{part}.zip")
    for split, alphabets, first in (("train", 3, 0), ("test", 2, 964)):
        plain, zipped = load("omniglot", omniglot, split), load("omniglot", tmp_path / "zips", split)
        assert plain.x.shape == (8 * alphabets, 1, 28, 28)
        assert plain.t == alphabets
        np.testing.assert_array_equal(plain.modes, first + np.repeat(np.arange(2 * alphabets), 4))
        np.testing.assert_array_equal(plain.x, zipped.x)
        np.testing.assert_array_equal(plain.modes, zipped.modes)
        assert set(plain.x.ravel()) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["CUB_200_2011.tar", "CUB_200_2011.tgz", "CUB_200_2011.tar.gz", "cub.zip"])
def test_cub200_is_read_from_archives_too(cub200: Path, tmp_path: Path, pack: Pack, name: str) -> None:
    archive = pack(cub200, tmp_path / "packed" / name)
    for split in ("train", "test"):
        one, two = load("cub200", cub200, split, size=8), load("cub200", archive, split, size=8)
        np.testing.assert_array_equal(one.x, two.x)
        np.testing.assert_array_equal(one.modes, two.modes)


def test_cub200_halves_its_species(cub200: Path) -> None:
    train, test = (load("cub200", cub200 / "CUB_200_2011", split) for split in ("train", "test"))
    assert train.x.shape == (12, 3, 64, 64)
    assert set(train.modes) == {0, 1, 2} and set(test.modes) == {3, 4, 5}
    assert (train.classes == np.repeat([1, 1, 0], 4)).all()  # Gull, Gull, Crow
    assert (test.classes == np.repeat([1, 1, 0], 4)).all()  # Wren, Wren, Tern
    greys = (255 * train.x.mean((1, 2, 3))).round()
    assert np.abs(greys - np.arange(12)).max() <= 1  # JPEG


def test_cars196_in_both_releases(cars196: Path, cars196_together: Path) -> None:
    for split, models in (("train", {0, 1}), ("test", {2, 3})):
        apart, together = load("cars196", cars196, split), load("cars196", cars196_together, split)
        assert apart.x.shape == (10, 3, 64, 64)
        assert set(apart.modes) == models
        assert (np.abs(255 * apart.x.mean((1, 2, 3)) - 40 * (apart.modes + 1)) < 2).all()
        np.testing.assert_array_equal(apart.modes, together.modes)
        np.testing.assert_array_equal(apart.x, together.x)
        assert apart.t == 2  # AM and Acura; Acura and BMW


def test_cars196_in_its_archives(cars196: Path, tmp_path: Path, pack: Pack) -> None:
    for name, archive in (
        ("cars_train", "cars_train.tgz"),
        ("cars_test", "cars_test.tgz"),
        ("devkit", "car_devkit.tgz"),
    ):
        shutil.copytree(cars196 / name, tmp_path / "one" / name / name)
        pack(tmp_path / "one" / name, tmp_path / "packed" / archive)
    shutil.copy(cars196 / "cars_test_annos_withlabels.mat", tmp_path / "packed")
    np.testing.assert_array_equal(load("cars196", cars196).x, load("cars196", tmp_path / "packed").x)


def test_sop(sop: Path, tmp_path: Path, pack: Pack) -> None:
    train, test = (load("sop", sop, split, size=16) for split in ("train", "test"))
    assert train.x.shape == (12, 3, 16, 16)
    assert set(train.modes) == {0, 1, 2, 3} and set(test.modes) == {4, 5, 6, 7}
    assert train.t == test.t == 2
    zipped = load("sop", pack(sop, tmp_path / "packed" / "Stanford_Online_Products.zip"), size=16)
    np.testing.assert_array_equal(train.x, zipped.x)


def test_folder_with_and_without_splits(folder: Path, tmp_path: Path) -> None:
    train, test = (load("folder", folder, split, size=8) for split in ("train", "test"))
    assert train.n == test.n == 12 and train.t == test.t == 2
    assert set(train.modes) == {0, 1, 4, 5} and set(test.modes) == {2, 3, 6, 7}
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / "split" / split)
    train, test = (load("folder", tmp_path / "split", split, size=8) for split in ("train", "test"))
    assert set(train.modes) == set(test.modes) == set(range(8))
    shutil.copy(folder / "cat" / "a" / "0.png", folder / "cat")
    with pytest.raises(InvalidInput, match="cat/0.png lies elsewhere"):
        load("folder", folder)


def test_pictures_keep_their_proportions(tmp_path: Path) -> None:
    from PIL import Image

    for fine in "abcd":
        image = Image.new("RGB", (30, 10), (255, 0, 0))
        image.paste((0, 0, 255), (10, 0, 20, 10))
        place = tmp_path / "one" / fine / "0.png" if fine < "c" else tmp_path / "two" / fine / "0.png"
        place.parent.mkdir(parents=True)
        image.save(place)
    x = load("folder", tmp_path, size=10).x
    np.testing.assert_array_equal(x[0, :, 5, 5], [0, 0, 1])
    np.testing.assert_array_equal(x[0, 2], np.ones((10, 10)))  # the middle third, whole


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].downloads])
def test_an_empty_folder_names_what_is_expected_and_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        load(name, tmp_path)
    assert DATASETS[name].layout in str(error.value)
    advised = f"collapse data fetch {name} --root {tmp_path}" in str(error.value)
    assert advised == (name != "cars196"), "fetch is advised where it can work"
    assert DATASETS[name].gone in str(error.value)


def test_roots(mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match=f"root: got None; .*{DATA_VARIABLE}"):
        load("mnist")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert load("mnist").n == 60
    mnist.rename(tmp_path / "fashion-mnist")
    assert load("fashion_mnist").n == 60
    with pytest.raises(InvalidInput, match="there is none"):
        load("mnist")
    (tmp_path / "cub200-a").mkdir()
    (tmp_path / "cub200-b").mkdir()
    with pytest.raises(InvalidInput, match="several: cub200-a, cub200-b"):
        load("cub200")
    with pytest.raises(InvalidInput, match="the folder isn't there"):
        load("mnist", tmp_path / "nowhere")
    assert datasets.locate("digits") == Path()


def _cut(place: Path, keep: float = 0.6) -> None:
    content = place.read_bytes()
    place.write_bytes(content[: int(len(content) * keep)])


def test_broken_idx_files_are_refused(mnist: Path) -> None:
    whole = {p: p.read_bytes() for p in mnist.iterdir()}
    images, labels = mnist / "train-images-idx3-ubyte.gz", mnist / "train-labels-idx1-ubyte.gz"

    def refused(message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            load("mnist", mnist)
        for place, content in whole.items():
            place.write_bytes(content)

    _cut(images)
    refused("train-images-idx3-ubyte.gz'; allowed: a complete gzip file")
    images.write_bytes(gzip.compress(gzip.decompress(whole[images])[:-1]))
    refused("47040 bytes after the header, as it says, not 47039")
    images.write_bytes(whole[labels])
    refused("an IDX file of unsigned bytes in 3 dimensions")
    labels.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2])))
    refused(r"60 train images'; allowed: as many as labels \(2\)")
    labels.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 60]) + bytes([10] * 60)))
    refused("train label 10'; allowed: labels 0..9")
    labels.unlink()
    refused("train-labels-idx1-ubyte.gz isn't there; download it with: collapse data fetch mnist")


def test_a_missing_drawing_is_refused(omniglot: Path) -> None:
    next((omniglot / "images_background" / "Latin" / "character02").iterdir()).unlink()
    with pytest.raises(
        InvalidInput, match=r"3 drawings of Latin/character02'; allowed: as many of every character \(4\)"
    ):
        load("omniglot", omniglot)


def test_broken_cub_folders_are_refused(cub200: Path) -> None:
    base = cub200 / "CUB_200_2011"
    first = base / "images" / "001.Sooty_Gull" / "Sooty_Gull_0000.jpg"
    whole = {p: p.read_bytes() for p in [first, *base.glob("*.txt")]}

    def refused(message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            load("cub200", cub200)
        for place, content in whole.items():
            place.write_bytes(content)

    _cut(first)
    refused(r"Sooty_Gull_0000.jpg'; allowed: a readable image \(.*[Tt]runcated")
    first.write_bytes(b"no picture")
    refused("Sooty_Gull_0000.jpg'; allowed: a readable image")
    first.unlink()
    refused("Sooty_Gull_0000.jpg'; allowed: this image: it is listed, but isn't there")
    (base / "classes.txt").unlink()
    refused("classes.txt isn't there; download it with")
    (base / "images.txt").write_text("1 ../../secret.jpg\n" + whole[base / "images.txt"].decode().split("\n", 1)[1])
    refused("secret.jpg'; allowed: this image: it is listed, but isn't there")
    (base / "image_class_labels.txt").write_text("1 1\n2 1\n")
    refused("the images of images.txt; image 3 differs")
    (base / "image_class_labels.txt").write_text(
        whole[base / "image_class_labels.txt"].decode().replace("24 6", "24 7")
    )
    refused(r"classes.txt'; allowed: classes numbered 1..6, not 7")
    (base / "images.txt").write_text("one line of words\n")
    refused("lines of a number and a value")


def test_truncated_archives_are_refused(cub200: Path, tmp_path: Path, pack: Pack) -> None:
    for name, keep in (("c.tar", 0.5), ("d.tar", 0.505), ("c.tgz", 0.5), ("c.zip", 0.9)):
        root = pack(cub200, tmp_path / name.replace(".", "-") / name)
        _cut(root / name, keep)
        with pytest.raises(InvalidInput, match=rf"{name}'; allowed: a complete archive"):
            load("cub200", root)


def test_a_corrupt_member_is_refused(omniglot: Path, tmp_path: Path, pack: Pack) -> None:
    root = pack(omniglot, tmp_path / "zip" / "omniglot.zip")
    content = bytearray((root / "omniglot.zip").read_bytes())
    at = content.index(b"IDAT")
    content[at : at + 8] = b"x" * 8
    (root / "omniglot.zip").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"0001_01.png'; allowed: a readable member \(BadZipFile: Bad CRC-32"):
        load("omniglot", root)


def _hostile(kind: str, place: Path) -> None:
    place.parent.mkdir(parents=True)
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr(kind, b"x")
        return
    with tarfile.open(place, "w") as archive:
        member = tarfile.TarInfo("images.txt" if kind == "link" else kind)
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member, io.BytesIO(b""))


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["../images.txt", "/images.txt", "a/../../images.txt", "C:/images.txt"])
def test_archives_that_point_out_of_their_folder_are_refused(name: str, suffix: str, tmp_path: Path) -> None:
    _hostile(name, tmp_path / "root" / f"evil{suffix}")
    with pytest.raises(InvalidInput, match="images.txt'; allowed: an archive without members that point out.*evil"):
        load("cub200", tmp_path / "root")


def test_archives_with_links_are_refused(tmp_path: Path) -> None:
    _hostile("link", tmp_path / "root" / "evil.tar")
    with pytest.raises(InvalidInput, match="allowed: an archive of plain files and folders, without links"):
        load("cub200", tmp_path / "root")


def test_one_fine_class_cannot_be_halved(folder: Path) -> None:
    for fine in "abc":
        shutil.rmtree(folder / "dog" / fine)
    with pytest.raises(InvalidInput, match="root: got 'one fine class'; allowed: two or more, to be halved"):
        load("folder", folder)


def test_broken_cars_annotations_are_refused(cars196: Path, cars196_together: Path) -> None:
    (cars196 / "cars_test_annos_withlabels.mat").write_bytes(b"no table")
    with pytest.raises(InvalidInput, match="cars_test_annos_withlabels.mat'; allowed: a readable MATLAB file"):
        load("cars196", cars196)
    shutil.copy(cars196 / "devkit" / "cars_meta.mat", cars196_together / "cars_annos.mat")
    with pytest.raises(InvalidInput, match="cars_annos.mat'; allowed: a table annotations"):
        load("cars196", cars196_together)


def test_a_list_of_products_without_its_header_is_refused(sop: Path) -> None:
    (sop / "Stanford_Online_Products" / "Ebay_train.txt").write_text("1 1 1 a.jpg\n")
    with pytest.raises(InvalidInput, match="a first line 'image_id class_id super_class_id path'"):
        load("sop", sop)
