"""Training many runs at once against the peers that a strong researcher would write, each doing the same work.

    python benchmarks/training.py [--quick] [--cases NAMES] [--no-study] [--csv FILE] [--readme] [--before FOLDER]

Run-steps a second: the number of runs times the steps each makes in a second. A step draws a batch, embeds it, mines, computes the
loss, its gradient, and applies Adam. The peers: a loop over single runs with pytorch-metric-learning, such a loop in a process for
each core, many runs batched by hand and by `torch.func.vmap`, and JAX (extra `benchmarks`). Then memory, the time of a run-step
against that of its products, and a whole study from a cold and a warm start.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

# Run as a file, only its own folder is looked in; worker processes look where this one does.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.peers import limits, readme, rows, study
from benchmarks.peers.cases import BATCHED, CASES, EASY, JAX, LOOP, LOOPS, OURS, RANDOM, VMAP, Case
from benchmarks.peers.rows import COLD, COST, CPU, MEMORY, WALL, WARM, Row
from benchmarks.peers.turns import CORES, Rates, Setup, Team, Worker, jax_on_devices, measure

RECORDED = Path(__file__).resolve().parent.parent / "figures" / "data" / "throughput.csv"
HAS_JAX = importlib.util.find_spec("jax") is not None
console = Console(width=140)
status = console.status("starting processes")


@dataclass(frozen=True)
class Extent:
    """How much is measured: cases, turns and seconds of each, JAX's chunks in the first case, numbers of runs, the study."""

    cases: tuple[str, ...]
    turns: int
    seconds: float
    chunks: tuple[int, ...]
    runs: tuple[int, ...]
    study_runs: int
    study_steps: int


FULL = Extent(tuple(CASES), 5, 0.5, (0, 4, 1), (1, 16, 64, 256, 1024), 256, 1500)
QUICK = Extent(("eps", "all"), 3, 0.2, (4,), (1, 64), 32, 300)
LARGE = 2048
"""A batch that the peers have no memory for."""


class Processes:
    """Where sides run: the one that holds them all, one more for each other core, one with a device a core, one on one core."""

    def __init__(self) -> None:
        self.all = Worker(CORES)
        self.beside = [Worker(CORES) for _ in CORES[1:]]
        self.devices = Worker(CORES, jax_on_devices(len(CORES)))
        self.single = Worker(CORES[:1])

    def end(self) -> None:
        """End them."""
        for worker in (self.all, *self.beside, self.devices, self.single):
            worker.end()

    def teams(self, side: str, case: Case, runs: int, chunks: tuple[int, ...]) -> list[Team]:
        """Ways to run a side on all cores."""
        if side == LOOPS:
            return [Team(side, (self.all, *self.beside), Setup(LOOP, case, 1))]
        if side == JAX:
            fitting = sorted({c if c < runs else 0 for c in chunks})
            alone = [Team(side, (self.all,), Setup(side, case, runs, chunk=c)) for c in fitting]
            if runs % len(CORES) or runs < 2 * len(CORES):
                return alone
            shared = Setup(side, case, runs, devices=len(CORES))
            return alone + [Team(side, (self.devices,), replace(shared, chunk=c)) for c in fitting]
        threads = sorted({1, len(CORES)})
        setups = [Setup(side, case, 1 if side == LOOP else runs, threads=t) for t in threads]
        if side in (BATCHED, VMAP):
            chunked = (0, 16) if case is CASES["eps"] else (16,)
            setups = [replace(s, chunk=c) for s in setups for c in sorted({c if c < runs else 0 for c in chunked})]
        return [Team(side, (self.all,), s) for s in setups]

    def alone(self, team: Team) -> Team:
        """The same on one core, in one thread and on one device."""
        return Team(team.name, (self.single,), replace(team.setup, threads=1, devices=1))


def sides_of(case: Case) -> tuple[str, ...]:
    """Who takes part: `torch.func` in the first case only, in which it shows how it does; no array of 512 cubed a run is built by hand."""
    if case is CASES["hard"]:
        return OURS, LOOP, LOOPS
    stacked = (BATCHED, VMAP) if case is CASES["eps"] else (BATCHED,) if case.batch == 64 else ()
    return (OURS, LOOP, LOOPS, *stacked, *((JAX,) if HAS_JAX else ()))


