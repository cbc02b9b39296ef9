"""Data are known by what they hold: other pixels or labels, another fingerprint; the same ones packed otherwise, the same."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realdata import digests
from realdata.backbones import Backbone, Preprocessing
from realdata.datasets import DATA_VARIABLE, load, pictures
from realdata.digests import CACHE_VARIABLE, cache, of_files
from realdata.protocol import fingerprint, problem
from realdata.trees import Archive, Folder
from sim.catalogue import BACKBONES, DATASETS
from sim.errors import InvalidInput

Pack = Callable[[Path, Path], Path]


def bitmaps(root: Path, value: int) -> Path:
    for coarse in ("cat", "dog"):
        for fine in "ab":
            (root / coarse / fine).mkdir(parents=True, exist_ok=True)
            for k in range(2):
                Image.new("RGB", (8, 8), (value + k,) * 3).save(root / coarse / fine / f"{k}.bmp")
    return root


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files had been there for a while."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * digests.SETTLED)


def count(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read for their digests."""
    read: list[Path] = []
    own = digests.of_file

    def noted(place: Path) -> str:
        read.append(place)
        return own(place)

    monkeypatch.setattr(digests, "of_file", noted)
    return read


def test_other_pixels_of_the_same_size_are_other_data(tmp_path: Path) -> None:
    one, two = (bitmaps(tmp_path / str(value), value) for value in (10, 200))
    a, b = (pictures("folder", root).fingerprint() for root in (one, two))
    assert a != b
    assert fingerprint("folder", str(one)) != fingerprint("folder", str(two))
    same = bitmaps(tmp_path / "copy", 10)
    assert fingerprint("folder", str(one)) == fingerprint("folder", str(same))


def test_labels_are_part_of_it(tmp_path: Path) -> None:
    root = bitmaps(tmp_path / "a", 10)
    before = fingerprint("folder", str(root))
    assert (root / "dog").rename(root / "eagle") and fingerprint("folder", str(root)) == before  # a name is no label
    for fine in "cd":  # the same pictures in the same order, under three coarse labels
        (root / "eagle" / fine).mkdir()
    (root / "eagle" / "a" / "1.bmp").rename(root / "eagle" / "c" / "1.bmp")
    (root / "eagle" / "b" / "1.bmp").rename(root / "eagle" / "d" / "1.bmp")
    assert fingerprint("folder", str(root)) != before


def test_a_changed_label_of_idx_files(mnist: Path) -> None:
    before, place = fingerprint("mnist", str(mnist)), mnist / "t10k-labels-idx1-ubyte"
    content = bytearray(place.read_bytes())
    content[-1] = 3
    place.write_bytes(content)
    assert fingerprint("mnist", str(mnist)) != before


def test_folders_and_archives_of_the_same_files_are_the_same(cub200: Path, tmp_path: Path, pack: Pack) -> None:
    plain = fingerprint("cub200", str(cub200))
    for name in ("birds.zip", "birds.tar", "birds.tgz"):
        assert fingerprint("cub200", str(pack(cub200, tmp_path / name / name))) == plain


