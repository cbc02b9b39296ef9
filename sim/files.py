"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sim.errors import InvalidInput

PART = ".part"
"""What the name of a file that isn't whole yet ends in."""

OLD = 24 * 3600.0
"""Seconds after which a file that isn't whole was left behind, whoever wrote it."""


def digest(content: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits.

    Examples
    --------
    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


@contextmanager
def whole(place: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Write a file beside its place and move it there when it is whole and on the disk.

    A process killed at any moment, or a full disk, leaves the file that was there before.

    Parameters
    ----------
    place : path
        In a folder that exists.

    Yields
    ------
    binary file

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole(folder / "a.txt") as file:
    ...     _ = file.write(b"all of it")
    >>> [p.name for p in folder.iterdir()], (folder / "a.txt").read_text()
    (['a.txt'], 'all of it')
    """
    path = Path(place)
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.{_writer()}.", suffix=PART)
    except OSError as error:
        raise _at(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException as error:
        Path(beside).unlink(missing_ok=True)
        # A write that fails for want of space doesn't say where.
        if isinstance(error, OSError) and error.filename in (None, beside):
            raise _at(path, error) from None
        raise


def _at(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, error.strerror or str(error), str(path))


def _writer() -> str:
    """Who writes: this machine's name, as far as file names may hold it, and this process."""
    return f"{socket.gethostname().replace('.', '-')}.{os.getpid()}"


def remove_parts(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed left behind below a folder, and nothing that a living one still writes.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / f"a.npz.{_writer()}.x.part").touch()  # being written
    >>> (folder / "a.npz.elsewhere.1.x.part").touch()  # perhaps being written, on another machine
    >>> os.utime(folder / "a.npz.elsewhere.1.x.part", (0, 0))  # no longer
    >>> remove_parts(folder)
    >>> len(list(folder.iterdir()))
    1
    """
    for part in Path(folder).rglob(f"*{PART}"):
        machine, _, process = part.name.removesuffix(PART).rpartition(".")[0].rpartition(".")
        here = machine.rpartition(".")[2] == _writer().partition(".")[0]
        try:
            if (here and not _lives(process)) or time.time() - part.stat().st_mtime > OLD:
                part.unlink()
        except OSError:
            continue  # another process removed it, or may and we may not


def _lives(process: str) -> bool:
    if os.name != "posix" or not process.isdigit():
        return True  # asking for it would end the process on Windows
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_text(place: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) as `whole` does."""
    with whole(place) as file:
        file.write(text.encode())


def write_json(place: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file as `whole` does. Scalars of NumPy and PyTorch become numbers and truth values; what else JSON lacks, text.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> place = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(place, {"held": np.bool_(False), "where": Path("a")})
    >>> json.loads(place.read_text())
    {'held': False, 'where': 'a'}
    """
    write_text(place, json.dumps(value, indent=2, default=plain) + "\n")


def plain(value: Any) -> Any:
    """What JSON is given for a value that it doesn't know.

    Examples
    --------
    >>> import numpy as np
    >>> plain(np.float32(0.5)), plain(Path("a"))
    (0.5, 'a')
    """
    return value.item() if hasattr(value, "item") else str(value)


def writable_place(place: str | os.PathLike[str], field: str) -> Path:
    """A file's place as a path; its folder is made if need be. To be asked before the work whose result goes there.

    Raises
    ------
    InvalidInput
        If there is a folder in the file's place, or none can be written around it.

    Examples
    --------
    >>> import tempfile
    >>> writable_place(tempfile.gettempdir(), "json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: json: got ...; allowed: a file, and this is a folder
    """
    path = Path(place)
    if path.is_dir():
        raise InvalidInput(field, str(place), "a file, and this is a folder")
    writable_folder(path.parent, field)
    return path


def writable_folder(folder: str | os.PathLike[str], field: str = "out") -> Path:
    """The folder as a path, made if need be.

    Raises
    ------
    InvalidInput
        If it can't be made or written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InvalidInput(field, str(folder), f"a folder that can be written ({error.strerror})") from None
    return path


def sealed(name: str, value: Any) -> str:
    """A value as a line of JSON with its checksum; `unsealed` gives it back.

    Examples
    --------
    >>> unsealed("value", sealed("value", {"a": [0.1, 2]}))
    {'a': [0.1, 2]}
    """
    written = json.dumps(value, default=plain)
    return json.dumps({"sha256": digest(written.encode()), name: json.loads(written)})


def unsealed(name: str, line: str) -> Any:
    """What `sealed` wrote.

    Raises
    ------
    ValueError
        If the line isn't as it was written.

    Examples
    --------
    >>> unsealed("value", sealed("value", 1).replace("1}", "2}"))
    Traceback (most recent call last):
    ValueError: a line that is not as it was written
    """
    try:
        value = json.loads(line)[name]
        if sealed(name, value) == line:
            return value
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ValueError("a line that is not as it was written")