def speed(processes: Processes, extent: Extent, case: Case) -> tuple[list[Row], dict[str, Rates]]:
    """All sides on all cores, then on one."""
    chunks = extent.chunks if case is CASES["eps"] else (4,)
    teams = {side: processes.teams(side, case, case.runs, chunks) for side in sides_of(case)}
    wall = measure(teams, turns=extent.turns, seconds=extent.seconds, clock="wall", say=status.update)
    alone = {name: [processes.alone(found.team)] for name, found in wall.items() if name != LOOPS}
    cpu = measure(alone, turns=3, seconds=extent.seconds, clock="cpu", say=status.update)
    found = rows.of_rates("speed", case, wall, WALL) + rows.of_rates("speed", case, cpu, CPU)
    return found, wall


def scaling(processes: Processes, extent: Extent, best: dict[str, Rates]) -> Iterator[Row]:
    """The first case with other numbers of runs: rates and memory."""
    case = CASES["eps"]
    for runs in extent.runs:
        teams = {
            name: [replace(found.team, setup=replace(found.team.setup, runs=runs))]
            for name, found in best.items()
            if name in (OURS, BATCHED, JAX)
        }
        if JAX in teams and teams[JAX][0].setup.devices > runs:
            teams[JAX] = [Team(JAX, (processes.all,), replace(teams[JAX][0].setup, devices=1))]
        rates = measure(teams, turns=3, seconds=extent.seconds, clock="wall", say=status.update, checked=False)
        yield from rows.of_rates("scaling", case, rates, WALL)
        for name, (team, *_) in teams.items() if runs in (1, max(extent.runs)) else ():
            setup = replace(team.setup, devices=1)
            yield Row("memory", case.title, case.batch, runs, name, str(setup), MEMORY, limits.peak(setup))


