"""What commands leave behind, as pairs of a name and a value that can be compared bit by bit; times and dates left out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from realdata.finetune import WEIGHTS
from sim import kept_claims
from sim.sweeps.store import Store

Results = list[tuple[str, str]]


def digest(array: np.ndarray) -> str:
    """Of shape, dtype and content."""
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()


def of_store(disk: Path) -> Results:
    """Every row, and every array of the runs that keep some."""
    table = Store(disk / "out" / "store").load().drop(columns=["seconds", "finished"], errors="ignore")
    rows = [(f"{r['key']} {r['step']} {r['split']}", repr(sorted(r.items()))) for r in table.to_dict("records")]
    for place in sorted((disk / "out" / "store").glob("arrays/*/*.npz")):
        with np.load(place) as arrays:
            rows += [(f"{place.stem} {name}", digest(arrays[name])) for name in arrays.files]
    return rows


def of_claims(disk: Path) -> Results:
    """Every claim's report."""
    reports = kept_claims.read(disk / "out")
    return [(r["id"], json.dumps({k: v for k, v in r.items() if k != "seconds"}, sort_keys=True)) for r in reports]


def of_finetune(disk: Path) -> Results:
    """Rows and weights."""
    weights = []
    for place in (disk / "out" / "finetune").glob(f"*/{WEIGHTS}"):
        stack = [(place.parent.name, torch.load(place, weights_only=True))]
        while stack:
            name, value = stack.pop()
            if isinstance(value, dict):
                stack += [(f"{name} {k}", v) for k, v in value.items()]
            else:
                weights.append((name, digest(value.numpy()) if torch.is_tensor(value) else repr(value)))
    return of_store(disk) + weights


def of_cache(disk: Path) -> Results:
    """Features of every split."""
    return [(place.parent.name, digest(np.load(place))) for place in (disk / "cache").glob("*/features.npy")]


def of_figures(disk: Path) -> Results:
    """Rows, and the pictures' pixels; a PDF holds its date."""
    found = of_store(disk)
    for place in sorted((disk / "out" / "figures").iterdir()):
        pixels = digest(np.asarray(Image.open(place))) if place.suffix == ".png" else "there"
        found.append((place.name, pixels))
    return found