def test_only_what_matters_is_part_of_it(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = DATASETS["mnist"].fingerprint("mnist", root=str(mnist), seed=3, protocol="merged", per_super=5, limit=2)
    assert own == fingerprint("mnist", str(mnist)) and len(own) == 64
    monkeypatch.setenv(DATA_VARIABLE, str(mnist.parent))
    assert fingerprint("mnist") == own
    monkeypatch.setenv(DATA_VARIABLE, "/nonexistent")
    with pytest.raises(InvalidInput, match=f"{DATA_VARIABLE}: got '/nonexistent'"):
        fingerprint("mnist")


def test_a_backbones_weights_are_part_of_it(tmp_path: Path, replace: Callable[..., None]) -> None:
    root, weights = bitmaps(tmp_path / "a", 10), tmp_path / "weights"
    plain = Preprocessing(8, 8, (0.0,) * 3, (1.0,) * 3)
    replace(BACKBONES, "mean", lambda: Backbone("mean", (weights,), plain, lambda device: lambda x: x.mean((2, 3))))
    found = set()
    for content in (b"1", b"2"):
        weights.write_bytes(content)
        found.add(fingerprint("folder", str(root), features="mean"))
    assert len(found) == 2 and fingerprint("folder", str(root)) not in found


def test_a_second_look_reads_nothing(cub200: Path, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    read = count(monkeypatch)
    first = pictures("cub200", cub200).fingerprint()
    assert len(read) == 12
    assert pictures("cub200", cub200).fingerprint() == first and len(read) == 12
    bird = cub200 / "CUB_200_2011" / "images" / "001.Sooty_Gull" / "Sooty_Gull_0000.jpg"
    content = bytearray(bird.read_bytes())
    content[-3] ^= 1
    bird.write_bytes(content)
    assert pictures("cub200", cub200).fingerprint() != first and read[12:] == [bird]
    packed = pack(cub200, tmp_path / "zip" / "birds.zip")
    opened, own = [], Archive.read

    def noted(tree: Archive, name: str) -> bytes:
        opened.append(name)
        return own(tree, name)

    monkeypatch.setattr(Archive, "read", noted)
    for _ in range(2):
        tree = Archive(packed / "birds.zip")
        tree.digests(sorted(tree.sizes))
        assert len(opened) == 27
    assert read[13:] == [packed / "birds.zip"]


def test_a_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    """Its times may be the same after the next change, here on purpose."""
    place = tmp_path / "a"
    found = []
    for content in (b"one", b"two"):
        place.write_bytes(content)
        os.utime(place, ns=(time.time_ns(),) * 2)
        found += of_files(tmp_path, ["a"])
    assert found[0] != found[1]


def test_a_damaged_or_missing_cache_costs_time_only(cub200: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    tree = Folder(cub200)
    names = sorted(tree.sizes)
    right = tree.digests(names)
    (kept,) = (cache() / "digests").iterdir()
    whole = kept.read_bytes()
    for place in range(0, len(whole), 97):
        broken = bytearray(whole)
        broken[place] ^= 4
        kept.write_bytes(broken)
        assert Folder(cub200).digests(names) == right
    kept.write_bytes(whole[:100])
    assert Folder(cub200).digests(names) == right
    monkeypatch.setenv(CACHE_VARIABLE, "/dev/null/nowhere")
    assert Folder(cub200).digests(names) == right


def test_several_at_once(cub200: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    found: list[list[str]] = []
    names = sorted(Folder(cub200).sizes)
    threads = [threading.Thread(target=lambda: found.append(Folder(cub200).digests(names))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(one == found[0] for one in found)
    assert len(list((cache() / "digests").iterdir())) == 1


def test_an_archive_that_is_replaced_while_it_is_open_is_not_remembered(
    cub200: Path, tmp_path: Path, pack: Pack
) -> None:
    place = pack(cub200, tmp_path / "zip" / "birds.zip") / "birds.zip"
    tree = Archive(place)
    shutil.copy(place, tmp_path / "other.zip")
    os.replace(tmp_path / "other.zip", place)
    with pytest.raises(InvalidInput, match="an archive that doesn't change while it is read"):
        tree.digests(list(tree.sizes))


def test_a_problem_follows_the_files_under_one_root(tmp_path: Path) -> None:
    root = bitmaps(tmp_path / "a", 10)
    first = problem("folder", str(root), size=8)
    assert problem("folder", str(root), size=8) is first
    os.utime(root / "cat" / "a" / "0.bmp")
    assert problem("folder", str(root), size=8) is first  # touched, not changed
    bitmaps(root, 200)
    np.testing.assert_allclose(problem("folder", str(root), size=8).train.x.min() * 255, 200, rtol=1e-6)
    assert first.train.x.min() * 255 == pytest.approx(10)
    assert load("folder", root, size=8).x.max() * 255 == pytest.approx(201)
