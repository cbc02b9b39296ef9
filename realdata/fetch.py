"""Downloading a data set from its official sources, and checking one that is there."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import requests

from realdata.datasets import DATA_VARIABLE, SPLITS, Download, locate
from realdata.trees import unpacked
from sim.catalogue import DATASETS
from sim.errors import InvalidInput
from sim.files import whole

TIMEOUT = 60
BLOCK = 2**20


def fetch(
    name: str, root: str | os.PathLike[str] | None = None, on_file: Callable[[str], None] = lambda text: None
) -> Path:
    """Download a data set. Files that are there with the right checksum are kept; a broken-off download goes on.

    Compressed tar files are also decompressed (not unpacked), so that their images can be reached in any order.

    Parameters
    ----------
    name : str
        A name in `realdata.datasets.DATASETS`.
    root : path, optional
        The folder to fill; made if need be. Default: the folder ``name`` in the one that ``COLLAPSE_DATA`` names.
    on_file : callable
        Told what happens, a line a file.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InvalidInput
        If there is nothing to download, the folder can't be written, the source doesn't answer or what it sent isn't
        what was published.
    """
    data = DATASETS[name]
    if name not in downloadable():
        reason = f" ({data.gone})" if data.gone else ""
        raise InvalidInput("dataset", name, "one with an official source: " + ", ".join(downloadable()) + reason)
    if root is None and DATA_VARIABLE not in os.environ:
        raise InvalidInput("root", None, f"a folder for {name}, here or in the folder that {DATA_VARIABLE} names")
    folder = Path(os.environ[DATA_VARIABLE]) / name if root is None else Path(root)
    folder = folder.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for download in data.downloads:
            on_file(f"{download.name} from {download.url}")
            _retrieve(download, folder)
    except requests.RequestException as error:
        allowed = f"an address that answers; call again to go on with what has come ({error})"
        raise InvalidInput("url", download.url, allowed) from None
    except OSError as error:
        raise InvalidInput("root", str(folder), f"a folder that can be written ({error})") from None
    return folder


def downloadable() -> list[str]:
    """Names of the data sets that `fetch` can download."""
    return [name for name in DATASETS if DATASETS[name].downloads and not DATASETS[name].gone]


def _retrieve(download: Download, folder: Path) -> None:
    resume = Resuming(folder / f"{download.name}.part")
    try:
        # pooch checks the checksum before it moves the file into place.
        pooch.retrieve(download.url, known_hash=download.checksum, fname=download.name, path=folder, downloader=resume)
    except ValueError as error:
        if isinstance(error, requests.RequestException):
            raise
        raise InvalidInput("url", download.url, f"a file with checksum {download.checksum}") from None
    place = folder / download.name
    if download.name.endswith((".tgz", ".tar.gz")) and not unpacked(place).exists():
        with gzip.open(place) as packed, whole(unpacked(place)) as plain:
            shutil.copyfileobj(packed, plain, BLOCK)


class Resuming:
    """A downloader for pooch that keeps what came before it was broken off, and asks for the rest next time.

    Parameters
    ----------
    part : Path
        Where the incomplete file is kept.
    """

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download ``url`` to ``output_file``.

        Raises
        ------
        requests.RequestException
        """
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            # 416: nothing is left to send. Whether that makes the file whole, its checksum tells.
            if answer.status_code != requests.codes.requested_range_not_satisfiable:
                answer.raise_for_status()
                goes_on = answer.status_code == requests.codes.partial_content
                with self.part.open("ab" if goes_on else "wb") as file:
                    for block in answer.iter_content(BLOCK):
                        file.write(block)
        shutil.move(self.part, output_file)


@dataclass(frozen=True)
class Checked:
    """What `check` found in one split.

    Attributes
    ----------
    split : str
    images, coarse, fine : int
        Numbers of readable images, of coarse and of fine labels.
    official : tuple of int or None
        Images and fine labels of the official release.
    """

    split: str
    images: int
    coarse: int
    fine: int
    official: tuple[int, int] | None

    @property
    def whole(self) -> bool:
        """Whether the numbers are those of the official release, if there is one."""
        return self.official is None or self.official == (self.images, self.fine)


def check(
    name: str, root: str | os.PathLike[str] | None = None, on_images: Callable[[int], None] = lambda n: None
) -> tuple[Path, list[Checked], dict[str, str]]:
    """Read all of a data set: every file there, every image readable, how many there are.

    Parameters
    ----------
    name, root
        See `realdata.datasets.locate`.
    on_images : callable
        Told how many more images were read.

    Returns
    -------
    folder : Path
    splits : list of Checked
    downloads : dict from str to str
        For each file of the official release: ``official``, ``differs`` (re-packed, or not the official one) or ``absent``.

    Raises
    ------
    InvalidInput
        Naming the first file that is missing, corrupt or truncated.
    """
    folder = locate(name, root)
    found = []
    for split in SPLITS:
        pictures = DATASETS[name].read(folder, split)
        for row in range(len(pictures)):
            pictures.image(row)
            on_images(1)
        labels = (len(np.unique(pictures.classes)), len(np.unique(pictures.modes)))
        found.append(Checked(split, len(pictures), *labels, DATASETS[name].official.get(split)))
    return folder, found, {d.name: _verified(folder, d) for d in DATASETS[name].downloads}


def _verified(folder: Path, download: Download) -> str:
    place = folder / download.name
    if not place.is_file():
        return "absent"
    algorithm, _, known = download.checksum.partition(":")
    return "official" if pooch.file_hash(str(place), alg=algorithm) == known else "differs"
