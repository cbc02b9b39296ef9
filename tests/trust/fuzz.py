"""Hostile inputs for every layer: ``python -m tests.trust.fuzz --inputs 10000 --seed 0``.

Every input either works, or is refused: by `InvalidInput` in the library; on the command line by exit code 2 and one line. A fault is any
other exception, more than `SECONDS` of processor time, a file opened for writing outside of the temporary folder, or a program started.
Faults are printed with what repeats them; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 5.0
"""Of processor time an input."""

SECONDS_OF_A_STANDSTILL = 60
"""After which the whole script ends, with a traceback: a wait takes no processor time."""

Layer = Callable[[random.Random, Path], None]

SHARES = {
    "command line": 30, "specification": 12, "configuration": 12, "yaml": 6, "plugin": 3, "theory": 8, "similarities": 6, "certificates": 8, "metrics": 6,
    "losses": 6, "samplers": 4, "generators": 6, "noise": 4, "query": 5, "archives": 4, "data folders": 4, "explorer": 6,
}  # fmt: skip
"""Of the inputs, for each layer."""


class TimeIsUp(BaseException):
    """An input took too long."""


class Outside(BaseException):
    """An input wrote, or started a program, where it has no business."""


class Guard:
    """Watches, by an audit hook, what is written and started, while an input is tried."""

    WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
    STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.connect")

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = f"{folder.resolve()}{os.sep}", False
        self.broken: list[str] = []
        sys.addaudithook(self.see)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook."""
        if not self.on:
            return
        if event in self.STARTS and not self.reader(event, arguments):
            self.refuse(f"{event} {arguments!r:.200}")
        elif event in self.WRITES:
            # Relative to an open folder: what made it was seen.
            for place in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(place, (str, bytes, os.PathLike)) and not self.inside(place) and os.path.isabs(place):
                    self.refuse(f"{event} {os.fspath(place)!r}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            place, _, flags = arguments
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
            if writes and not self.inside(place):
                self.refuse(f"open {place!r} for writing")

    @staticmethod
    def reader(event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether it is the process of our own in which a file is read that may bring its reader down."""
        started = arguments[1] if event == "subprocess.Popen" else ()
        return started[:2] == [sys.executable, "-c"] and started[2].startswith("from realdata.mat import")

    def inside(self, place: Any) -> bool:
        """Whether a path is in the temporary folder, or nowhere."""
        path = os.fsdecode(place)
        return path == os.devnull or os.path.abspath(path).startswith(self.folder)

    def refuse(self, what: str) -> None:
        """Remember and prevent it."""
        self.broken.append(what)
        raise Outside(what)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For the length of a ``with`` block, in which time is limited, too."""

        def stop(_: int, __: FrameType | None) -> None:
            raise TimeIsUp

        self.broken, self.on = [], True
        before = signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
            self.on = False


def outcome(layer: Layer, draw: random.Random, folder: Path, guard: Guard) -> str:
    """``accepted``, ``refused``, or what went wrong."""
    from sim.errors import InvalidInput

    folder.mkdir()
    os.chdir(folder)
    faulthandler.dump_traceback_later(SECONDS_OF_A_STANDSTILL, exit=True, file=sys.__stderr__)
    try:
        with guard.watching(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer(draw, folder)
        found = "accepted"
    except InvalidInput as error:
        found = "refused" if "\n" not in str(error) else f"a message of several lines: {error}"
    except TimeIsUp:
        found = f"more than {SECONDS:g} s\n{traceback.format_exc()}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        found = traceback.format_exc() if not str(error).startswith("exit code") else str(error)
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.chdir(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)
    return f"outside: {guard.broken[0]}" if guard.broken else found


def numbers_of(inputs: int) -> dict[str, int]:
    """How many inputs each layer gets."""
    whole = sum(SHARES.values())
    return {layer: max(1, inputs * share // whole) for layer, share in SHARES.items()}


def main(arguments: list[str]) -> int:
    """The script: 0 without faults, 1 with some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="in all layers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layer", choices=list(SHARES), help="only this layer")
    parser.add_argument("--only", type=int, help="only this input of the layer")
    chosen = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="fuzz")).resolve()
    for name in ("home", "temporary", "caches"):
        (home / name).mkdir()
    sys.dont_write_bytecode = True
    os.environ.update(HOME=str(home / "home"), TMPDIR=str(home / "temporary"), XDG_CACHE_HOME=str(home / "caches"))
    os.environ.update(MPLCONFIGDIR=str(home / "caches"), NUMBA_CACHE_DIR=str(home / "caches"), COLLAPSE_DATA=str(home))
    tempfile.tempdir = str(home / "temporary")

    from tests.trust import layers

    counts: dict[str, Counter[str]] = {layer: Counter() for layer in SHARES}
    faults = 0
    layers.prepare(home)
    guard = Guard(home)
    started = time.monotonic()
    for layer, inputs in numbers_of(chosen.inputs).items():
        if chosen.layer not in (None, layer):
            continue
        for number in range(inputs) if chosen.only is None else [chosen.only]:
            draw = random.Random(f"{chosen.seed} {layer} {number}")
            found = outcome(layers.LAYERS[layer], draw, home / "inputs", guard)
            counts[layer][found if found in ("accepted", "refused") else "faults"] += 1
            if found not in ("accepted", "refused"):
                faults += 1
                print(f"--seed {chosen.seed} --layer {layer!r} --only {number}:\n{found.rstrip()}\n", flush=True)
    os.chdir("/")
    shutil.rmtree(home, ignore_errors=True)
    print(f"{'layer':15}{'inputs':>8}{'accepted':>10}{'refused':>9}{'faults':>8}")
    for layer, count in counts.items():
        print(f"{layer:15}{count.total():8}{count['accepted']:10}{count['refused']:9}{count['faults']:8}")
    every = sum(counts.values(), Counter())
    print(f"{'all':15}{every.total():8}{every['accepted']:10}{every['refused']:9}{every['faults']:8}")
    print(f"{time.monotonic() - started:.0f} s")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
