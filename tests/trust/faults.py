"""Disturb commands at random moments, run them again, and compare with what they give undisturbed, row for row.

```sh
python -m tests.trust.faults --trials 200 --seed 0
python -m tests.trust.faults --trials 20 --only sweep-dask      # scenarios whose name holds this text
```

A trial starts a small command in a folder of its own, does to it what the scenario says (kill -9 of it or of a worker, Ctrl-C,
SIGTERM, a full disk, a second writer, a clock set back by ten years), and then runs the same command to its end. Counted is
whatever differs from the undisturbed results bit by bit (but for times and dates), what is left of processes and files, and
what the user was told beside one line. Exit code 1 if anything was counted. Linux only (it reads ``/proc``).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.trust.results import Results, of_cache, of_claims, of_figures, of_finetune, of_store

ROOT = Path(__file__).parents[2]
TAG = "COLLAPSE_FAULT_TRIAL"
PAGE = 4096
GRACE = 60.0
"""Seconds that processes have to end after the one they belong to."""

TOLD = "interrupted; what is finished is kept, and the same command goes on from there"

SPEC = """\
base:
  data.params: {samples_per_mode: 8, modes_per_class: 2}
  batch.per_class: 4
  steps: 120
  checkpoints: 2
  save_embeddings: true
grid:
  net.params: [{width: 8}, {width: 12}, {width: 16}, {width: 20}]
  positive: [random, easy]
  noise.level: [0, 0.2]
