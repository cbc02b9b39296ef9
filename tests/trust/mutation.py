"""Mutation test: small wrong changes of the code, each of which the tests named for it must notice, with and without Numba.

``python -m tests.trust.mutation --jobs 2`` tries all of `mutants.yaml` and ends with exit code 1 if one survives that isn't proven
to be equivalent. The working tree is never changed: each job has a copy of its own, in which one file at a time is wrong.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("sim", "realdata", "figures", "tests", "pyproject.toml")
LIMIT = 120
"""Seconds after which a mutant's tests are taken to hang; they need a few."""
PASSED, FAILED = 0, 1
"""Exit codes of pytest: all tests passed, or some failed. Others say that it could not even run them."""


@dataclass(frozen=True)
class Mutant:
    """One wrong change.

    Attributes
    ----------
    area : str
    file : str
        Relative to the root.
    old, new : str
        A text that is in the file exactly once, and what is put in its place.
    tests : tuple of str
        Those that must notice, relative to ``tests``.
    numba : str
        ``both``; ``on`` or ``off`` where the changed line runs only with or without Numba.
    equivalent : str
        Why no test can notice, in one sentence; empty: a test must.
    """

    area: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    numba: str = "both"
    equivalent: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        """With (``on``) and without Numba (``off``)."""
        return ("on", "off") if self.numba == "both" else (self.numba,)

    @property
    def title(self) -> str:
        """On one line."""
        before, after = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {before} -> {after or 'nothing'}"

    def changed(self, root: Path = ROOT) -> str:
        """The file's text with the change."""
        text = (root / self.file).read_text()
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.title}: the old text is {found} times in the file, not once")
        return text.replace(self.old, self.new)


def load() -> list[Mutant]:
    """All mutants, in the order of the list."""
    listed = yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text())
    return [
        Mutant(area, file, entry["old"], entry["new"], tuple(entry["tests"].split()), *more(entry))
        for area, files in listed.items()
        for file, entries in files.items()
        for entry in entries
    ]


def more(entry: dict[str, str]) -> tuple[str, str]:
    """The two fields that have defaults."""
    return entry.get("numba", "both"), entry.get("equivalent", "")


@dataclass(frozen=True)
class Copy:
    """A copy of the tree in which tests run, and the processes (with and without Numba) that run them, see `warm`."""

    root: Path
    warm: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Copy:
        """Copy what tests need."""
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
            else:
                shutil.copy(source, folder / name)
        (folder / "without").mkdir()
        (folder / "without" / "numba.py").write_text("raise ImportError('switched off')\n")
        compileall.compile_dir(folder / "sim", quiet=2)
        return cls(folder)

    @contextmanager
    def wrong(self, mutant: Mutant) -> Iterator[None]:
        """The mutant's file changed, and as it was afterwards."""
        place = self.root / mutant.file
        before, times = place.read_bytes(), (place.stat().st_atime, place.stat().st_mtime)
        place.write_text(mutant.changed(self.root))
        # Compiled files know their source by size and whole seconds.
        os.utime(place, (times[0] + 60, times[1] + 60))
        try:
            yield
        finally:
            place.write_bytes(before)
            os.utime(place, times)

    def run(self, tests: Sequence[str], mode: str, *, limit: float = LIMIT) -> tuple[int | None, str]:
        """Exit code (None: out of time) and output of some tests."""
        if mode not in self.warm:
            self.warm[mode] = self._start(mode)
        server, output = self.warm[mode], self.root / "output.txt"
        assert server.stdin is not None and server.stdout is not None
        arguments = ["-x", "-q", "-p", "no:cacheprovider", *(f"tests/{t}" for t in tests)]
        order = {"arguments": arguments, "limit": limit, "cache": str(self.root / "cache"), "output": str(output)}
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        code: int | None = json.loads(server.stdout.readline())
        return code, output.read_text()

    def _start(self, mode: str) -> subprocess.Popen[str]:
        path = [str(self.root)] if mode == "on" else [str(self.root / "without"), str(self.root)]
        # Compiled files aren't kept: one made of a wrong source must not be found again.
        own = {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "tests/trust/warm.py"],
            cwd=self.root,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the processes that wait."""
        for server in self.warm.values():
            server.communicate()


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant in one mode: ``killed``, ``hangs`` (killed by the time limit) or ``survived``."""

    mutant: Mutant
    mode: str
    result: str
    seconds: float

    @property
    def right(self) -> bool:
        """As the list says."""
        return (self.result == "survived") == bool(self.mutant.equivalent)

    def __str__(self) -> str:
        proof = f" ({'equivalent: ' if self.right else 'not equivalent: '}{self.mutant.equivalent})"
        said = proof if self.mutant.equivalent else ""
        return f"{self.result:8} {self.seconds:5.1f} s  numba {self.mode:3}  {self.mutant.title}{said}"


