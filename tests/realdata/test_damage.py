"""Whatever byte of whatever file is broken: one line that names it, or it is made again; never a traceback, never a silent load."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from scipy.io import savemat

import realdata.finetune
from realdata import mat
from realdata.backbones import Backbone, Preprocessing
from realdata.datasets import load, pictures
from realdata.features import extract
from realdata.finetune import CHECKPOINT, WEIGHTS, FineTune, Resources, finetune
from sim import cli
from sim.config import dotted, parse
from sim.errors import InvalidInput

CASES = 200


def damaged(content: bytes, draws: random.Random) -> bytes:
    """Some bits flipped, or cut off, or bytes left out or written over."""
    kind, at = draws.randrange(4), draws.randrange(len(content))
    if kind == 0:
        flipped = bytearray(content)
        for _ in range(draws.randrange(1, 4)):
            flipped[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
        return bytes(flipped)
    if kind == 1:
        return content[:at]
    length = draws.randrange(1, 9)
    return content[:at] + (draws.randbytes(length) if kind == 2 else b"") + content[at + length :]


def birds(root: Path) -> Path:
    """The smallest set of birds: 2 species, a picture each."""
    lists = {
        "images.txt": "1 001.A_Gull/0.png\n2 002.B_Wren/0.png\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "classes.txt": "1 001.A_Gull\n2 002.B_Wren\n",
    }
    for name in ("001.A_Gull", "002.B_Wren"):
        (root / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(root / "images" / name / "0.png")
    for name, text in lists.items():
        (root / name).write_text(text)
    return root


def zipped(kind: int) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    def make(root: Path, pack: Callable[..., Path]) -> tuple[str, Path]:
        (root / "packed").mkdir(parents=True)
        with zipfile.ZipFile(root / "packed" / "birds.zip", "w", kind) as archive:
            for place in sorted(birds(root / "plain").rglob("*.*")):
                if place.is_file():
                    archive.write(place, place.relative_to(root / "plain").as_posix())
        return "cub200", root / "packed" / "birds.zip"

    return make


def packed(name: str) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    return lambda root, pack: ("cub200", pack(birds(root / "plain"), root / "packed" / name) / name)


def of_birds(name: str) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    return lambda root, pack: ("cub200", birds(root) / name)


def products(root: Path, _: Callable[..., Path]) -> tuple[str, Path]:
    root.mkdir()
    Image.new("RGB", (8, 8)).save(root / "a.png")
    place = root / "Ebay_train.txt"
    place.write_text("image_id class_id super_class_id path\n1 1 1 a.png\n2 2 1 a.png\n")
    return "sop", place


def idx(name: str) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    def write(place: Path, values: np.ndarray) -> None:
        content = (
            bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.astype(np.uint8).tobytes()
        )
        place.write_bytes(gzip.compress(content) if place.suffix == ".gz" else content)

    def make(root: Path, _: Callable[..., Path]) -> tuple[str, Path]:
        root.mkdir()
        suffix = ".gz" if name.endswith(".gz") else ""
        write(root / f"train-images-idx3-ubyte{suffix}", np.arange(4 * 16).reshape(4, 4, 4))
        write(root / f"train-labels-idx1-ubyte{suffix}", np.arange(4))
        return "mnist", root / name

    return make


def cars(compressed: bool) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    return lambda root, _: _cars(root, compressed)


def _cars(root: Path, compressed: bool) -> tuple[str, Path]:
    (root / "car_ims").mkdir(parents=True)
    rows = np.empty((1, 2), dtype=[("relative_im_path", object), ("class", object)])
    for k in (0, 1):
        Image.new("RGB", (8, 8)).save(root / "car_ims" / f"{k}.png")
        rows[0, k] = (f"car_ims/{k}.png", k + 1)
    tables = {"annotations": rows, "class_names": np.array([["A 2000", "B 2001"]], object)}
    savemat(root / "cars_annos.mat", tables, do_compression=compressed)
    return "cars196", root / "cars_annos.mat"


def image(suffix: str) -> Callable[[Path, Callable[..., Path]], tuple[str, Path]]:
    def make(root: Path, _: Callable[..., Path]) -> tuple[str, Path]:
        for fine in "ab":
            (root / "cat" / fine).mkdir(parents=True)
            noise = np.random.default_rng(0).integers(0, 255, (12, 9, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / "cat" / fine / f"0{suffix}")
        return "folder", root / "cat" / "a" / f"0{suffix}"

    return make


READERS = {
    "zip": zipped(zipfile.ZIP_STORED),
    "zip deflate": zipped(zipfile.ZIP_DEFLATED),
    "zip bzip2": zipped(zipfile.ZIP_BZIP2),
    "zip lzma": zipped(zipfile.ZIP_LZMA),
    "tar": packed("birds.tar"),
    "tgz": packed("birds.tgz"),
    **{name: of_birds(name) for name in ("images.txt", "image_class_labels.txt", "classes.txt")},
    "products": products,
    **{
        name: idx(name) for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "train-images-idx3-ubyte.gz")
    },
    "mat": cars(compressed=True),
    # SciPy's reader ends its process on some of these.
    "mat as it is": cars(compressed=False),
    **{suffix: image(suffix) for suffix in (".png", ".jpg", ".tiff", ".gif", ".webp", ".bmp")},
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore")
def test_every_reader_with_damaged_files(
    reader: str, tmp_path: Path, pack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, place = READERS[reader](tmp_path / "data", pack)
    root = tmp_path / "data" / "packed" if place.parent.name == "packed" else tmp_path / "data"
    whole, draws, messages = place.read_bytes(), random.Random(reader), []

    def read() -> None:
        split = pictures(name, root)
        assert split.fingerprint() and split.pixels(size=4).size

    read()
    monkeypatch.setattr(mat, "CPU_SECONDS", 2)
    # MATLAB files are read by another process, which takes its time to start.
    cases = CASES // 10 if reader.startswith("mat") else CASES
    for _ in range(cases):
        place.write_bytes(damaged(whole, draws))
        try:
            read()
        except InvalidInput as error:
            messages.append(str(error))
    assert all("\n" not in message and len(message) < 1000 for message in messages)
    assert len(messages) > cases // 20, "damage that nothing notices"


def test_a_corrupt_lzma_member_is_named(tmp_path: Path, pack: Callable[..., Path]) -> None:
    _, place = zipped(zipfile.ZIP_LZMA)(tmp_path / "data", pack)
    with zipfile.ZipFile(place) as archive:
        member = archive.getinfo("images.txt")
    content = bytearray(place.read_bytes())
    content[member.header_offset + 30 + len("images.txt") + 12] ^= 255
    place.write_bytes(content)
    with pytest.raises(InvalidInput, match="images.txt'; allowed: a readable member"):
        load("cub200", place.parent)


# Features.


@pytest.fixture
def net() -> Backbone:
    plain = Preprocessing(8, 8, (0.0,) * 3, (1.0,) * 3)
    return Backbone("mean", (), plain, lambda device: lambda x: torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], 1))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_damaged_features_are_extracted_again_and_said_so(cub200: Path, net: Backbone) -> None:
    split, told, draws = pictures("cub200", cub200), [], random.Random(0)
    right = extract(split, "a", net)
    (place,) = Path(os.environ["COLLAPSE_CACHE"]).glob("a-*/features.npy")
    whole = place.read_bytes()
    np.testing.assert_array_equal(np.load(place), right)
    for k in range(CASES // 4):
        place.write_bytes(broken := damaged(whole, draws))
        np.testing.assert_array_equal(extract(split, "a", net, on_damage=told.append), right)
        assert broken == whole or told[-1] == f"{place} was damaged; its features are extracted again"
        assert place.read_bytes() == whole and len(told) <= k + 1
    assert len(told) > 0.9 * CASES / 4


def test_what_is_said_of_features_is_written_anew_if_it_is_damaged(cub200: Path, net: Backbone) -> None:
    split = pictures("cub200", cub200)
    extract(split, "a", net)
    (place,) = Path(os.environ["COLLAPSE_CACHE"]).glob("a-*/about.json")
    whole = place.read_bytes()
    place.write_bytes(whole[:-9])
    extract(split, "a", net)
    assert place.read_bytes() == whole


def test_a_full_disk_ends_an_extraction_in_one_line(
    cub200: Path, net: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = pictures("cub200", cub200)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InvalidInput, match="COLLAPSE_CACHE: got .*No space left on device") as error:
            extract(split, "a", net)
    assert "\n" not in str(error.value)
    (entry,) = Path(os.environ["COLLAPSE_CACHE"]).glob("a-*")
    assert not list(entry.rglob("*.part"))
    (entry / "features.npy.killed.part").write_bytes(b"by a process that was killed")
    assert extract(split, "a", net).shape == (12, 2)
    assert not list(entry.rglob("*.part"))


# Fine-tuning.


def settings(root: Path) -> dict[str, object]:
    return {
        "data": {"name": "cub200", "params": {"protocol": "zero_shot", "root": str(root)}},
        "backbone": "small_conv",
        "size": 16,
        "net.dim": 4,
        "batch": {"classes": 3, "per_class": 3},
        "steps": 2,
        "checkpoints": 1,
    }


def config(root: Path, **fields: object) -> FineTune:
    return parse(FineTune, dotted({**settings(root), **fields})).check()


def test_no_damaged_checkpoint_is_loaded(cub200: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    finetune(config(cub200), out, Resources())
    place, draws = out / CHECKPOINT, random.Random(0)
    whole = place.read_bytes()
    assert finetune(config(cub200), out, Resources()).rows[-1]["step"] == 2
    tuner = realdata.finetune.FineTuner(config(cub200), Resources())
    monkeypatch.setattr(realdata.finetune, "FineTuner", lambda *_: tuner)
    before = [p.clone() for p in tuner.parameters]
    for _ in range(CASES):
        place.write_bytes(broken := damaged(whole, draws))
        assert broken != whole
        with pytest.raises(InvalidInput, match="out: got .*checkpoint.pt'; allowed: a checkpoint as written") as error:
            finetune(config(cub200), out, Resources())
        assert "\n" not in str(error.value) and place.read_bytes() == broken
    assert all(torch.equal(a, b) for a, b in zip(before, tuner.parameters, strict=True))


def test_a_checkpoint_of_other_data_is_refused(cub200: Path, tmp_path: Path) -> None:
    finetune(config(cub200), tmp_path / "out", Resources())
    bird = next((cub200 / "CUB_200_2011" / "images").rglob("*.jpg"))
    Image.new("RGB", (24, 20), "blue").save(bird)
    with pytest.raises(InvalidInput, match="a checkpoint of this configuration, these data and this backbone"):
        finetune(config(cub200), tmp_path / "out", Resources())


def test_a_full_disk_leaves_the_last_checkpoint(cub200: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, steps = tmp_path / "out", 4
    finetune(config(cub200, steps=steps), out, Resources())
    expected = torch.load(out / WEIGHTS, weights_only=True)
    shutil.rmtree(out)
    fsync, calls = os.fsync, []

    def fills(handle: int) -> None:
        # Files elsewhere, such as the cache of digests, are written whenever they have to be.
        calls.extend(p for p in out.iterdir() if os.path.samestat(p.stat(), os.fstat(handle)))
        (fsync if len(calls) < 3 else full)(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fills)
        with pytest.raises(InvalidInput, match="checkpoint.pt'; allowed: a place that can be written .No space left"):
            finetune(config(cub200, steps=steps), out, Resources(save_every=1))
    assert sorted(p.name for p in out.iterdir()) == [CHECKPOINT, "lock"]
    left: list[int] = []
    finetune(config(cub200, steps=steps), out, Resources(), on_start=left.append)
    assert left == [2]
    for a, b in zip(torch.load(out / WEIGHTS, weights_only=True), expected, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in b)


def test_two_processes_in_one_folder(cub200: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = config(cub200)
    folder = tmp_path / "finetune" / chosen.key()
    folder.mkdir(parents=True)
    hold = f"import sys, filelock; lock = filelock.FileLock({str(folder / 'lock')!r}); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    fields = [x for name, value in settings(cub200).items() for x in ("--set", f"{name}={json.dumps(value)}")]
    assert list(tmp_path.glob("finetune/*")) == [folder]
    code = cli.run(["finetune", *fields, "--out", str(tmp_path)])
    err = capsys.readouterr().err
    assert list(tmp_path.glob("finetune/*")) == [folder]
    other.communicate("")
    assert code == 2 and err.count("\n") == 1
    assert err.startswith("error: out: got") and "no other process trains this run" in err
    assert FileLock(folder / "lock").acquire(timeout=5)
