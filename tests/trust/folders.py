"""Archives and data folders for `tests.trust.fuzz`: small, in the layouts that are read, and hostile."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from random import Random

import realdata.datasets
from realdata import trees
from sim.catalogue import DATASETS
from tests.trust import hostile

MEMBERS = (
    "a/0.png",
    ".",
    "",
    ".//.",
    "../x",
    "/etc/x",
    "a\\b",
    "C:\\x",
    "[/x]",
    "x" * 300,
    "\x1b",
    "é",
    "a/../../x",
    "a",
    "._a",
    "a/0.png",
)


def archives(draw: Random, folder: Path) -> None:
    """A small zip or tar with hostile members, damaged now and then."""
    content = io.BytesIO()
    names = draw.sample(MEMBERS, draw.randrange(1, 6))
    zipped = draw.random() < 0.5
    if zipped:
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(content, "w", method) as file:
            for name in names:
                file.writestr(zipfile.ZipInfo(name or "x"), b"0" * draw.randrange(100), method)
    else:
        kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
        with tarfile.open(fileobj=content, mode=draw.choice(("w", "w:gz", "w:xz", "w:bz2"))) as file:
            for name in names:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = draw.choice(kinds), draw.choice(MEMBERS)
                member.size = 10 if member.type == tarfile.REGTYPE else 0
                file.addfile(member, io.BytesIO(b"0" * member.size))
    place = folder / ("data.zip" if zipped else "data.tar")
    whole = content.getvalue()
    place.write_bytes(hostile.mutated(draw, whole) if draw.random() < 0.5 else whole)
    if draw.random() < 0.3:
        trees.unpacked(place)
    tree = trees.Archive(place)
    for name in [*tree.sizes, hostile.text(draw)]:
        tree.read(name)


LISTS = {
    "sop": ("Ebay_train.txt", b"image_id class_id super_class_id path\n1 1 1 a/0.png\n2 1 1 a/1.png\n"),
    "cub200": ("images.txt", b"1 001.A/0.jpg\n2 002.B/1.jpg\n"),
    "mnist": ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x02\0\0\0\x1c\0\0\0\x1c" + b"0" * 1568),
    "fashion_mnist": ("train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x02\1\2"),
    "omniglot": ("images_background.zip", b"PK\5\6" + b"\0" * 18),
    "cars196": ("cars_annos.mat", b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\0\1IM" + b"0" * 60),
    "folder": ("train/a/0.png", b"\x89PNG\r\n\x1a\n" + b"0" * 40),
}  # fmt: skip


def data_folders(draw: Random, folder: Path) -> None:
    """A data set's folder with a damaged list or file in it."""
    name = draw.choice(list(LISTS))
    for kind in {name, draw.choice(list(LISTS))}:
        file, content = LISTS[kind]
        place = folder / "data" / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(
            hostile.mutated(draw, content.replace(b"1 1 1", draw.choice((b"1 1 1", b"9" * 5000 + b" 1 1"))))
        )
    assert name in DATASETS
    realdata.datasets.load(name, folder / "data", draw.choice(("train", "test", hostile.text(draw))))