seeds: 3
"""

STUDY = '''
import matplotlib.pyplot as plt
from figures import Entry
from sim.catalogue import FIGURES, STUDIES
from sim.studies import Study, final
from sim.sweeps.grid import grid

def configs(profile, seed=0):
    """Three widths."""
    base = {"steps": 120, "checkpoints": 1, "data.params": {"samples_per_mode": 8}, "batch.per_class": 4}
    return grid(base, {"net.params": [{"width": w} for w in (8, 12, 16, 20)], "seed": range(3)})

def draw(source):
    """A point for each run."""
    last = final(source.results)
    figure, axis = plt.subplots(figsize=(3.3, 2.2))
    axis.plot(last["seed"], last["within_mean"], "o")
    return figure

STUDIES.register("fault_study")(Study("Widths", "Nothing?", configs, lambda last: [], ("within_mean",), ("net.params",)))
FIGURES.register("fault_figure")(Entry("Widths", "A point for each run.", "fault_study", draw))
'''

CLOCK = """
import datetime, time
BACK = 10 * 365 * 86400
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
class Earlier(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) - datetime.timedelta(seconds=BACK)
datetime.datetime, time.time, time.time_ns = Earlier, lambda: _time() - BACK, lambda: _time_ns() - BACK * 10**9
"""
"""As ``sitecustomize`` in every process of a run: the system's own clock is everybody's."""


@dataclass(frozen=True)
class Case:
    """A command, the faults that it is put through, and what is compared."""

    command: str
    faults: tuple[str, ...]
    results: Callable[[Path], Results]


ALL = ("kill", "interrupt", "terminate")
CASES = {
    "sweep-local": Case(
        "sweep spec.yaml --executor local --out disk/out --csv disk/out/rows.csv",
        (*ALL, "disk", "writers", "clock"),
        of_store,
    ),
    "sweep-processes": Case(
        "sweep spec.yaml --workers 2 --out disk/out",
        (*ALL, "terminate-all", "kill-worker", "disk", "writers", "clock"),
        of_store,
    ),
    "sweep-dask": Case(
        "sweep spec.yaml --workers 2 --executor dask --out disk/out", (*ALL, "kill-worker", "writers"), of_store
    ),
    "bench": Case(
        "bench --noise 0,0.2 --seeds 2 --set 'data.params={limit: 100, test_limit: 50}' --set batch.per_class=4"
        " --set steps=60 --set checkpoints=1 --out disk/out --json disk/out/b.json --markdown disk/out/b.md",
        (*ALL, "disk", "writers"),
        of_store,
    ),
    "verify": Case("verify --claims C2,C6 --out disk/out", (*ALL, "disk", "writers"), of_claims),
    "finetune": Case(
        "finetune --set data.name=digits --set 'data.params={limit: 40, test_limit: 20}' --set backbone=small_conv"
        " --set size=16 --set batch.classes=2 --set batch.per_class=4 --set steps=20 --set checkpoints=4"
        " --save-every 2 --workers 1 --out disk/out",
        (*ALL, "kill-worker", "disk", "writers", "clock"),
        of_finetune,
    ),
    "features": Case("data features digits --backbone small_conv", (*ALL, "disk", "writers", "clock"), of_cache),
    "figures": Case("figures fault_figure --out disk/out", (*ALL, "disk", "writers"), of_figures),
}
SCENARIOS = [f"{case}/{fault}" for case, c in CASES.items() for fault in c.faults]


@dataclass
class Trial:
    """One folder with a command that runs in it."""

    case: Case
    folder: Path
    tag: str
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    started: int = 0

    def __post_init__(self) -> None:
        for part in ("disk", "tmp", "clock"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "spec.yaml").write_text(SPEC)
        (self.folder / "plugin.py").write_text(STUDY)
        (self.folder / "clock" / "sitecustomize.py").write_text(CLOCK)

    def start(self, *, earlier: bool = False) -> subprocess.Popen[bytes]:
        """The command, in a session of its own, its errors in a file."""
        self.started += 1
        path = [str(self.folder / "clock")] * earlier + [str(ROOT)]
        environment = {
            **os.environ,
            TAG: self.tag,
            "PYTHONPATH": os.pathsep.join(path),
            "COLLAPSE_PLUGINS": str(self.folder / "plugin.py"),
            "COLLAPSE_CACHE": str(self.folder / "disk" / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        with (self.folder / f"errors{self.started}").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "sim.cli", *shlex.split(self.case.command)],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                # In the background of a shell Ctrl-C is ignored, and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def end(self, process: subprocess.Popen[bytes], *allowed: int) -> None:
        """Wait for a command, and count what it shouldn't have done, unless it was killed (as ``allowed`` says)."""
        number = self.started
        try:
            code = process.wait(timeout=280)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        self.judge(code, number, allowed)

    def judge(self, code: int, number: int, allowed: tuple[int, ...]) -> None:
        """Count a wrong exit code, a traceback, or anything but the one line that belongs to the code."""
        if code not in (0, *allowed):
            self.note("exits", f"exit code {code}")
        if code == -signal.SIGKILL:
            return
        errors = (self.folder / f"errors{number}").read_text().strip()
        if "Traceback" in errors or "Exception ignored" in errors:
            self.note("tracebacks", errors)
        elif errors and not (errors == TOLD or ("\n" not in errors and errors.startswith("error: "))):
            self.note("exits", errors)

    def note(self, what: str, said: str, number: int = 1) -> None:
        self.counts[what] += number
        self.said.append(f"{what}: {said}")

    def processes(self) -> dict[int, str]:
        """Command lines of the processes of this trial that are alive."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{TAG}={self.tag}\0".encode() in (place / "environ").read_bytes():
                    found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def count_left_processes(self) -> None:
        deadline = time.monotonic() + GRACE
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self.note("processes", "; ".join(left.values()), len(left))
            for pid in left:
                os.kill(pid, signal.SIGKILL)

    def count_left_files(self) -> None:
        left = [*self.folder.rglob("*.part"), *self.folder.rglob("*dask*")]
        if left:
            self.note("files", ", ".join(str(p.relative_to(self.folder)) for p in left), len(left))

    def compare(self, right: Results) -> None:
        """Count what is lost, twice there or changed against the undisturbed results."""
        try:
            found = self.case.results(self.folder / "disk")
        except Exception as error:
            self.note("lost", f"nothing can be read: {error!r}", len(right))
            return
        names = Counter(name for name, _ in found)
        values, expected = dict(found), dict(right)
        lost = [name for name in expected if name not in names]
        twice = [name for name, n in names.items() if n > 1]
        changed = [name for name in names if values[name] != expected.get(name)]
        for what, which in (("lost", lost), ("duplicated", twice), ("changed", changed)):
            if which:
                shown = f"{which[0]}: {values.get(which[0])} != {expected.get(which[0])}"
                self.note(what, f"{len(which)} of {len(expected)}, {shown}", len(which))


def listening(process: subprocess.Popen[bytes]) -> bool:
    """Wait until a command has taken over SIGTERM: before that Python itself answers signals. False if it ended."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return True
        time.sleep(0.02)
    return False


