"""A stream that is renamed changes numbers: every purpose in the code is drawn by a golden case, and its name is held."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from realdata.finetune import FineTune, Steps
from realdata.finetune.config import FineTuneBatch
from realdata.pictures import ArrayPictures
from realdata.protocol import Protocol, parts
from sim import noise, streams
from sim.catalogue import BACKBONES, GENERATORS, NETS
from sim.config import SCHEMA, Noise
from sim.generators import Sample, generate
from sim.labels import Labels
from sim.losses import make
from sim.samplers import RunDraws
from sim.samplers.batches import Batches

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "draws.json"
CHECKS = {"minimise", "batch loss", "C6", "C10", "clustered starts", "reduced program"}
"""Purposes of the theory's searches and checks: they draw starts and cases, and no stored result depends on them."""


def purposes_in_code() -> set[str]:
    """All purposes of streams: literals, and what comes before the first value in an f-string."""
    found = set()
    for place in [*ROOT.glob("sim/**/*.py"), *ROOT.glob("realdata/**/*.py")]:
        for node in ast.walk(ast.parse(place.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            # `stream(key, purpose)`, what passes a purpose on to it, and the draws of a step by their purposes.
            argument = {"stream": 1, "_places": 1, "uniform": 0}.get(name)
            if argument is None or len(node.args) <= argument:
                continue
            given = node.args[argument]
            if isinstance(given, ast.JoinedStr):
                given = given.values[0]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                found.add(given.value.strip())
    return found


def pictures(fine: list[int]) -> ArrayPictures:
    labels = np.array(fine)
    return ArrayPictures(np.zeros((len(fine), 4, 4), np.uint8), labels // 2, labels)


def cases() -> dict[str, Callable[[], object]]:
    """Data, nets, losses, labels, batches and choices, small."""
    shared = (pictures([0, 1, 2, 3] * 6), pictures([0, 1, 2, 3] * 3))
    apart = (pictures([0, 1] * 6), pictures([2, 3] * 6))
    half = noise.symmetric(2, 0.6)[[0, 1] * 20]
    x = torch.linspace(-1, 1, 24, dtype=torch.float64).view(1, 12, 2)
    labels = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]])
    tuning = FineTune(steps=1, batch=FineTuneBatch(classes=2, per_class=2))

    def chosen(positive: str, negative: str) -> object:
        return (
            make("triplet", alpha=3.0)
            .of_batch(x, labels, make("triplet").sampling(positive, negative, RunDraws([0])))
            .numpy()
        )

    def library() -> object:
        loss = make("pml", loss="ProxyNCALoss", runs=1, classes=3, dim=2, keys=[0])
        return loss.of_batch(x, labels, loss.sampling("all", "all", RunDraws([0]))).detach().numpy()

    return {
        "limit": lambda: [p.rows for p in parts(*shared, Protocol(limit=2, test_limit=1))],
        "merge": lambda: parts(*shared, Protocol("merged", per_super=2, merge_seed=3))[0].classes,
        "held out": lambda: parts(*apart, Protocol("merged", per_super=2))[0].rows,
        "static labels": lambda: noise.static_labels(half, np.array([0, 1] * 20), seed=0),
        "labels drawn afresh": lambda: (
            Labels([Noise(level=0.4)], [Sample(np.zeros((40, 1)), np.array([0, 1] * 20), np.array([0, 1] * 20))], [0])
            .draw(torch.arange(40)[None], RunDraws([0]))
            .numpy()
        ),
        "batches": lambda: Batches([0], [np.array([0, 1] * 8)], classes=2, per_class=3).next().numpy(),
        "batches of a fine-tuning": lambda: [np.array(b, float) for b in Steps(tuning, np.repeat([0, 1], 4), 0)],
        "random positives": lambda: chosen("random", "all"),
        "random negatives": lambda: chosen("easy", "random"),
        "semi-hard negatives": lambda: chosen("easy", "semihard"),
        "distance-weighted negatives": lambda: chosen("easy", "distance_weighted"),
        **{
            f"net {kind}": lambda kind=kind: [
                p.detach().numpy()
                for p in NETS[kind](
                    [0],
                    (1, 8, 8) if kind == "conv" else (2,),
                    dim=2,
                    normalize=False,
                    **({"samples": 5} if kind == "table" else {}),
                ).parameters()
            ]
            for kind in NETS
        },
        "proxies": lambda: make("proxy_nca", runs=1, classes=2, dim=3, keys=[0]).proxies.detach().numpy(),
        "a loss of another library": lambda: [
            p.detach().numpy()
            for p in make("pml", loss="ProxyNCALoss", runs=1, classes=3, dim=2, keys=[0]).parameters()
        ],
        "what a loss of another library draws": lambda: library(),
        "small_conv": lambda: next(iter(BACKBONES["small_conv"]().build("cpu").parameters())).detach().numpy(),
        **{
            f"generator {name}": lambda name=name: generate(name, seed=0, samples_per_mode=3, dim=3).x
            for name in GENERATORS
        },
    }


def short(value: object) -> list[float]:
    """The first numbers of some arrays, to five digits: rounding differs from machine to machine."""
    arrays = value if isinstance(value, list) else [value]
    return [float(f"{v:.5g}") for a in arrays for v in np.asarray(a, dtype=np.float64).ravel()[:8]]


@pytest.mark.parametrize("name", cases())
def test_draws_are_those_of_the_recorded_results(name: str) -> None:
    """If this fails on purpose, raise `sim.config.SCHEMA` and say in CHANGELOG.md which results change."""
    golden = json.loads(GOLDEN.read_text())
    assert golden["schema"] == SCHEMA
    assert short(cases()[name]()) == pytest.approx(golden["draws"][name], rel=1e-4, abs=1e-6)


def test_every_purpose_in_the_code_is_drawn_by_a_golden_case(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()

    def recording(key: object, purpose: str) -> np.random.Generator:
        drawn.add(purpose)
        return streams.stream(key, purpose)

    made = cases()
    for module in [m for name, m in sys.modules.items() if name.split(".")[0] in ("sim", "realdata")]:
        if getattr(module, "stream", None) is streams.stream and module is not streams:
            monkeypatch.setattr(module, "stream", recording)
    for case in made.values():
        case()
    golden = json.loads(GOLDEN.read_text())
    assert sorted(drawn) == golden["purposes"]
    undrawn = {head for head in purposes_in_code() if not any(p.startswith(head) for p in drawn)}
    assert undrawn - CHECKS == set()
