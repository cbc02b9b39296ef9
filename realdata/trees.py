"""A folder, a zip or a tar file, read in the same way: relative names and the bytes behind them.

Archives are read where they are and never unpacked, so that no member's name ever becomes a path on the disk; an archive
with a member that would leave its folder is refused all the same.
"""

from __future__ import annotations

import abc
import copy
import functools
import gzip
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from sim.errors import InvalidInput

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
"""What the standard library raises for archives that are truncated, corrupt or encrypted."""


class Tree(abc.ABC):
    """Files by relative name.

    Attributes
    ----------
    place : Path
        The folder or archive.
    sizes : dict from str to int
        Names (with forward slashes, relative to the tree's base) and sizes in bytes.
    """

    place: Path
    sizes: dict[str, int]

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises
        ------
        InvalidInput
            If it isn't there or can't be read.
        """

    def holds(self, name: str) -> bool:
        """Whether there is a file, or a folder with files, of this name."""
        return name in self.sizes or any(own.startswith(f"{name}/") for own in self.sizes)

    def label(self, name: str) -> str:
        """What to call a file in a message."""
        return f"{self.place}: {name}"


class Folder(Tree):
    """The files below a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        found = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
        self.sizes = {p.relative_to(place).as_posix(): p.stat().st_size for p in sorted(found) if p.is_file()}

    def read(self, name: str) -> bytes:
        """See `Tree.read`."""
        if name not in self.sizes:
            raise InvalidInput("root", self.label(name), "this file: it is listed, but isn't there")
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise InvalidInput("root", self.label(name), f"a readable file ({error})") from None


class Archive(Tree):
    """The members of a zip or tar file.

    A compressed tar file has no index, so it is decompressed into a temporary file first.

    Raises
    ------
    InvalidInput
        If the archive is broken, or holds links or names that point out of it.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        members: list[tuple[str, zipfile.ZipInfo | tarfile.TarInfo]]
        with self._naming("a complete archive"):
            if place.suffix == ".zip":
                self._zip = zipfile.ZipFile(place)
                members = [(m.filename, m) for m in self._zip.infolist() if not m.is_dir()]
            else:
                self._tar = tarfile.open(fileobj=_plain(place))  # noqa: SIM115 (open as long as the tree is)
                members = [(m.name, m) for m in self._tar.getmembers() if not m.isdir()]
        for name, member in members:
            self._refuse_escape(name, member)
        self._keep({PurePosixPath(name).as_posix(): member for name, member in members})

    def _keep(self, members: dict[str, zipfile.ZipInfo | tarfile.TarInfo]) -> None:
        self._members = members
        self.sizes = {n: m.file_size if isinstance(m, zipfile.ZipInfo) else m.size for n, m in members.items()}

    def below(self, base: str) -> Archive:
        """The same archive seen from one of its folders, ``base`` with a slash at its end."""
        seen = copy.copy(self)
        seen._keep({n.removeprefix(base): m for n, m in self._members.items() if n.startswith(base)})
        return seen

    def _refuse_escape(self, name: str, member: zipfile.ZipInfo | tarfile.TarInfo) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise InvalidInput("root", self.label(name), "an archive without members that point out of its folder")
        if isinstance(member, tarfile.TarInfo) and not member.isfile():
            raise InvalidInput("root", self.label(name), "an archive of plain files and folders, without links")

    @contextmanager
    def _naming(self, allowed: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            where = self.label(name) if name else str(self.place)
            raise InvalidInput("root", where, f"{allowed} ({type(error).__name__}: {error})") from None

    def read(self, name: str) -> bytes:
        """See `Tree.read`."""
        if name not in self._members:
            raise InvalidInput("root", self.label(name), "this file: it is listed, but isn't there")
        member = self._members[name]
        with self._naming("a readable member", name):
            if isinstance(member, zipfile.ZipInfo):
                return self._zip.read(member)
            content = cast(IO[bytes], self._tar.extractfile(member)).read()
            if len(content) != member.size:
                raise EOFError("it ends too early")
            return content


def unpacked(place: Path) -> Path:
    """What x.tgz or x.tar.gz is called without its compression: x.tar."""
    return place.with_suffix("") if place.name.endswith(".tar.gz") else place.with_suffix(".tar")


def _plain(place: Path) -> IO[bytes]:
    """A tar file, decompressed if need be."""
    if place.suffix == ".tar":
        return place.open("rb")
    plain = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 (closed with the tar file)
    with gzip.open(place) as packed:
        shutil.copyfileobj(packed, plain)
    plain.seek(0)
    return plain


class Shelf:
    """The trees in a data set's folder: the folder itself, its folders, and its archives, each opened once.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        inside = sorted(root.iterdir()) if root.is_dir() else []
        self._folders = [root, *(p for p in inside if p.is_dir())]
        archives = [p for p in inside if p.is_file() and p.name.endswith(ARCHIVES)]
        # Beside x.tar, x.tgz or x.tar.gz is the same archive, slower.
        plain = {p.stem for p in archives if p.suffix == ".tar"}
        self._archives = [p for p in archives if p.suffix in (".zip", ".tar") or unpacked(p).stem not in plain]
        self._folder, self._archive = functools.cache(Folder), functools.cache(Archive)

    def find(self, marker: str) -> Tree | None:
        """The tree that holds a file or folder ``marker``, at its top or (in an archive) one folder down; None if none does.

        Raises
        ------
        InvalidInput
            For a broken or dangerous archive met on the way.
        """
        for folder in self._folders:
            if (folder / marker).exists():
                return self._folder(folder)
        for place in self._archives:
            tree = self._archive(place)
            if tree.holds(marker):
                return tree
            for base in sorted({name.split("/")[0] + "/" for name in tree.sizes if "/" in name}):
                if tree.holds(base + marker):
                    return tree.below(base)
        return None
