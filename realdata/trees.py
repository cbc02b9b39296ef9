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
import weakref
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


def refusal(name: str, where: Path, allowed: str) -> InvalidInput:
    """The error for a file of a data set. (The name comes first: long values are cut in messages.)

    Examples
    --------
    >>> print(refusal("images.txt", Path("birds"), "lines of a number and a name"))
    root: got 'images.txt'; allowed: lines of a number and a name, in birds
    """
    return InvalidInput("root", name, " ".join(f"{allowed}, in {where}".split()))


class Tree(abc.ABC):
    """Files by relative name.

    Attributes
    ----------
    place : Path
        The folder or archive.
    sizes : dict from str to int
        Names (with forward slashes, relative to the tree's base) and sizes in bytes.

    Examples
    --------
    >>> class Memory(Tree):
    ...     def __init__(self, files):
    ...         self.place, self.files = Path("memory"), files
    ...         self.sizes = {name: len(content) for name, content in files.items()}
    ...     def read(self, name):
    ...         return self.files[name]
    >>> tree = Memory({"images/0.png": b"..."})
    >>> tree.holds("images"), tree.holds("image"), tree.sizes
    (True, False, {'images/0.png': 3})
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

    def refusal(self, name: str, allowed: str) -> InvalidInput:
        """The error for a file that isn't what it should be."""
        return refusal(name, self.place, allowed)


class Folder(Tree):
    """The files below a folder.

    Examples
    --------
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "images").mkdir()
    >>> _ = (root / "images" / "0.txt").write_bytes(b"zero")
    >>> Folder(root).sizes, Folder(root).read("images/0.txt")
    ({'images/0.txt': 4}, b'zero')
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        found = (Path(folder, name) for folder, _, names in os.walk(place, followlinks=True) for name in names)
        self.sizes = {p.relative_to(place).as_posix(): p.stat().st_size for p in sorted(found) if p.is_file()}

    def read(self, name: str) -> bytes:
        """See `Tree.read`."""
        if name not in self.sizes:
            raise self.refusal(name, "this file: it is listed, but isn't there")
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise self.refusal(name, f"a readable file ({error})") from None


class Archive(Tree):
    """The members of a zip or tar file.

    A compressed tar file has no index, so it is decompressed into a temporary file first.

    Raises
    ------
    InvalidInput
        If the archive is broken, or holds links or names that point out of it.

    Examples
    --------
    >>> place = Path(tempfile.mkdtemp()) / "birds.zip"
    >>> with zipfile.ZipFile(place, "w") as file:
    ...     file.writestr("birds/images/0.txt", "zero")
    >>> Archive(place).sizes, Archive(place).below("birds/").read("images/0.txt")
    ({'birds/images/0.txt': 4}, b'zero')
    >>> with zipfile.ZipFile(place, "w") as file:
    ...     file.writestr("../0.txt", "zero")
    >>> Archive(place)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got '../0.txt'; allowed: an archive without members that point out of its folder, in ...
    """

    _whole: Archive | None = None

    def __init__(self, place: Path) -> None:
        self.place = place
        members: list[tuple[str, zipfile.ZipInfo | tarfile.TarInfo]]
        with self._naming("a complete archive"):
            if place.suffix == ".zip":
                self._zip = zipfile.ZipFile(place)
                members = [(m.filename, m) for m in self._zip.infolist() if not m.is_dir()]
            else:
                file = _plain(place)
                weakref.finalize(self, file.close)
                self._tar = tarfile.open(fileobj=file)  # noqa: SIM115 (open as long as the tree is)
                members = [(m.name, m) for m in self._tar.getmembers() if not m.isdir()]
                _ended(file)
        for name, member in members:
            self._refuse_escape(name, member)
        self._keep({PurePosixPath(name).as_posix(): member for name, member in members})

    def _keep(self, members: dict[str, zipfile.ZipInfo | tarfile.TarInfo]) -> None:
        self._members = members
        self.sizes = {n: m.file_size if isinstance(m, zipfile.ZipInfo) else m.size for n, m in members.items()}

    def below(self, base: str) -> Archive:
        """The same archive seen from one of its folders, ``base`` with a slash at its end."""
        seen = copy.copy(self)
        seen._whole = self  # the file is open as long as somebody knows the archive
        seen._keep({n.removeprefix(base): m for n, m in self._members.items() if n.startswith(base)})
        return seen

    def _refuse_escape(self, name: str, member: zipfile.ZipInfo | tarfile.TarInfo) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise self.refusal(name, "an archive without members that point out of its folder")
        if isinstance(member, tarfile.TarInfo) and not member.isfile():
            raise self.refusal(name, "an archive of plain files and folders, without links")

    @contextmanager
    def _naming(self, allowed: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            reason = f"{allowed} ({type(error).__name__}: {error})"
            raise (
                self.refusal(name, reason) if name else refusal(self.place.name, self.place.parent, reason)
            ) from None

    def read(self, name: str) -> bytes:
        """See `Tree.read`."""
        if name not in self._members:
            raise self.refusal(name, "this file: it is listed, but isn't there")
        member = self._members[name]
        with self._naming("a readable member", name):
            if isinstance(member, zipfile.ZipInfo):
                return self._zip.read(member)
            content = cast(IO[bytes], self._tar.extractfile(member)).read()
            if len(content) != member.size:
                raise EOFError("it ends too early")
            return content


def unpacked(place: Path) -> Path:
    """What x.tgz or x.tar.gz is called without its compression: x.tar.

    Examples
    --------
    >>> [unpacked(Path(name)).name for name in ("birds.tgz", "birds.tar.gz")]
    ['birds.tar', 'birds.tar']
    """
    return place.with_suffix("") if place.name.endswith(".tar.gz") else place.with_suffix(".tar")


def _plain(place: Path) -> IO[bytes]:
    """A tar file, decompressed if need be."""
    if place.suffix == ".tar":
        return place.open("rb")
    plain = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 (closed with the tree)
    try:
        with gzip.open(place) as packed:
            shutil.copyfileobj(packed, plain)
    except BaseException:
        plain.close()
        raise
    plain.seek(0)
    return plain


def _ended(file: IO[bytes]) -> None:
    """A tar file ends with blocks of zeros; `tarfile` takes one that is cut off between members for whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1024))
    if any(file.read(1024)):
        raise EOFError("it ends too early")


class Shelf:
    """The trees in a data set's folder: the folder itself, its folders, and its archives, each opened once.

    Parameters
    ----------
    root : Path

    Examples
    --------
    >>> root = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(root / "birds.zip", "w") as file:
    ...     file.writestr("birds/images.txt", "1 0.png")
    >>> shelf = Shelf(root)
    >>> shelf.find("images.txt").read("images.txt"), shelf.find("classes.txt")
    (b'1 0.png', None)
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
