"""``collapse train``."""

from __future__ import annotations

from sim.catalogue import COMMANDS
from sim.cli.options import (
    DEFAULT_OUT,
    Config,
    Device,
    FirstSeed,
    Json,
    Out,
    Seeds,
    Set,
    Workers,
    checked_device,
    checked_seeds,
    fields,
)
from sim.cli.output import finished, records, say, show_metrics, write_json
from sim.cli.training import train_missing


@COMMANDS.register("train")
def train(
    config: Config = None,
    set_: Set = None,
    seed: FirstSeed = 0,
    seeds: Seeds = 1,
    device: Device = "cpu",
    workers: Workers = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Train one configuration with one or more seeds and print its collapse metrics."""
    from sim.effective_noise import in_words
    from sim.sweeps.executors import Resources
    from sim.sweeps.grid import grid
    from sim.sweeps.store import Store

    configs = grid(fields(config, set_), {"seed": checked_seeds(seed, seeds)})
    resources = Resources(checked_device(device), workers)
    store = Store(out / "store")
    last = finished(train_missing(configs, store, "train", resources), configs[0].evaluate[-1])
    if (effective := in_words(configs[0])) is not None:
        say(effective)
    show_metrics(last, f"{len(last)} of {len(configs)} runs, 95 % interval over seeds")
    say(f"results: {store.folder}")
    write_json(json_file, records(last.sort_values("seed")))
