"""``collapse data``: list, fetch and check data sets, extract frozen features."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pooch
import typer
from rich.console import Console
from rich.table import Table

from realdata import backbones
from realdata import features as frozen
from realdata.datasets import SPLITS, locate
from realdata.fetch import check as check_data
from realdata.fetch import fetch as fetch_data
from realdata.trees import refusal
from sim.catalogue import DATASETS
from sim.files import writable_folder
from sim.progress import progress

app = typer.Typer(no_args_is_help=True, help="List, fetch and check real data sets; extract frozen features.")
console = Console()

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set; see collapse data list.")]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="The data set's folder; default: the folder NAME in the one COLLAPSE_DATA names."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures printed to this JSON file.")]


@app.command("list")
def list_() -> None:
    """List the data sets: what is trained on, what is retrieved, what the official release holds."""
    shown = Table("name", "data set", "coarse; fine labels", "images (train + test)", "expects")
    for name in DATASETS:
        data = DATASETS[name]
        images = " + ".join(f"{data.official[s][0]:,}" for s in SPLITS if s in data.official)
        shown.add_row(name, data.title, data.labels, images, data.layout)
    _print(shown)


@app.command()
def fetch(name: Name, root: Root = None) -> None:
    """Download a data set from its official sources, with checksums; a broken-off download goes on where it was."""
    pooch.get_logger().setLevel("WARNING")
    place = fetch_data(name, root, lambda text: console.print(text, soft_wrap=True, highlight=False))
    console.print(f"{DATASETS[name].title}: {place}", soft_wrap=True, highlight=False)


@app.command()
def check(
    name: Name,
    root: Root = None,
    part: Annotated[
        bool, typer.Option("--part", help="Accept other numbers of images than the official release's.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Read every image of a data set and count; refuse what is missing, corrupt or not the official number."""
    with progress(f"check {name}", console, unit="images") as (on_start, on_images):
        on_start(sum(images for images, _ in DATASETS[name].official.values()))
        place, splits, downloads = check_data(name, root, on_images)
    shown = Table("split", "images", "coarse", "fine", "official release", title=f"{DATASETS[name].title}: {place}")
    for split in splits:
        official = "none" if split.official is None else "{:,} images, {:,} fine".format(*split.official)
        verdict = "" if split.official is None else (": the same" if split.whole else ": differs")
        shown.add_row(split.split, *(f"{n:,}" for n in (split.images, split.coarse, split.fine)), official + verdict)
    _print(shown)
    meanings = {"official": "official checksum", "differs": "not the official checksum", "absent": "not here"}
    for file, state in downloads.items():
        console.print(f"{file}: {meanings[state]}", highlight=False)
    if json_file is not None:
        found = {"root": str(place), "splits": [{**asdict(s), "whole": s.whole} for s in splits], "files": downloads}
        writable_folder(json_file.parent, "json")
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    wrong = [s for s in splits if not s.whole]
    if wrong and not part:
        counts = ", ".join(f"{s.images} {s.split} images of {s.fine} fine classes" for s in wrong)
        raise refusal(counts, place, "as many as the official release, or any number with --part")


@app.command()
def features(
    name: Name,
    backbone: Annotated[
        str, typer.Option("--backbone", help="efficientnet_lite0, or a folder with a transformers model.")
    ] = "efficientnet_lite0",
    root: Root = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, or cuda:N.")] = "cpu",
) -> None:
    """Extract a pretrained backbone's features of a data set into the cache; interrupted, it goes on where it was."""
    net, place = backbones.backbone(backbone), locate(name, root)
    splits = {split: DATASETS[name].read(place, split) for split in SPLITS}
    with progress(f"features {name}", console, unit="images") as (on_start, on_images):
        on_start(sum(map(len, splits.values())))
        for split, pictures in splits.items():
            found = frozen.extract(pictures, f"{name}-{split}", net, device=device, on_images=on_images)
            console.print(f"{name} {split}: {found.shape[0]:,} x {found.shape[1]:,}", highlight=False)
    console.print(f"cache: {frozen.cache()}", soft_wrap=True, highlight=False)


def _print(table: Table) -> None:
    # A table wider than the terminal would lose columns.
    (console if console.is_terminal else Console(width=160)).print(table)


@app.command()
def results() -> None:
    """Print the recorded real-data results as a Markdown page (docs/results.md)."""
    from realdata.recorded import page

    print(page(), end="")
