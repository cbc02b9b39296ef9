"""Numba where it is installed, and where its machine code is kept on the disk.

Numba's own cache knows a function by the file that it stands in: it keeps one whose callee changed in another file. It ends the
command where no folder can be written or a file in it is damaged, and two processes that compile for different types at one time
may take each other's code. Here a file is named by all that it was compiled from, is used if it is whole, and is never needed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from platformdirs import user_cache_dir

from sim import source
from sim.files import digest, whole

numba: Any
try:
    import numba
except ImportError:
    numba = None

AVAILABLE: bool = numba is not None
"""Whether functions are compiled here."""

# Sums and minima may be taken in any order; NaN can't be told from other numbers, but a run with one is stopped anyway.
FAST = ("contract", "nnan", "nsz", "reassoc")

ENDING = ".kernel"
"""Of the files that hold machine code."""

OLD = 30 * 24 * 3600.0
"""Seconds after which a file may go when another one is written: what is still needed is compiled again."""

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def compiled(function: Function) -> Function: ...


@overload
def compiled(*, fastmath: Collection[str]) -> Callable[[Function], Function]: ...


def compiled(function: Any = None, *, fastmath: Collection[str] = FAST) -> Any:
    """Decorator: a function in machine code from its first call on, where Numba is installed.

    Its machine code is kept in ``__pycache__`` beside its file, in the user's cache folder if that can't be written, else in a
    folder of this user among the temporary ones; in the folder ``NUMBA_CACHE_DIR`` if that is set. If no folder can be written,
    this is said once, and functions are compiled anew by each process.

    Parameters
    ----------
    function : callable
        In the part of Python that Numba compiles. Other threads run beside it. What it reads beside its arguments (functions,
        classes, numbers) is what it was at the first call.
    fastmath : collection of str
        What the compiler may take for granted of numbers, in LLVM's words.

    Examples
    --------
    >>> import numpy as np
    >>> @compiled
    ... def total(values):
    ...     found = 0.0
    ...     for value in values:
    ...         found += value
    ...     return found
    >>> total(np.array([1.0, 2.0]))
    3.0
    """
    if function is None:
        return functools.partial(compiled, fastmath=fastmath)
    if not AVAILABLE:
        return function
    dispatcher = numba.njit(nogil=True, fastmath=set(fastmath), error_model="numpy")(function)
    if os.path.isfile(function.__code__.co_filename):  # not of a notebook
        dispatcher._cache = _Kept(function, fastmath)
    return dispatcher


def compiled_for(signature: Any, function: Callable[..., Any], *, fastmath: Collection[str] = FAST) -> Any:
    """A function in machine code for one signature of Numba, kept as those of `compiled`, that compiled code can be handed as an argument.

    Raises
    ------
    ImportError
        Without Numba.

    Examples
    --------
    >>> if AVAILABLE:
    ...     whole = numba.types.int64
    ...     doubled = compiled_for(whole(whole), lambda x: 2 * x)
    """
    from numba.core.ccallback import CFunc
    from numba.experimental import function_type  # noqa: F401  (tells Numba what such an argument is)

    options = {"nopython": True, "fastmath": set(fastmath), "error_model": "numpy"}
    found: Any = CFunc(function, numba.core.sigutils.normalize_signature(signature), {}, options)
    if os.path.isfile(function.__code__.co_filename):
        found._cache = _Kept(function, fastmath)
    found.compile()
    return found


def intrinsic(function: Function) -> Function:
    """Decorator: a function that tells Numba which instructions of LLVM stand for a call of it, where Numba is installed.

    Without Numba it is what it was; nothing that isn't compiled calls it.

    Examples
    --------
    >>> @intrinsic
    ... def width(typing):
    ...     return numba.types.int64(), lambda context, builder, signature, arguments: context.get_constant(numba.types.int64, 8)
    >>> compiled(lambda: width())() if AVAILABLE else 8
    8
    """
    if not AVAILABLE:
        return function
    from numba import extending

    return cast(Function, extending.intrinsic(function))


def missing() -> str:
    """What this machine lacks for kernels that are faster than tensor programs; nothing if it has all.

    Examples
    --------
    >>> missing() == "" if AVAILABLE and has_fma() else len(missing()) > 0
    True
    """
    if not AVAILABLE:
        return "Numba isn't installed (class-collapse[fast])"
    return "" if has_fma() else "this processor lacks AVX2 or FMA"


def has_fma() -> bool:
    """Whether this machine multiplies and adds several numbers in one instruction: AVX2 and FMA, or a 64-bit ARM.

    False without Numba.

    Examples
    --------
    >>> has_fma() in (True, False)
    True
    """
    if not AVAILABLE:
        return False
    from llvmlite import binding

    if binding.get_process_triple().startswith(("aarch64", "arm64")):
        return True
    features = binding.get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma"))


class _Kept:
    """What Numba asks for a function's machine code before it compiles, and gives it afterwards: a file for each signature."""

    cache_path = None

    def __init__(self, function: Callable[..., Any], fastmath: Collection[str]) -> None:
        self._function, self._fastmath = function, sorted(fastmath)
        self._file = Path(function.__code__.co_filename)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What was compiled for a signature, or None."""
        # All that machine code needs of Numba: its memory. The rest (half a second) is for compiling, which loads it itself.
        numba.core.runtime.rtsys.initialize(target)
        name = self._name(signature, target.codegen())
        for folder in self._folders():
            try:
                content = (folder / name).read_bytes() if self._trusted(folder) else b""
            except OSError:
                continue
            checksum, _, code = content.partition(b"\n")
            if checksum == digest(code).encode():
                return numba.core.compiler.CompileResult._rebuild(target, *pickle.loads(code))
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled in the first folder that takes it."""
        if result.library.has_dynamic_globals:
            return None  # addresses of this process
        name = self._name(signature, result.codegen)
        *parts, environments = result._reduce()
        # Those that hold no constants only make whoever loads the code import Numba's modules.
        code = numba.core.serialize.dumps((*parts, tuple(e for e in environments if e.consts)))
        for folder in self._folders():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._trusted(folder):
                    with whole(folder / name) as file:
                        file.write(digest(code).encode() + b"\n" + code)
                    return _remove_old(folder)
            except OSError:
                continue
        return _say_once(tuple(self._folders()))

    def _name(self, signature: Any, codegen: Any) -> str:
        versions = numba.__version__, sys.implementation.cache_tag, codegen.magic_tuple()
        made_from = repr((signature, versions, self._fastmath)) + source.of_function(self._function)
        key = digest(made_from.encode(errors="surrogatepass"))
        return f"{self._function.__module__}.{self._function.__name__}.{key[:32]}{ENDING}"

    def _folders(self) -> Iterator[Path]:
        of_user = f"class-collapse-kernels-{_user()}"
        if numba.config.CACHE_DIR:
            yield Path(numba.config.CACHE_DIR) / of_user
            return
        yield self._file.parent / "__pycache__"
        cache = Path(user_cache_dir("class-collapse", appauthor=False))
        if cache.is_absolute():  # ~ of nobody stays as it is
            yield cache / "kernels"
        with contextlib.suppress(FileNotFoundError):  # nothing temporary can be written
            yield Path(tempfile.gettempdir()) / of_user

    def _trusted(self, folder: Path) -> bool:
        """Whether nobody writes to a folder but this user, or whose code this is: what lies in it is run."""
        if not folder.is_dir() or os.name != "posix":
            return folder.is_dir()
        found = folder.lstat()
        owners = {_user(), self._file.stat().st_uid}
        return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and not found.st_mode & stat.S_IWOTH


def _user() -> int:
    """This user's number; where there are none, temporary folders are each user's own."""
    return os.getuid() if os.name == "posix" else 0


def _remove_old(folder: Path) -> None:
    for file in folder.glob(f"*{ENDING}*"):
        with contextlib.suppress(OSError):  # of another user, or gone already
            if time.time() - file.stat().st_mtime > OLD:
                file.unlink()


@functools.cache
def _say_once(folders: tuple[Path, ...]) -> None:
    places = ", ".join(map(str, folders))
    warnings.warn(f"kernels are compiled anew by every process: no folder can be written ({places})", stacklevel=2)
