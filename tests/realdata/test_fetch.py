"""Fetching from a server on this machine: checksums, resuming, refusals; checking what is there; the commands."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from realdata.datasets import DATA_VARIABLE, Download, load
from realdata.fetch import check, fetch
from sim import cli
from sim.catalogue import DATASETS
from sim.errors import InvalidInput


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves files; honours ``Range: bytes=N-``; notes what was asked for."""

    asked: list[str | None]
    ranges = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range") if self.ranges else None
        self.asked.append(self.headers.get("Range"))
        place = Path(self.translate_path(self.path))
        if not place.is_file():
            self.send_error(404)
            return
        content = place.read_bytes()
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[Path, str, type[Server]]]:
    """A folder that is served, its address, and the server's class."""
    folder = tmp_path / "source"
    folder.mkdir()
    handler = type("Handler", (Server,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve(source: tuple[Path, str, type[Server]], replace: Callable[..., None]) -> Callable[..., None]:
    """Make files on the server the official source of a data set."""

    def offer(name: str, *places: Path) -> None:
        folder, address, _ = source
        for place in places:
            shutil.copy(place, folder)
        downloads = tuple(
            Download(f"{address}/{p.name}", p.name, "md5:" + hashlib.md5(p.read_bytes()).hexdigest()) for p in places
        )
        replace(DATASETS, name, dataclasses.replace(DATASETS[name], downloads=downloads))

    return offer


def test_fetched_data_load(mnist: Path, tmp_path: Path, serve, source) -> None:
    serve("mnist", *sorted(mnist.iterdir()))
    place = fetch("mnist", tmp_path / "new" / "mnist")
    np.testing.assert_array_equal(load("mnist", place).x, load("mnist", mnist).x)
    asked = len(source[2].asked)
    assert asked == 4
    fetch("mnist", place)
    assert len(source[2].asked) == asked  # all there, nothing is downloaded twice


def test_a_broken_off_download_goes_on(mnist: Path, tmp_path: Path, serve, source) -> None:
    file = mnist / "train-images-idx3-ubyte.gz"
    serve("mnist", file)
    place = tmp_path / "new"
    place.mkdir()
    part = place / f"{file.name}.part"
    part.write_bytes(file.read_bytes()[:100])
    fetch("mnist", place)
    assert source[2].asked == ["bytes=100-"]
    assert (place / file.name).read_bytes() == file.read_bytes() and not part.exists()
    (place / file.name).unlink()
    part.write_bytes(file.read_bytes())  # all had come, but for the last step
    fetch("mnist", place)
    assert (place / file.name).read_bytes() == file.read_bytes()


def test_a_server_that_cannot_resume_is_asked_for_all(mnist: Path, tmp_path: Path, serve, source) -> None:
    file = mnist / "train-images-idx3-ubyte.gz"
    serve("mnist", file)
    source[2].ranges = False
    (tmp_path / f"{file.name}.part").write_bytes(b"start")
    fetch("mnist", tmp_path)
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_what_differs_from_its_checksum_is_refused_and_not_kept(mnist: Path, tmp_path: Path, serve, source) -> None:
    file = mnist / "train-images-idx3-ubyte.gz"
    serve("mnist", file)
    (source[0] / file.name).write_bytes(b"something else")
    with pytest.raises(InvalidInput, match="url: .*allowed: a file with checksum md5:"):
        fetch("mnist", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_source_that_does_not_answer_is_named(mnist: Path, tmp_path: Path, serve, source) -> None:
    file = mnist / "train-images-idx3-ubyte.gz"
    serve("mnist", file)
    (source[0] / file.name).unlink()
    with pytest.raises(InvalidInput, match="url: .*allowed: an address that answers; call again to go on.*404"):
        fetch("mnist", tmp_path / "new")


def test_compressed_tar_files_are_made_fast_to_read(cub200: Path, tmp_path: Path, pack, serve) -> None:
    archive = pack(cub200, tmp_path / "packed" / "CUB_200_2011.tgz") / "CUB_200_2011.tgz"
    serve("cub200", archive)
    place = fetch("cub200", tmp_path / "new")
    assert sorted(p.name for p in place.iterdir()) == ["CUB_200_2011.tar", "CUB_200_2011.tgz"]
    (place / "CUB_200_2011.tgz").write_bytes(b"not looked at where the plain one is")
    np.testing.assert_array_equal(load("cub200", place, size=8).x, load("cub200", cub200, size=8).x)


def test_what_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match="dataset: got 'digits'; allowed: one with an official source: cub200"):
        fetch("digits")
    with pytest.raises(InvalidInput, match="cars196.*the official host no longer has it"):
        fetch("cars196")
    with pytest.raises(InvalidInput, match="root: got None"):
        fetch("mnist")


def test_every_download_has_a_checksum() -> None:
    for name in DATASETS:
        for download in DATASETS[name].downloads:
            assert download.checksum.startswith("md5:") and len(download.checksum) == 4 + 32
            assert download.url.startswith(("https://", "http://"))


def test_check_counts_and_verifies(mnist: Path, serve) -> None:
    serve("mnist", *sorted(mnist.iterdir()))
    (mnist / "train-labels-idx1-ubyte.gz").rename(mnist / "labels")
    (mnist / "labels").rename(mnist / "train-labels-idx1-ubyte.gz")
    place, splits, files = check("mnist", mnist)
    assert place == mnist
    assert [(s.images, s.coarse, s.fine, s.whole) for s in splits] == [(60, 2, 10, False), (30, 2, 10, False)]
    assert set(files.values()) == {"official"}
    assert [s.whole for s in check("digits")[1]] == [True, True]


def test_check_reads_every_image(cub200: Path) -> None:
    last = cub200 / "CUB_200_2011" / "images" / "006.C_Tern" / "C_Tern_0003.jpg"
    last.write_bytes(last.read_bytes()[:-300])
    with pytest.raises(InvalidInput, match="C_Tern_0003.jpg'; allowed: a readable image"):
        check("cub200", cub200)


def test_the_commands(mnist: Path, tmp_path: Path, serve, capsys: pytest.CaptureFixture[str]) -> None:
    def data(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["data", *arguments])
        return code, *capsys.readouterr()

    code, out, _ = data("list")
    assert code == 0 and all(name in out for name in DATASETS)
    serve("mnist", *sorted(mnist.iterdir()))
    code, out, _ = data("fetch", "mnist", "--root", str(tmp_path / "new"))
    assert code == 0 and "t10k-images-idx3-ubyte from" in out
    code, _, err = data("check", "mnist", "--root", str(mnist))
    assert code == 2 and err.count("\n") == 1 and "60 train images of 10 fine classes" in err
    code, out, _ = data("check", "mnist", "--root", str(mnist), "--part", "--json", str(tmp_path / "checked.json"))
    assert code == 0 and "60,000 images, 10 fine: differs" in out
    assert json.loads((tmp_path / "checked.json").read_text())["splits"][0]["images"] == 60
    code, out, _ = data("check", "digits")
    assert code == 0 and "the same" in out
