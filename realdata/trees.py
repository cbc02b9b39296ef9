"""A folder, a zip or a tar file, read in the same way: relative names and the bytes behind them.

Archives are read where they are and never unpacked, so that no member's name ever becomes a path on the disk; an archive
with a member that would leave its folder is refused all the same.
"""

from __future__ import annotations

import abc
import copy
import functools
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from realdata import digests
from sim.errors import InvalidInput

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")

SYSTEM = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
"""What operating systems leave in folders, in small letters; and names that begin with a dot."""


def by_system(name: str) -> bool:
    """Whether a file is hidden or an operating system's, and no part of a data set.

    Examples
    --------
    >>> [by_system(name) for name in ("cat/._0.png", "__MACOSX/cat/0.png", ".ipynb_checkpoints/0.png", "cat/0.png")]
    [True, True, True, False]
    """
    return any(part.startswith(".") or part.lower() in SYSTEM for part in name.split("/"))


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

    def digests(self, names: Sequence[str]) -> list[str]:
        """SHA-256 of the contents of files.

        Raises
        ------
        InvalidInput
            See `read`.
        """
        return [hashlib.sha256(self.read(name)).hexdigest() for name in names]

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
        self.sizes = {name: status.st_size if status else 0 for name, status in sorted(_below(place))}

    def read(self, name: str) -> bytes:
        """See `Tree.read`."""
        if name not in self.sizes:
            raise self.refusal(name, "this file: it is listed, but isn't there")
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise self.refusal(name, f"a readable file ({error})") from None

    def digests(self, names: Sequence[str]) -> list[str]:
        """See `Tree.digests`. Files that haven't changed since they were last asked for aren't read."""
        try:
            return digests.of_files(self.place, names)
        except OSError as error:
            raise refusal(str(error.filename), self.place, f"a readable file ({error.strerror})") from None


def _below(place: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """The files below a folder, links followed, and their status; None for a link to nothing."""

    def walk(folder: str, base: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.stat_result | None]]:
        for entry in os.scandir(folder):
            if by_system(entry.name):
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                yield base + entry.name, None
                continue
            if not entry.is_dir():
                yield base + entry.name, status
            elif (own := (status.st_dev, status.st_ino)) not in above:  # else a link to where it is
                yield from walk(entry.path, f"{base}{entry.name}/", (*above, own))

    try:
        status = place.stat()
        yield from walk(str(place), "", ((status.st_dev, status.st_ino),))
    except OSError as error:
        raise refusal(str(error.filename), place, f"a folder that can be read ({error.strerror})") from None


def state(place: Path) -> str:
    """What changes if a file below a folder does: a hash of the files' names, sizes, times and inodes.

    A file that has only just changed may change again without these telling, so its content is hashed.

    Raises
    ------
    InvalidInput
        For a file or a folder that can't be read.

    Examples
    --------
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "0.txt").write_bytes(b"zero")
    >>> before = state(root)
    >>> _ = (root / "0.txt").write_bytes(b"nine")
    >>> before == state(root)
    False
    """
    at, seen = time.time_ns(), hashlib.sha256()
    try:
        for name, status in sorted(_below(place)):
            seen.update(os.fsencode(f"{name}\0{digests.look(status) if status else ''}\0"))
            if status and not digests.settled(status, at):
                seen.update(digests.of_file(place / name).encode())
    except OSError as error:
        raise refusal(str(error.filename), place, f"a file that can be read ({error.strerror})") from None
    return seen.hexdigest()


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
            self._look = digests.look(place.stat())
            if place.suffix == ".zip":
                self._zip = zipfile.ZipFile(place)
                # Windows has written other slashes.
                named = [(m.filename.replace("\\", "/"), m) for m in self._zip.infolist()]
                members = [(name, m) for name, m in named if not name.endswith("/")]
            else:
                file = _plain(place)
                weakref.finalize(self, file.close)
                self._tar = tarfile.open(fileobj=file)  # noqa: SIM115 (open as long as the tree is)
                members = [(m.name, m) for m in self._tar.getmembers() if not m.isdir()]
                _ended(file)
        for name, member in members:
            self._refuse_escape(name, member)
        plain = ((PurePosixPath(name).as_posix(), member) for name, member in members)
        self._keep({name: member for name, member in plain if not by_system(name)})

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
        if not path.parts:
            raise self.refusal(name, "an archive whose members have names")
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise self.refusal(name, "an archive without members that point out of its folder")
        if isinstance(member, tarfile.TarInfo) and not member.isfile():
            raise self.refusal(name, "an archive of plain files and folders, without links")

    @contextmanager
    def _naming(self, allowed: str, name: str = "") -> Iterator[None]:
        try:
            yield
        # What the standard library raises depends on where an archive is broken, and how it was packed.
        except Exception as error:
            reason = f"{allowed} ({type(error).__name__}: {str(error)[:200]})"
            where = (name, self.place) if name else (self.place.name, self.place.parent)
            raise refusal(*where, reason) from None

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

    def digests(self, names: Sequence[str]) -> list[str]:
        """See `Tree.digests`. They are remembered by the archive's own."""
        key = self._as_opened()
        known, new, found = digests.recall(key), {}, []
        for name in names:
            member = self._members.get(name)
            packed = member.filename if isinstance(member, zipfile.ZipInfo) else member.name if member else name
            if packed not in known and packed not in new:
                new[packed] = hashlib.sha256(self.read(name)).hexdigest()
            found.append(known.get(packed) or new[packed])
        if self._as_opened() == key:
            digests.remember(key, known, new)
        return found

    def _as_opened(self) -> str:
        """The archive's own digest."""
        try:
            digest = digests.of_files(self.place.parent, [self.place.name])[0]
            if digests.look(self.place.stat()) == self._look:
                return digest
        except OSError as error:
            raise refusal(self.place.name, self.place.parent, f"a readable file ({error.strerror})") from None
        raise refusal(self.place.name, self.place.parent, "an archive that doesn't change while it is read")


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
        try:
            inside = sorted(p for p in root.iterdir() if not by_system(p.name)) if root.is_dir() else []
        except OSError as error:
            raise refusal(root.name, root.parent, f"a folder that can be read ({error.strerror})") from None
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
