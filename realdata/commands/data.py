"""List, fetch and check real data sets; extract frozen features."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sim.catalogue import COMMANDS, DATASETS
from sim.cli.options import Device, Json, checked_device
from sim.cli.output import say, show, write_json
from sim.cli.progress import progress

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set; see collapse data list.")]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="The data set's folder; default: the folder NAME in the one COLLAPSE_DATA names."),
]

STATES = {"official": "official checksum", "differs": "not the official checksum", "absent": "not here"}
"""What is said of a download."""


@COMMANDS.register("data list")
def list_() -> None:
    """List the data sets: what is trained on, what is retrieved, what the official release holds."""
    from rich.table import Table

    from realdata.datasets import SPLITS

    shown = Table("name", "data set", "coarse; fine labels", "images (train + test)", "expects")
    for name in DATASETS:
        data = DATASETS[name]
        images = " + ".join(f"{data.official[s][0]:,}" for s in SPLITS if s in data.official)
        shown.add_row(name, data.title, data.labels, images, data.layout)
    show(shown)


@COMMANDS.register("data fetch")
def fetch(name: Name, root: Root = None) -> None:
    """Download a data set from its official sources, with checksums; a broken-off download goes on where it was."""
    import pooch

    from realdata import fetch

    pooch.get_logger().setLevel("WARNING")
    place = fetch.fetch(name, root, say)
    say(f"{DATASETS[name].title}: {place}")


@COMMANDS.register("data check")
def check(
    name: Name,
    root: Root = None,
    part: Annotated[
        bool, typer.Option("--part", help="Accept other numbers of images than the official release's.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Read every image of a data set and count; refuse what is missing, corrupt or not the official number."""
    from rich.table import Table

    from realdata import fetch
    from realdata.trees import refusal

    with progress(f"check {name}", unit="images") as (on_start, on_images):
        on_start(sum(images for images, _ in DATASETS[name].official.values()))
        place, splits, downloads = fetch.check(name, root, on_images)
    shown = Table("split", "images", "coarse", "fine", "official release", title=f"{DATASETS[name].title}: {place}")
    for split in splits:
        official = "none" if split.official is None else "{:,} images, {:,} fine".format(*split.official)
        verdict = "" if split.official is None else (": the same" if split.whole else ": differs")
        shown.add_row(split.split, *(f"{n:,}" for n in (split.images, split.coarse, split.fine)), official + verdict)
    show(shown)
    for file, state in downloads.items():
        say(f"{file}: {STATES[state]}")
    found = {"root": str(place), "splits": [{**asdict(s), "whole": s.whole} for s in splits], "files": downloads}
    write_json(json_file, found)
    wrong = [s for s in splits if not s.whole]
    if wrong and not part:
        counts = ", ".join(f"{s.images} {s.split} images of {s.fine} fine classes" for s in wrong)
        raise refusal(counts, place, "as many as the official release, or any number with --part")


@COMMANDS.register("data features")
def features(
    name: Name,
    backbone: Annotated[
        str, typer.Option("--backbone", help="efficientnet_lite0, or a folder with a transformers model.")
    ] = "efficientnet_lite0",
    root: Root = None,
    device: Device = "cpu",
) -> None:
    """Extract a pretrained backbone's features of a data set into the cache; interrupted, it goes on where it was."""
    from realdata import backbones
    from realdata import features as frozen
    from realdata.datasets import SPLITS, locate
    from realdata.digests import cache

    net, place, device = backbones.backbone(backbone), locate(name, root), checked_device(device)
    splits = {split: DATASETS[name].read(place, split) for split in SPLITS}
    with progress(f"features {name}", unit="images") as (on_start, on_images):
        on_start(sum(map(len, splits.values())))
        for split, pictures in splits.items():
            found = frozen.extract(pictures, f"{name}-{split}", net, device=device, on_images=on_images, on_damage=say)
            say(f"{name} {split}: {found.shape[0]:,} x {found.shape[1]:,}")
    say(f"cache: {cache()}")


@COMMANDS.register("data results")
def results() -> None:
    """Print the recorded real-data results as a Markdown page (docs/results.md)."""
    from realdata.recorded import page

    print(page(), end="")
