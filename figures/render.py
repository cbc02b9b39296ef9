"""From the store to a PDF and a PNG that say what they are made of."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from figures.entry import Source
from figures.style import STYLE
from sim.catalogue import FIGURES, STUDIES
from sim.config import RunConfig
from sim.files import whole, write_json
from sim.sweeps.store import Store

PACKAGES = ("class-collapse", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")
"""Whose versions are told."""

MANIFEST = "manifest.json"


def source(name: str, store: Store, profile: str, first_seed: int = 0) -> Source:
    """What figure ``name`` draws from: runs as far as the store holds them; what is missing of the theory is computed."""
    import pandas as pd

    # Which needs PyTorch; a list of figures doesn't.
    from sim.sweeps.pieces import compute

    study = FIGURES[name].study
    configs = [] if study is None else STUDIES[study].runs(profile, first_seed)
    rows = store.load(configs) if configs else pd.DataFrame()
    return Source(store, profile, configs, rows, compute(FIGURES[name].pieces(profile), store))


def render(name: str, store: Store, profile: str, folder: Path, first_seed: int = 0) -> list[Path]:
    """Draw a figure from the store to ``folder/name.pdf`` and ``folder/name.png``.

    Both carry in their metadata what they were made of, and so does ``folder/manifest.json``: study, profile, seeds, a hash of the
    runs' keys, versions, date. With the environment variable ``SOURCE_DATE_EPOCH`` the date is that one, and the same runs give
    the same bytes.
    """
    written, about = draw_files(name, store, profile, folder, first_seed)
    enter(folder, name, about)
    return written


def draw_files(
    name: str, store: Store, profile: str, folder: Path, first_seed: int = 0
) -> tuple[list[Path], dict[str, Any]]:
    """The files of `render`, and what is to be entered in the manifest."""
    entry = FIGURES[name]
    folder.mkdir(parents=True, exist_ok=True)
    drawn_from = source(name, store, profile, first_seed)
    about = provenance(name, profile, first_seed, drawn_from.configs)
    started = time.perf_counter()
    with mpl.rc_context():
        mpl.use("Agg")
        plt.style.use(STYLE)
        figure = entry.draw(drawn_from)
        # Laid out and measured once: each takes as long as the drawing itself.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        box = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
        written = []
        text = json.dumps(about)
        pdf = {"Title": entry.title, "Subject": entry.caption, "Keywords": text, "CreationDate": None}
        for suffix, metadata in (("pdf", pdf), ("png", {"Title": entry.title, "Description": text})):
            written.append(folder / f"{name}.{suffix}")
            with whole(written[-1]) as file:
                figure.savefig(file, format=suffix, metadata=metadata, bbox_inches=box)
        plt.close(figure)
    return written, {**about, "title": entry.title, "seconds": round(time.perf_counter() - started, 2)}


def provenance(name: str, profile: str, first_seed: int, configs: Sequence[RunConfig]) -> dict[str, Any]:
    """What a figure is made of: command, study, profile, seeds, runs and a hash of their keys, versions, date."""
    keys = json.dumps(sorted(c.key() for c in configs))
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    date = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch else datetime.datetime.now()
    return {
        "figure": name,
        "command": f"collapse figures {name} --profile {profile} --seed {first_seed}",
        "study": FIGURES[name].study,
        "runs": len(configs),
        "seeds": sorted({c.seed for c in configs}),
        "hash": hashlib.sha256(keys.encode()).hexdigest()[:16],
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "date": date.date().isoformat(),
    }


def enter(folder: Path, name: str, about: dict[str, Any]) -> None:
    """Put a figure's entry into the manifest, beside those of the others; one process at a time."""
    place = folder / MANIFEST
    entries = json.loads(place.read_text()) if place.exists() else {}
    entries[name] = about
    write_json(place, dict(sorted(entries.items())))