class Trial:
    """Copies of the tree, one a job, and how mutants are tried in them."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for k in range(jobs):
            (folder / str(k)).mkdir()
            self.copies.put(Copy.make(folder / str(k)))

    def close(self) -> None:
        """End what the copies started."""
        while not self.copies.empty():
            self.copies.get().close()

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        """A copy that nobody else uses."""
        mine = self.copies.get()
        try:
            yield mine
        finally:
            self.copies.put(mine)

    def check_untouched(self, tests: Sequence[str], mode: str) -> None:
        """All tests pass before anything is changed, on the copy's own code."""
        with self.copy() as copy:
            code, output = copy.run(tests, mode, limit=30 * LIMIT)
        if code != PASSED:
            raise RuntimeError(f"without any change (numba {mode}) tests end with {code}:\n{output[-3000:]}")

    def attempt(self, mutant: Mutant, mode: str) -> Outcome:
        """Change, test, restore."""
        start = time.perf_counter()
        with self.copy() as copy, copy.wrong(mutant):
            code, output = copy.run(mutant.tests, mode)
        if code not in (PASSED, FAILED, None):
            raise RuntimeError(f"{mutant.title} (numba {mode}): pytest ends with {code}\n{output[-3000:]}")
        result = {PASSED: "survived", FAILED: "killed", None: "hangs"}[code]
        return Outcome(mutant, mode, result, time.perf_counter() - start)


def trial(mutants: Sequence[Mutant], jobs: int, modes: Sequence[str] = ("on", "off")) -> list[Outcome]:
    """Try mutants in the modes that they and the caller ask for; each outcome is printed as it comes.

    Raises
    ------
    ValueError
        If a mutant's old text isn't in its file exactly once.
    RuntimeError
        If tests fail without any change, or can't be run.
    """
    for mutant in mutants:
        compile(mutant.changed(), mutant.file, "exec")
    tasks = [(m, mode) for mode in modes for m in mutants if mode in m.modes]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Trial(Path(folder), jobs)) as tried,
        ThreadPoolExecutor(jobs) as pool,
    ):
        asked = {mode: list(dict.fromkeys(t for m, its in tasks if its == mode for t in m.tests)) for mode in modes}
        list(pool.map(lambda mode: tried.check_untouched(asked[mode], mode), [m for m in modes if asked[m]]))
        outcomes = []
        for outcome in pool.map(lambda task: tried.attempt(*task), tasks):
            print(outcome, flush=True)
            outcomes.append(outcome)
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only mutants with this text in area, file or change")
    parser.add_argument("--numba", choices=["on", "off", "both"], default="both")
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    mutants = [m for m in load() if given.only in f"{m.area} {m.title}"]
    outcomes = trial(mutants, given.jobs, ("on", "off") if given.numba == "both" else (given.numba,))
    for mode in ("on", "off"):
        found = [o for o in outcomes if o.mode == mode]
        counts = {r: sum(o.result == r for o in found) for r in ("killed", "hangs", "survived")}
        equivalent = sum(o.right and bool(o.mutant.equivalent) for o in found)
        print(
            f"numba {mode}: {len(found)} mutants, {counts['killed'] + counts['hangs']} killed ({counts['hangs']} by the time "
            f"limit), {counts['survived']} survived, of which {equivalent} proven equivalent"
        )
    wrong = [o for o in outcomes if not o.right]
    print(f"{len(mutants)} mutants in {time.perf_counter() - start:.0f} s; not as listed: {len(wrong)}")
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