def disturb(trial: Trial, fault: str, seconds: float, size: int, rng: random.Random) -> bool:
    """Start a trial's command and do something to it; whether it came before the end."""
    folder, delay = trial.folder, rng.random() * seconds
    if fault == "writers":
        first = trial.start()
        time.sleep(delay / 4)
        second = trial.start()
        for number, process in ((1, first), (2, second)):
            # One of two in the same folder may be refused.
            trial.judge(process.wait(timeout=280), number, (2,))
        return True
    if fault == "disk":
        # Any number of pages below what is needed, none as well: a file holds one more.
        room = PAGE * (1 + rng.randrange(size // PAGE))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", folder / "disk"], check=True)
        (folder / "disk" / "filler").write_bytes(bytes(PAGE))
        trial.end(process := trial.start(), 2)
        (folder / "disk" / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=1g", folder / "disk"], check=True)
        return process.returncode != 0
    process = trial.start()
    if fault in ("kill", "clock"):
        time.sleep(delay)
        process.kill()
        trial.end(process, -signal.SIGKILL)
        hit = process.returncode != 0
        for place in folder.rglob("*") if fault == "clock" else ():
            later = time.time() + 10 * 365 * 86400
            os.utime(place, (later, later))
        return hit
    if fault == "kill-worker":
        time.sleep(delay)
        while process.poll() is None:
            others = [
                pid for pid, line in trial.processes().items() if pid != process.pid and "resource_tracker" not in line
            ]
            if others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(others), signal.SIGKILL)
                trial.end(process, 2)
                return True
            time.sleep(0.02)
        trial.end(process)
        return False
    number, code = {"interrupt": (signal.SIGINT, 130)}.get(fault, (signal.SIGTERM, 143))
    if listening(process):
        time.sleep(delay * 0.9)
    hit = process.poll() is None
    if hit:
        # A terminal sends Ctrl-C to every process; kill sends to one, a batch system to all.
        (os.kill if fault == "terminate" else os.killpg)(process.pid, number)
    trial.end(process, code)
    return hit


def measure(case: Case, folder: Path, tag: str) -> tuple[Results, float, int]:
    """What a command gives undisturbed, how long it takes, and bytes on disk."""
    trial, started = Trial(case, folder, tag), time.monotonic()
    trial.end(trial.start())
    seconds = time.monotonic() - started
    if trial.counts:
        raise RuntimeError(f"{case.command}: {'; '.join(trial.said)}")
    size = sum(p.stat().st_blocks * 512 for p in (folder / "disk").rglob("*") if p.is_file())
    return case.results(folder / "disk"), seconds, size


def run(scenarios: list[str], trials: int, seed: int, folder: Path) -> dict[str, Counter[str]]:
    """The counts of each scenario; folders of trials that went wrong are kept."""
    order = random.Random(seed).sample(scenarios, len(scenarios))
    chosen = Counter(itertools.islice(itertools.cycle(order), trials))
    references: dict[str, tuple[Results, float, int]] = {}
    counts: dict[str, Counter[str]] = {}
    for scenario in filter(chosen.__contains__, scenarios):
        name, fault = scenario.split("/")
        case, total = CASES[name], counts.setdefault(scenario, Counter())
        if name not in references:
            references[name] = measure(case, folder / name, f"{folder.name}-{name}")
        right, seconds, size = references[name]
        for k in range(chosen[scenario]):
            trial = Trial(case, folder / f"{name}-{fault}-{k}", f"{folder.name}-{name}-{fault}-{k}")
            total["trials"] += 1
            total["hit"] += disturb(trial, fault, seconds, size, random.Random(f"{seed} {scenario} {k}"))
            trial.count_left_processes()
            trial.end(trial.start(earlier=fault == "clock"))
            trial.compare(right)
            trial.count_left_files()
            trial.count_left_processes()
            if fault == "disk":
                subprocess.run(["umount", trial.folder / "disk"], check=True)
            for line in trial.said:
                print(f"{trial.folder.name}: {line}", flush=True)
            total.update(trial.counts)
            if not trial.counts:
                shutil.rmtree(trial.folder)
        print(row(scenario, total), flush=True)
    return counts


COUNTED = ("lost", "duplicated", "changed", "processes", "files", "tracebacks", "exits")
COLUMNS = ("trials", "hit", *COUNTED)


def row(name: str, counts: Counter[str]) -> str:
    return f"| {name:29} | " + " | ".join(f"{counts[c]:>{len(c)}}" for c in COLUMNS) + " |"


def namespaces() -> Iterator[list[str]]:
    """Ways to a mount namespace of one's own, where a small disk can be mounted, and goes with the process."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        if shutil.which("unshare") and not subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode:
            yield command


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenarios whose name holds this text: " + ", ".join(SCENARIOS))
    options = parser.parse_args()
    inside = "COLLAPSE_FAULT_DISK" in os.environ
    if not inside and (command := next(namespaces(), None)):
        environment = {**os.environ, "COLLAPSE_FAULT_DISK": "1"}
        os.execvpe(command[0], [*command, sys.executable, "-m", "tests.trust.faults", *sys.argv[1:]], environment)
    scenarios = [s for s in SCENARIOS if options.only in s and (inside or not s.endswith("/disk"))]
    if not inside:
        print("no small disk can be mounted here: the scenarios with a full disk are left out")
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="faults-"))
    counts = run(scenarios, options.trials, options.seed, folder)
    total = sum(counts.values(), Counter())
    print(f"\n| {'scenario':29} | " + " | ".join(COLUMNS) + " |")
    print(f"|{'-' * 31}|" + "|".join("-" * (len(c) + 1) + ":" for c in COLUMNS) + "|")
    for name, found in counts.items():
        print(row(name, found))
    print(row("all", total) + f"\n\n{time.monotonic() - started:,.0f} s")
    if any(total[c] for c in COUNTED):
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
