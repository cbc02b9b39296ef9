"""``collapse bench``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sim.catalogue import COMMANDS, FIGURES
from sim.cli.options import (
    DEFAULT_OUT,
    Device,
    FirstSeed,
    Json,
    Out,
    Seeds,
    Set,
    Workers,
    assignment,
    checked_device,
    checked_seeds,
    levels,
    parts,
    written,
)
from sim.cli.output import finished, records, say, show_findings, show_rows, write_json
from sim.cli.training import each_loss_once, train_missing
from sim.files import write_text


@COMMANDS.register("bench")
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
    seed: FirstSeed = 0,
    seeds: Seeds = 10,
    set_: Set = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", callback=written, help="Write tables and paired differences to this Markdown file."),
    ] = None,
    latex: Annotated[
        Path | None, typer.Option("--latex", callback=written, help="The same in LaTeX (booktabs).")
    ] = None,
    retrieval: Annotated[
        Path | None,
        typer.Option(
            "--retrieval",
            callback=written,
            help="Draw queries and their nearest neighbours (PDF or PNG): first loss, first two positives, highest noise.",
        ),
    ] = None,
    floors: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Floor and ceiling: the input, its principal components, the untrained net; nets trained on the fine labels without noise.",
        ),
    ] = True,
    device: Device = "cpu",
    workers: Workers = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Benchmark losses and samplers on a data set: trained on noisy coarse labels, retrieved by fine ones."""
    from realdata import benchmark
    from sim import baselines, tables
    from sim.effective_noise import in_words
    from sim.studies import final, table
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store
    from sim.verdict import decide

    asked = benchmark.configs(
        dataset,
        losses=parts(losses),
        positives=parts(positives),
        negatives=parts(negatives) or None,
        noise=levels(noise),
        seeds=len(checked_seeds(seed, seeds)),
        first_seed=seed,
        settings=dict(assignment(text) for text in set_ or []),
    )
    configs = each_loss_once(asked)
    resources = Resources(checked_device(device), workers)
    store = Store(out / "store")
    results = train_missing(configs, store, f"bench {dataset}", resources)
    last = finished(results, configs[0].evaluate[-1])
    summary = table(last, benchmark.TABLE_METRICS)
    title = f"{dataset}: mean ± half of the 95 % interval over {seeds} seeds"
    show_rows(title, tables.readable(summary, benchmark.TABLE_METRICS))
    findings, beside = benchmark.findings(last), None
    if floors:
        ceilings = baselines.ceilings(configs)
        trained = train_missing(ceilings, store, f"bench {dataset}: ceiling", resources) if ceilings else None
        found = baselines.rows(configs, results, None if trained is None else final(trained, configs[0].evaluate[-1]))
        beside = baselines.table_of(found)
        show_rows(f"{dataset}: floor and ceiling, over the same seeds", tables.readable(beside, baselines.METRICS))
        findings += decide(baselines.better_than_input(last, found, configs[0].net.normalize))
    for effective in dict.fromkeys(in_words(c) for c in {c.noise.model_dump_json(): c for c in configs}.values()):
        if effective is not None:
            say(effective)
    show_findings(findings)
    for place, form in ((markdown, "markdown"), (latex, "latex")):
        if place is not None:
            write_text(place, tables.document(last, dataset, form, beside))
    if retrieval is not None:
        of_first = [c for c in configs if (c.loss.name, c.seed) == (configs[0].loss.name, seed)]
        noisiest = max(c.noise.level for c in of_first)
        gallery = FIGURES["retrieval"].of_runs
        assert gallery is not None
        gallery([c for c in of_first if c.noise.level == noisiest][:2], store, retrieval)
    written_out = {"table": records(summary), "findings": [asdict(f) for f in findings]}
    write_json(json_file, written_out if beside is None else {**written_out, "baselines": records(beside)})
