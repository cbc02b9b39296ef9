"""The command line: ``collapse train | finetune | sweep | results | verify | reproduce | figures | bench | data | explore``."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml
from rich.console import Console
from rich.table import Table

from realdata import commands as data_commands
from sim.catalogue import EXECUTORS, STUDIES
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput, choice, integer
from sim.files import writable_folder
from sim.progress import progress
from sim.studies import FACTORS, PROFILES, final, table
from sim.sweeps import spec
from sim.sweeps import store as stores
from sim.sweeps.execute import execute
from sim.sweeps.executors import Resources
from sim.sweeps.grid import grid
from sim.sweeps.store import Store
from sim.verdict import Finding, in_words

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Class collapse in metric learning under label noise, and easy positive sampling: theory-validation simulations.",
)
app.add_typer(data_commands.app, name="data")
console = Console()

Out = Annotated[Path, typer.Option("--out", help="Folder for results; finished runs in it are not repeated.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, or cuda:N.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures printed to this JSON file.")]
Profile = Annotated[
    str, typer.Option("--profile", help="quick (4 minutes) or full (more losses, levels, seeds and steps; about 45).")
]
SeedOption = Annotated[int, typer.Option("--seed", help="First seed.")]
Seeds = Annotated[int, typer.Option("--seeds", help="Number of seeds.")]

DEFAULT_OUT = Path("results")
CLAIMS_FILE = "claims.json"


def _check_device(device: str) -> str:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise InvalidInput(
            "device", device, "cpu" + (", cuda" if torch.cuda.is_available() else " (no CUDA device is here)")
        )
    return device


def _check_seeds(first: int, number: int) -> range:
    integer("seed", first, 0)
    return range(first, first + integer("seeds", number, 1))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _levels(text: str) -> list[float]:
    try:
        return [float(part) for part in _split(text)]
    except ValueError:
        raise InvalidInput("noise", text, "numbers separated by commas, each 0 <= noise < 1") from None


def _run(
    configs: Sequence[RunConfig],
    store: Store,
    device: str,
    label: str,
    *,
    executor: str = "local",
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    resources = Resources(device, workers, scheduler)
    try:
        with progress(label, console) as (on_start, on_steps):
            execute(configs, store, executor=executor, resources=resources, on_start=on_start, on_steps=on_steps)
    except KeyboardInterrupt:
        print("interrupted; finished runs are kept and will not be repeated", file=sys.stderr)
        raise typer.Exit(130) from None


def _write_json(place: Path | None, value: Any) -> None:
    if place is not None:
        writable_folder(place.parent, "json")
        place.write_text(json.dumps(value, indent=2, default=_finite) + "\n")


def _finite(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _records(frame: Any) -> list[dict[str, Any]]:
    """Rows as JSON-ready dictionaries; NaN becomes null."""
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def _print_table(title: str, frame: Any) -> None:
    shown = Table(title=title)
    for column in frame.columns:
        shown.add_column(str(column), no_wrap=True, justify="left" if frame[column].dtype == object else "right")
    for row in frame.itertuples(index=False):
        shown.add_row(*[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row])
    # A table wider than the terminal would lose columns: let lines wrap instead.
    wide = Console(width=max(console.width, 200)) if not console.is_terminal else console
    wide.print(shown)


def _print_words(findings: Sequence[Finding]) -> None:
    """What was confirmed and what wasn't, a sentence a claim."""
    for sentence in in_words(findings):
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)


def _finished(results: Any, split: str) -> Any:
    """The last rows of the runs that finished, of which there must be one."""
    last = final(results, split)
    if last.empty:
        raise InvalidInput(
            "run", results["key"].iloc[0], "at least one run whose loss stays finite (lower optimizer.lr?)"
        )
    return last


def _report_diverged(results: Any) -> None:
    for _, run in results[results["status"] == "diverged"].drop_duplicates("key").iterrows():
        console.print(
            f"run {run['key']} (seed {run['seed']}, noise {run['noise.level']:g}) diverged by step {run['diverged_at']:g}: "
            "its loss is not finite; the other runs are unharmed",
            style="yellow",
        )


