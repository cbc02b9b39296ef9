"""What files hold, as SHA-256, remembered so that a second look at a data set costs no reading; and files that carry their own.

A digest is remembered by its file's place, size, times and inode. A file that changed only just before it was looked at may
change again without any of these telling (times are as coarse as the file system's), so it isn't remembered, as in git.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import pooch

from sim.errors import InvalidInput
from sim.files import whole

CACHE_VARIABLE = "COLLAPSE_CACHE"
"""Environment variable: the folder for digests and extracted features; if it isn't set, the user's cache folder."""

SETTLED = 2 * 10**9
"""Nanoseconds after which a change shows in a file's times on every file system (FAT's are the coarsest)."""

BLOCK = 2**20

MARK = b"\nsha256 "
TRAILER = len(MARK) + 64 + 1


def cache() -> Path:
    """The folder of the cache.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {CACHE_VARIABLE: "/data/features"}):
    ...     cache().as_posix()
    '/data/features'
    """
    own = os.environ.get(CACHE_VARIABLE)
    return Path(own).expanduser() if own else Path(pooch.os_cache("class-collapse")) / "features"


def joined(*parts: Any) -> str:
    """One digest of several values that JSON can hold.

    Examples
    --------
    >>> joined("ab", "c") == joined("a", "bc"), len(joined())
    (False, 64)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def of_file(place: Path) -> str:
    """SHA-256 of a file, read now.

    Raises
    ------
    OSError
    """
    digest = hashlib.sha256()
    with place.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def look(status: os.stat_result) -> list[int]:
    """What of a file's status changes when the file does."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def settled(status: os.stat_result, at: int) -> bool:
    """Whether a file has been as it is for long enough at the time ``at`` (nanoseconds) that its next change will show."""
    return max(status.st_mtime_ns, status.st_ctime_ns) < at - SETTLED


def of_files(folder: Path, names: Iterable[str]) -> list[str]:
    """SHA-256 of files below a folder; those that haven't changed since they were last asked for aren't read.

    Raises
    ------
    OSError
        For a file that can't be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.png").write_bytes(b"")
    >>> of_files(folder, ["a.png"])[0][:8]
    'e3b0c442'
    """
    key = os.path.abspath(folder)
    known = recall(key)
    found, new = [], {}
    for name in names:
        place, at = folder / name, time.time_ns()
        status = place.stat()
        *seen, digest = known.get(name, [""])
        if seen != look(status) or not settled(status, at):
            digest = of_file(place)
            if settled(status, at) and look(place.stat()) == look(status):
                new[name] = [*look(status), digest]
        found.append(digest)
    remember(key, known, new)
    return found


def recall(key: str) -> dict[str, Any]:
    """What was remembered under a key; nothing if that was damaged."""
    content = unsealed(_place(key))
    try:
        kept = json.loads(content) if content is not None else {}
    except ValueError:
        return {}
    return dict(kept["of"]) if kept.get("key") == key else {}


def remember(key: str, known: dict[str, Any], new: dict[str, Any]) -> None:
    """Add to what is remembered. Where that can't be written, all is looked at again next time.

    Of processes that write at once the last one wins: what is lost is found again, and never wrong.
    """
    if new:
        content = json.dumps({"key": key, "of": {**known, **new}}).encode()
        with contextlib.suppress(OSError):
            _place(key).parent.mkdir(parents=True, exist_ok=True)
            seal(_place(key), lambda file: file.write(content))


def _place(key: str) -> Path:
    return cache() / "digests" / hashlib.sha256(os.fsencode(key)).hexdigest()[:32]


class _Hashing:
    """A file that is written, and the digest of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, content: Any) -> int:
        self.digest.update(content)
        return self.file.write(content)


def seal(place: Path, write: Callable[[Any], Any]) -> None:
    """Write a file whose last line is the SHA-256 of what comes before it, whole or not at all.

    NumPy and PyTorch read such a file as any other.

    Parameters
    ----------
    place : Path
    write : callable (file)
        Writes the content with the file's ``write``.

    Raises
    ------
    OSError

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a"
    >>> seal(place, lambda file: file.write(b"content"))
    >>> unsealed(place)
    b'content'
    >>> _ = place.write_bytes(place.read_bytes().replace(b"nt", b"mt", 1))
    >>> unsealed(place) is None, intact(place)
    (True, False)
    """
    with whole(place) as file:
        hashing = _Hashing(file)
        write(hashing)
        file.write(MARK + hashing.digest.hexdigest().encode() + b"\n")


def sealed(field: str, place: Path, write: Callable[[Any], Any]) -> None:
    """`seal`, and a disk that is full is the user's to know of.

    Raises
    ------
    InvalidInput
        What was there before is untouched.
    """
    try:
        seal(place, write)
    except OSError as error:
        allowed = f"a place that can be written ({error.strerror or error}); what was there before is as it was"
        raise InvalidInput(field, str(place), allowed) from None


def unsealed(place: Path) -> bytes | None:
    """The content of a file that `seal` wrote; None if there is none or it was damaged."""
    try:
        content = place.read_bytes()
    except OSError:
        return None
    body, trailer = content[:-TRAILER], content[-TRAILER:]
    return body if trailer == MARK + hashlib.sha256(body).hexdigest().encode() + b"\n" else None


def intact(place: Path) -> bool:
    """Whether a file is as `seal` wrote it. It is read in blocks."""
    try:
        left = place.stat().st_size - TRAILER
        with place.open("rb") as file:
            digest = hashlib.sha256()
            while left > 0 and (block := file.read(min(BLOCK, left))):
                digest.update(block)
                left -= len(block)
            return left == 0 and file.read() == MARK + digest.hexdigest().encode() + b"\n"
    except OSError:
        return False
