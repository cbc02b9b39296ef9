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
    Verbose,
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
    verbose: Verbose = False,
) -> None:
    """Train one configuration with one or more seeds and print its collapse metrics."""
    # Before what is slow to import: a field that there isn't is refused at once.
    from sim.sweeps.grid import grid

    configs = grid(fields(config, set_), {"seed": checked_seeds(seed, seeds)})

    from sim.effective_noise import in_words
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    resources = Resources(checked_device(device), workers)
    if verbose:
        from sim.training import step_in_words

        say(step_in_words(configs[0], resources.device))
    store = Store(out / "store")
    last = finished(train_missing(configs, store, "train", resources), configs[0].evaluate[-1])
    if (effective := in_words(configs[0])) is not None:
        say(effective)
    show_metrics(last, f"{len(last)} of {len(configs)} runs, 95 % interval over seeds")
    say(f"results: {store.folder}")
    write_json(json_file, records(last.sort_values("seed")))