@app.command()
def train(
    config: Annotated[Path | None, typer.Option("--config", help="YAML file with a run's fields.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A field by dotted name, e.g. noise.level=0.2; repeatable.")
    ] = None,
    seed: SeedOption = 0,
    seeds: Seeds = 1,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Train one configuration with one or more seeds and print its collapse metrics."""

    configs = grid(_fields_given(config, set_), {"seed": _check_seeds(seed, seeds)})
    store = Store(out / "store")
    _run(configs, store, _check_device(device), "train")
    results = store.load(configs)
    _report_diverged(results)
    last = _finished(results, configs[0].evaluate[-1])
    _print_metrics(last, f"{len(last)} of {len(configs)} runs, 95 % interval over seeds")
    console.print(f"results: {store.folder}")
    _write_json(json_file, _records(last))


def _fields_given(config: Path | None, assignments: Sequence[str] | None) -> dict[str, Any]:
    """What a YAML file and assignments on top of it say, but for the seed."""
    given: dict[str, Any] = {}
    if config is not None:
        given.update(_read_yaml(config))
    given.update(_assignment(text) for text in assignments or [])
    given.pop("seed", None)
    return given


def _print_metrics(last: Any, title: str) -> None:
    """Mean and interval over runs of one configuration, a metric a line."""
    metrics = [c for c in last.columns[last.columns.get_loc("loss") :] if last[c].notna().any()]
    summary = table(last, metrics, ["loss.name", "positive", "negative", "noise.level"])
    lines = [(m, f"{summary[m][0]:.4g}", *(f"{summary[f'{m}_{s}'][0]:.4g}" for s in ("low", "high"))) for m in metrics]
    shown = Table("metric", "mean", "low", "high", title=title)
    for line in lines:
        shown.add_row(*line)
    console.print(shown)


@app.command()
def finetune(
    config: Annotated[Path | None, typer.Option("--config", help="YAML file with the run's fields.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A field by dotted name, e.g. data.name=cars196; repeatable.")
    ] = None,
    seed: SeedOption = 0,
    device: Device = "cpu",
    chunk: Annotated[
        int, typer.Option("--chunk", help="Images that go through the net at once; only memory depends on it.")
    ] = 64,
    workers: Annotated[int, typer.Option("--workers", help="Processes that read images; 0: this one.")] = 0,
    save_every: Annotated[int, typer.Option("--save-every", help="Steps between two checkpoints on disk.")] = 100,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Train a backbone end to end on a real data set; a run that was killed goes on from its last checkpoint."""
    from realdata import finetune as tuning

    values = dotted({**_fields_given(config, set_), "seed": _check_seeds(seed, 1)[0]})
    chosen = parse(tuning.FineTune, values).check()
    resources = tuning.Resources(_check_device(device), chunk, workers, save_every)
    store, folder = Store(out / "store"), out / "finetune" / chosen.key()
    if not store.finished([chosen.key()]):
        started = time.perf_counter()
        try:
            with progress("finetune", console, unit="steps") as (on_start, on_steps):
                result = tuning.finetune(chosen, folder, resources, on_start=on_start, on_steps=on_steps)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
            raise typer.Exit(130) from None
        store.add([result], time.perf_counter() - started)
    (folder / tuning.CHECKPOINT).unlink(missing_ok=True)
    results = store.load([chosen])
    _report_diverged(results)
    last = _finished(results, chosen.evaluate[-1])
    _print_metrics(last, f"{chosen.backbone} on {chosen.data.name}, step {chosen.steps}, split {chosen.evaluate[-1]}")
    console.print(f"weights: {folder / tuning.WEIGHTS}\nresults: {store.folder}", soft_wrap=True)
    _write_json(json_file, _records(last))


def _read_yaml(place: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(place.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("config", str(place), f"a readable YAML file ({error})") from None
    except yaml.YAMLError as error:
        raise InvalidInput("config", str(place), f"valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InvalidInput("config", str(place), "a mapping from fields to values")
    return values


@app.command()
def sweep(
    specification: Annotated[
        str, typer.Argument(metavar="SPEC", help="YAML file, or the name of a shipped specification.")
    ] = "",
    executor: Annotated[str, typer.Option("--executor", help="local, processes or dask.")] = "processes",
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes; one a core if not given.")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a dask scheduler; a cluster on this machine if not given."),
    ] = None,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write one row a run (last checkpoint), and the command, to this file.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the shipped specifications and leave.")] = False,
) -> None:
    """Train every run of a specification that the store doesn't hold yet, and print the table."""

    if list_:
        for name in spec.shipped():
            console.print(f"{name}: {len(spec.load(name))} runs")
        return
    EXECUTORS[executor]
    configs = spec.load(specification)
    store = Store(out / "store")
    missing = len(configs) - len(store.finished(c.key() for c in configs))
    console.print(f"{len(configs)} runs, {len(configs) - missing} of them in {store.folder}")
    name = Path(specification).stem
    _run(configs, store, _check_device(device), name, executor=executor, workers=workers, scheduler=scheduler)
    results = store.load(configs)
    _report_diverged(results)
    last = _finished(results, configs[0].evaluate[-1])
    varied = [c for c in _fields(last) if c != "seed" and last[c].nunique(dropna=False) > 1]
    summary = table(last, [m for m in SWEEP_METRICS if m in last], varied or ["data.name"])
    _print_means(f"{name}: mean over seeds", summary)
    _write_json(json_file, _records(summary))
    if csv is not None:
        writable_folder(csv.parent, "csv")
        rows = last[
            [*FACTORS, "seed", *(m for m in last.columns[last.columns.get_loc("loss") :] if last[m].notna().any())]
        ]
        text = rows.sort_values([*FACTORS, "seed"]).to_csv(index=False, float_format="%.5g", lineterminator="\n")
        csv.write_text(f"# collapse sweep {specification} --csv {csv.name}\n{text}")


SWEEP_METRICS = ("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1")


def _print_means(title: str, summary: Any) -> None:
    _print_table(title, summary.drop(columns=summary.filter(regex="_(low|high)$").columns))


def _fields(results: Any) -> list[str]:
    """The columns that hold the runs' configurations."""
    return [c for c in results.columns if c.split(".")[0] in RunConfig.model_fields]


@app.command()
def results(
    query: Annotated[
        str | None,
        typer.Option("--query", help="Condition on columns, e.g. 'loss.name == \"triplet\" and noise.level > 0.1'."),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the rows to this Parquet file.")] = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Show what the store holds: one row a run, checkpoint and split, to look at or to take elsewhere."""
    rows = stores.load(out / "store", query)
    if rows.empty:
        console.print("no rows" + ("" if query is None else f" for which {query}"), markup=False)
        return
    if csv is not None:
        writable_folder(csv.parent, "csv")
        rows.to_csv(csv, index=False)
    if parquet is not None:
        writable_folder(parquet.parent, "parquet")
        try:
            rows.to_parquet(parquet, index=False)
        except ImportError:
            raise InvalidInput(
                "parquet", str(parquet), "--csv, or install the extra: class-collapse[parquet]"
            ) from None
    _write_json(json_file, _records(rows))
    status = rows.drop_duplicates("key")["status"].value_counts()
    counts = ", ".join(f"{n} {name}" for name, n in status.items())
    console.print(f"{rows['key'].nunique()} runs ({counts}), {len(rows)} rows, {len(rows.columns)} columns")
    varied = [c for c in _fields(rows) if c != "seed" and rows[c].nunique(dropna=False) > 1]
    if not {"split", "step"} <= set(rows.columns):
        return
    last = rows[rows["step"] == rows.groupby("key")["step"].transform("max")]
    factors = ["split", *varied]
    summary = table(last, [m for m in SWEEP_METRICS if m in last], factors)
    _print_means("mean over seeds, last checkpoint", summary)


@app.command()
def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Figures to draw; all if none is named.")] = None,
    profile: Profile = "quick",
    seed: SeedOption = 0,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    list_: Annotated[bool, typer.Option("--list", help="List the figures and leave.")] = False,
) -> None:
    """Draw figures (PDF and PNG) from the store; runs that are missing are trained first."""
    from figures.render import render
    from sim.catalogue import FIGURES

    if list_:
        for name in FIGURES:
            console.print(f"{name}: {FIGURES[name].title} (study: {FIGURES[name].study})")
        return
    choice("profile", profile, PROFILES)
    _check_device(device)
    chosen = names or list(FIGURES)
    needed = {FIGURES[name].study for name in chosen} - {None}
    store = Store(out / "store")
    for study in sorted(s for s in needed if s is not None):
        _run(STUDIES[study].runs(profile, seed), store, device, study)
    for name in chosen:
        for place in render(name, store, profile, out / "figures", seed):
            console.print(str(place))


@app.command()
def bench(
    dataset: Annotated[str, typer.Option("--dataset", help="A data set, or a generator.")] = "digits",
    losses: Annotated[str, typer.Option("--losses", help="Comma-separated losses.")] = "triplet,margin",
    positives: Annotated[str, typer.Option("--positives", help="Comma-separated positive policies.")] = "random,easy",
    negatives: Annotated[
        str, typer.Option("--negatives", help="Comma-separated negative policies; none: each loss's published one.")
    ] = "",
    noise: Annotated[
        str, typer.Option("--noise", help="Comma-separated levels of symmetric label noise, each in [0, 1).")
    ] = "0,0.1,0.2,0.3",
    seed: SeedOption = 0,
    seeds: Seeds = 10,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A field by dotted name, on top of the benchmark's settings.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write tables and paired differences to this Markdown file.")
    ] = None,
    latex: Annotated[Path | None, typer.Option("--latex", help="The same in LaTeX (booktabs).")] = None,
    retrieval: Annotated[
        Path | None,
        typer.Option(
            "--retrieval",
            help="Draw queries and their nearest neighbours (PDF or PNG): first loss, first two positives, highest noise.",
        ),
    ] = None,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Benchmark losses and samplers on a data set: trained on noisy coarse labels, retrieved by fine ones."""
    from figures.report import readable
    from figures.retrieval import write_gallery
    from realdata import benchmark, tables

    settings = dict(_assignment(text) for text in set_ or [])
    configs = benchmark.configs(
        dataset,
        losses=_split(losses),
        positives=_split(positives),
        negatives=_split(negatives) or None,
        noise=_levels(noise),
        seeds=len(_check_seeds(seed, seeds)),
        first_seed=seed,
        settings=settings,
    )
    store = Store(out / "store")
    _run(configs, store, _check_device(device), f"bench {dataset}")
    results = store.load(configs)
    _report_diverged(results)
    last = _finished(results, configs[0].evaluate[-1])
    summary = table(last, benchmark.TABLE_METRICS)
    _print_table(
        f"{dataset}: mean ± half of the 95 % interval over {seeds} seeds", readable(summary, benchmark.TABLE_METRICS)
    )
    findings = benchmark.findings(last)
    _print_words(findings)
    for place, form in ((markdown, "markdown"), (latex, "latex")):
        if place is not None:
            writable_folder(place.parent, form)
            place.write_text(tables.document(last, dataset, form))
    if retrieval is not None:
        writable_folder(retrieval.parent, "retrieval")
        of_first = [c for c in configs if (c.loss.name, c.seed) == (configs[0].loss.name, seed)]
        noisiest = max(c.noise.level for c in of_first)
        write_gallery([c for c in of_first if c.noise.level == noisiest][:2], store, retrieval)
    _write_json(json_file, {"table": _records(summary), "findings": [asdict(f) for f in findings]})


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput("--set", text, "field=value")
    return name, yaml.safe_load(value)


def _kept_claims(out: Path) -> list[dict[str, Any]]:
    """What `verify` last found, claim by claim; nothing where it hasn't run."""
    place = out / CLAIMS_FILE
    if not place.exists():
        return []
    try:
        return list(json.loads(place.read_text()))
    except (OSError, ValueError) as error:
        raise InvalidInput("out", str(place), f"claims as written by collapse verify ({error})") from None


@app.command()
def verify(
    claims: Annotated[
        str, typer.Option("--claims", help="Comma-separated claims, e.g. C3,C7; all if none is named.")
    ] = "",
    size: Annotated[
        str, typer.Option("--size", help="quick (minutes) or full (more restarts, cases and seeds).")
    ] = "quick",
    seed: SeedOption = 0,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Check the theory's claims and keep the verdicts for the report; exit code 1 if a verdict, or a counter-example's, is not the documented one."""
    from sim.catalogue import CLAIMS
    from sim.theory.claims import Setting, report

    choice("size", size, ("quick", "full"))
    setting = Setting(size, integer("seed", seed, 0), _check_device(device))
    chosen = _split(claims) or list(CLAIMS)
    for name in chosen:
        CLAIMS[name]
    shown = Table(
        "claim", "hypotheses", "bound", "best", "verdict", "counter-example", "s", title=f"claims, size {size}"
    )
    reports = []
    with progress("verify", console, unit="claims") as (on_start, on_steps):
        on_start(len(chosen))
        for name in chosen:
            started = time.perf_counter()
            reports.append({**report(name, CLAIMS[name].check(setting)), "seconds": time.perf_counter() - started})
            on_steps(1)
    for r in reports:
        counter = r["counter_example"]
        met = "met" if all(r["hypotheses"].values()) else "not met"
        numbers = ["" if r[k] is None else f"{r[k]:.6g}" for k in ("bound", "best")]
        flip = (
            f"{counter['verdict']}: {counter['setting']}"
            if counter["flipped"]
            else f"NOT FLIPPED: {counter['setting']}"
        )
        shown.add_row(f"{r['id']} {r['title']}", met, *numbers, r["verdict"], flip, f"{r['seconds']:.1f}")
    (console if console.is_terminal else Console(width=160)).print(shown)
    _write_json(json_file, reports)
    kept = {r["id"]: r for r in _kept_claims(out)} | {r["id"]: {**r, **asdict(setting)} for r in reports}
    _write_json(out / CLAIMS_FILE, [kept[name] for name in CLAIMS if name in kept])
    wrong = [r["id"] for r in reports if r["verdict"] != r["documented"] or not r["counter_example"]["flipped"]]
    if wrong:
        print(f"not as documented: {', '.join(wrong)}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def report(
    profile: Profile = "quick",
    seed: SeedOption = 0,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Write the report from what the store holds; `reproduce` makes what is missing first."""

    choice("profile", profile, PROFILES)
    store = Store(out / "store")
    for name in STUDIES:
        runs = STUDIES[name].runs(profile, integer("seed", seed, 0))
        keys = {c.key() for c in runs}
        missing = len(keys - store.finished(keys))
        if missing:
            raise InvalidInput(
                "out",
                str(out),
                f"a folder with all runs of {name} ({missing} are missing: collapse reproduce makes them)",
            )
    _report(profile, seed, store, out, json_file)


@app.command()
def reproduce(
    profile: Profile = "quick",
    seed: SeedOption = 0,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Run every study, draw every figure, and write the report."""

    choice("profile", profile, PROFILES)
    _check_device(device)
    store = Store(out / "store")
    for name in STUDIES:
        console.print(f"[bold]{name}[/bold]: {STUDIES[name].title}", soft_wrap=True)
        runs = STUDIES[name].runs(profile, integer("seed", seed, 0))
        _run(runs, store, device, name)
        _report_diverged(store.load(runs))
    _report(profile, seed, store, out, json_file)


def _report(profile: str, seed: int, store: Store, out: Path, json_file: Path | None) -> None:
    """Tables, figures and the report of stored studies, and what they came to in words."""
    from figures.render import render
    from figures.report import conclude, write_report, write_tables
    from sim.catalogue import FIGURES

    outcomes = [conclude(name, store, profile, seed) for name in STUDIES]
    for outcome in outcomes:
        write_tables(outcome, out / "tables")
    pictures = {name: render(name, store, profile, out / "figures", seed)[1] for name in FIGURES}
    command = f"collapse reproduce --profile {profile} --seed {seed}"
    write_report(outcomes, pictures, out / "report.html", profile=profile, command=command, claims=_kept_claims(out))
    for outcome in outcomes:
        console.print(f"\n[bold]{STUDIES[outcome.name].title}[/bold]")
        _print_words(outcome.findings)
    console.print(
        f"\nreport:  {out / 'report.html'}\nfigures: {out / 'figures'}\ntables:  {out / 'tables'}", soft_wrap=True
    )
    _write_json(json_file, [{"study": o.name, **asdict(f)} for o in outcomes for f in o.findings])


@app.command()
def explore(
    port: Annotated[
        int | None, typer.Option("--port", help="Port on this machine; if not given, the first free one from 8765 on.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Start with a preset; --preset list shows them.")] = "",
    state: Annotated[str, typer.Option("--state", help="Start with a shared state (the address after #).")] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    animation: Annotated[
        Path | None, typer.Option("--animation", help="No page: film a run of 1,380 steps to this GIF or WebP file.")
    ] = None,
    out: Out = DEFAULT_OUT,
) -> None:
    """Explore noise levels live: a page on this machine, beside what the theory says and what --out holds."""
    from sim.catalogue import PRESETS
    from sim.explore.engine import Engine
    from sim.explore.page import serve
    from sim.explore.picture import animate
    from sim.explore.state import State, read

    if preset == "list":
        for name in PRESETS:
            console.print(name, highlight=False)
        return
    chosen = read(state)
    if preset:
        choice("preset", preset, PRESETS)
        chosen = State().with_(PRESETS[preset])
    if animation is not None:
        writable_folder(animation.parent, "animation")
        animate(Engine(chosen), animation)
        console.print(str(animation), soft_wrap=True)
        return
    try:
        serve(
            out / "store",
            port=port,
            query=chosen.query(),
            browser=browser,
            on_ready=lambda address: console.print(
                f"explorer: {address}  (Ctrl-C ends it)", soft_wrap=True, highlight=False
            ),
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def main() -> None:
    """Run the command line; a user's error is one line and exit code 2."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        app()
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