def growth(processes: Processes, extent: Extent) -> Iterator[Row]:
    """This package's rate with other batches, widths and threads."""
    case = CASES["eps"]
    settings = {
        **{f"batch {b} ({8192 // b} runs)": Setup(OURS, replace(case, batch=b), 8192 // b, len(CORES)) for b in (16, 256, 1024)},
        **{f"width {w} (64 runs)": Setup(OURS, replace(case, width=w), 64, len(CORES)) for w in (16, 64, 256)},
        **{f"{t} threads (256 runs)": Setup(OURS, case, 256, t) for t in sorted({1, len(CORES)})},
    }  # fmt: skip
    for name, setup in settings.items():
        rates = measure(
            {OURS: [Team(OURS, (processes.all,), setup)]},
            turns=3,
            seconds=extent.seconds,
            clock="wall",
            say=status.update,
        )
        yield Row("growth", case.title, setup.case.batch, setup.runs, OURS, name, WALL, rates[OURS].median)


def easy(processes: Processes, extent: Extent) -> list[Row]:
    """What easy positives cost over random ones."""
    teams = {
        name: [Team(name, (processes.all,), Setup(OURS, case, 256, threads=t)) for t in sorted({1, len(CORES)})]
        for name, case in ((OURS, RANDOM), ("easy", EASY))
    }
    found = measure(teams, turns=extent.turns, seconds=extent.seconds, clock="cpu", say=status.update, checked=False)
    return [replace(row, side="ours") for row in rows.of_rates("easy", EASY, found, CPU)]


def memory_at_512() -> Iterator[Row]:
    """One step of one run with all triplets."""
    case = CASES["all512"]
    ours = limits.peak(Setup(OURS, case, 1))
    yield Row("memory", case.title, case.batch, 1, OURS, "1 thread", MEMORY, ours)
    loop = limits.peak(Setup(LOOP, case, 1))
    yield Row("memory", case.title, case.batch, 1, LOOP, "1 thread", MEMORY, loop, loop / ours, aim=100)
    larger = replace(case, batch=LARGE)
    yield Row("memory", f"{case.title}, batch {LARGE}", LARGE, 1, OURS, "1 thread", MEMORY, limits.peak(Setup(OURS, larger, 1)))  # fmt: skip


def cost(processes: Processes, extent: Extent) -> Iterator[Row]:
    """A run-step's time against that of its products."""
    for case in (CASES[name] for name in extent.cases):
        for name, value in processes.single.ask(limits.shares, case, case.runs).result().items():
            yield Row("cost", f"{case.title}, batch {case.batch}", case.batch, case.runs, name, "1 core", COST, value)


def studies(extent: Extent, best: dict[str, Rates], before: Path | None) -> Iterator[Row]:
    """From the start of a command to all rows, cold and warm."""
    runs, steps = extent.study_runs, extent.study_steps
    sides = {OURS: (OURS, 0, study.ROOT, "collapse train")}
    if before is not None:
        sides["before"] = OURS, 0, before, "collapse train of an earlier version"
    sides[LOOP] = LOOP, 0, study.ROOT, f"{len(CORES)} processes"
    if JAX in best:
        sides[JAX] = JAX, best[JAX].team.setup.chunk, study.ROOT, str(replace(best[JAX].team.setup, devices=1))
    ours: dict[str, float] = {}
    for name, (side, chunk, root, setting) in sides.items():
        with tempfile.TemporaryDirectory() as caches:
            # A loop has nothing to keep for the next start.
            for measure_ in (COLD,) if side == LOOP else (COLD, WARM):
                value = study.seconds(side, runs, steps, Path(caches), chunk=chunk, root=root)
                ours.setdefault(measure_, value)
                ratio = None if name == OURS else value / ours[measure_]
                aim = 4.0 if name == "before" and measure_ == WARM else None
                yield Row("study", f"{runs} runs x {steps:,} steps", 64, runs, name, setting, measure_, value, ratio, aim=aim)  # fmt: skip


def show(title: str, found: list[Row]) -> None:
    """Print rows as a table."""
    table = Table(title=title)
    names = ("runs", "side", "setting", "measure", "value", "ratio", "least", "most", "aim")
    for name in names:
        table.add_column(name, justify="left" if name in ("side", "setting", "measure") else "right")
    for row in found:
        cells = [getattr(row, name) for name in names]
        table.add_row(*["" if c is None else readme.number(c) if isinstance(c, float) else str(c) for c in cells])
    console.print(table)


def _measured(given: list[str]) -> list[str]:
    """The options that say what is measured, without places."""
    kept = [word for k, word in enumerate(given) if {word, given[k - 1] if k else ""}.isdisjoint({"--csv", "--before"})]
    return [word for word in kept if not word.startswith(("--csv=", "--before="))]


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases, short turns, a small study")
    parser.add_argument("--cases", help=f"these instead, with commas: {', '.join(CASES)}")
    parser.add_argument("--no-study", action="store_true", help="leave out the whole study at the end")
    parser.add_argument("--csv", type=Path, help="also write the rows to this file")
    parser.add_argument("--readme", action="store_true", help="only write README's section from the recorded rows")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, whose study is timed too")
    arguments = parser.parse_args()
    if arguments.readme:
        readme.rewrite(study.ROOT / "README.md", *rows.read(RECORDED))
        return
    extent, found, best = QUICK if arguments.quick else FULL, list[Row](), dict[str, Rates]()
    if arguments.cases:
        if unknown := set(arguments.cases.split(",")) - set(CASES):
            parser.error(f"--cases: got {', '.join(sorted(unknown))}; allowed: {', '.join(CASES)}")
        extent = replace(extent, cases=tuple(arguments.cases.split(",")))
    about = rows.header(shlex.join(["python", "benchmarks/training.py", *_measured(sys.argv[1:])]))

    def done(title: str, more: list[Row]) -> None:
        found.extend(more)
        show(title, more)
        if arguments.csv:
            rows.write(arguments.csv, found, about)

    status.start()
    processes = Processes()
    try:
        for case in (CASES[name] for name in extent.cases):
            more, rates = speed(processes, extent, case)
            best = best or rates
            done(f"{case.title}, batch {case.batch}", more)
        done("numbers of runs", list(scaling(processes, extent, best)))
        done("other sizes", list(growth(processes, extent)))
        done("easy against random positives", easy(processes, extent))
        done("time of a run-step", list(cost(processes, extent)))
    finally:
        processes.end()
    status.update("memory of one step")
    done("memory of one step", list(memory_at_512()))
    if not arguments.no_study:
        status.update("a whole study")
        done("a whole study", list(studies(extent, best, arguments.before)))
    status.stop()


if __name__ == "__main__":
    main()
