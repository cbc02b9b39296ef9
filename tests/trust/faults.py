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
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.trust.cases import CASES, SPEC, STUDY, Case
from tests.trust.results import Results

ROOT = Path(__file__).parents[2]
TAG = "COLLAPSE_FAULT_TRIAL"
PAGE = 4096
GRACE = 60.0
"""Seconds that processes have to end after the one they belong to."""

PROGRESS = re.compile(r"^.*: [\d,]+ of [\d,]+ [a-z-]+ after [\d,]+ s$", re.MULTILINE)
"""What long work says once a minute."""

TOLD = "interrupted; what is finished is kept, and the same command goes on from there"

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
#define BACK (10L * 365 * 86400)
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec -= BACK;
    return failed;
}
time_t time(time_t *now) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return now ? (*now = t.tv_sec) : t.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(now, zone);
    now->tv_sec -= BACK;
    return failed;
}
"""
"""Loaded before the C library in every process of a run: the system's own clock is everybody's."""


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
        for part in ("disk", "tmp"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "spec.yaml").write_text(SPEC)
        (self.folder / "plugin.py").write_text(STUDY)

    def start(self, *, earlier: bool = False) -> subprocess.Popen[bytes]:
        """The command, in a session of its own, its errors in a file."""
        self.started += 1
        environment = {
            **os.environ,
            TAG: self.tag,
            "PYTHONPATH": str(ROOT),
            "COLLAPSE_PLUGINS": str(self.folder / "plugin.py"),
            "COLLAPSE_CACHE": str(self.folder / "disk" / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            **({"LD_PRELOAD": str(earlier_clock(self.folder))} if earlier else {}),
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
        """Wait for the command that was started last, and `judge` it."""
        try:
            code = process.wait(timeout=280)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        self.judge(code, self.started, allowed)

    def judge(self, code: int, number: int, allowed: tuple[int, ...]) -> None:
        """Count another exit code than 0 or those allowed, a traceback, and more than one line; who was killed may say all."""
        if code not in (0, *allowed):
            self.note("exits", f"exit code {code}")
        if code == -signal.SIGKILL:
            return
        errors = PROGRESS.sub("", (self.folder / f"errors{number}").read_text()).strip()
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


def earlier_clock(folder: Path) -> Path:
    """A library that sets the clock back."""
    place = folder / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", place, "-ldl"], input=CLOCK.encode(), check=True)
    return place


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
            running = trial.processes().items()
            if others := [pid for pid, line in running if pid != process.pid and "resource_tracker" not in line]:
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
    # Python gives signals back while it ends, after all work; a shell sees the same code.
    trial.end(process, code, -number)
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


def own_mounts() -> list[str] | None:
    """The start of a command that may mount a small disk, which goes with the process; None if that can't be had."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        if shutil.which("unshare") and not subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode:
            return command
    return None


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenarios whose name holds this text: " + ", ".join(SCENARIOS))
    options = parser.parse_args()
    inside = "COLLAPSE_FAULT_DISK" in os.environ
    if not inside and (command := own_mounts()):
        environment = {**os.environ, "COLLAPSE_FAULT_DISK": "1"}
        os.execvpe(command[0], [*command, sys.executable, "-m", "tests.trust.faults", *sys.argv[1:]], environment)
    lacking = {"disk": not inside, "clock": not shutil.which("cc")}
    scenarios = [s for s in SCENARIOS if options.only in s and not lacking.get(s.split("/")[1])]
    for fault in filter(lacking.get, lacking):
        print(f"scenarios left out: {fault} (needs unshare and mount for a disk, a C compiler for a clock)")
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
