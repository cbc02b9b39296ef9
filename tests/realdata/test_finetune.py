"""Fine-tuning: exact whatever the chunk, resumed to the same end after a kill, with the small nets' losses and samplers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from realdata.finetune import CHECKPOINT, WEIGHTS, FineTune, FineTuner, Resources, Steps, finetune
from sim.config import dotted, parse
from sim.errors import InvalidInput
from sim.sweeps.store import Store

TINY = {
    "data.name": "cub200",
    "data.params.protocol": "zero_shot",
    "backbone": "small_conv",
    "size": 16,
    "net.dim": 4,
    "batch": {"classes": 3, "per_class": 3},
    "steps": 6,
    "checkpoints": 2,
}


@pytest.fixture
def birds(cub200: Path) -> Path:
    """The fixture's pictures with noise in them, so that no two are alike."""
    draws = np.random.default_rng(0)
    for place in sorted((cub200 / "CUB_200_2011" / "images").rglob("*.jpg")):
        values = draws.integers(0, 255, (20, 24, 3), dtype=np.uint8) // 2 + 40 * (int(place.parent.name[:3]) % 3)
        Image.fromarray(values.astype(np.uint8)).save(place)
    return cub200


def config(root: Path, **fields: object) -> FineTune:
    return parse(FineTune, dotted({**TINY, "data.params.root": str(root), **fields})).check()


def run(chosen: FineTune, **resources: object) -> FineTuner:
    return FineTuner(chosen, Resources(**resources))  # type: ignore[arg-type]


def batch(tuner: FineTuner) -> tuple[list[tuple[int, float, float, bool]], torch.Tensor]:
    items = next(iter(Steps(tuner.config, tuner.groups, 0)))
    return items, torch.stack([tuner.images["train"][item] for item in items])


@pytest.mark.parametrize("loss", ["triplet", "multi_similarity", "normalized_softmax"])
def test_chunks_give_the_undivided_gradient(birds: Path, loss: str) -> None:
    policies = {"positive": "all", "negative": "all"} if loss == "normalized_softmax" else {}
    chosen = config(birds, **{"loss.name": loss, "optimizer.name": "sgd", **policies})
    whole, parts = run(chosen), run(chosen, chunk=2)
    before = [p.detach().clone() for p in whole.parameters]
    for tuner in (whole, parts):
        tuner.step(*batch(tuner))
    assert whole.meter.total.item() == pytest.approx(parts.meter.total.item(), rel=1e-5)
    for start, a, b in zip(before, whole.parameters, parts.parameters, strict=True):
        torch.testing.assert_close(a - start, b - start, rtol=1e-3, atol=1e-7)
    moved = [not torch.equal(a, start) for a, start in zip(whole.parameters, before, strict=True)]
    assert sum(moved) >= len(moved) - 1  # a head's bias may have no gradient from differences


def test_the_step_is_the_plain_gradient_step(birds: Path) -> None:
    tuner = run(
        config(birds, **{"optimizer.name": "sgd", "loss.name": "triplet", "positive": "easy", "negative": "hard"})
    )
    items, x = batch(tuner)
    labels = tuner.labels.flipped[0][[item[0] for item in items]]  # type: ignore[index]
    e = tuner.embed(x)
    loss = tuner.loss(e, labels.unsqueeze(0), positive="easy", negative="hard").sum()
    expected = torch.autograd.grad(loss, tuner.parameters, allow_unused=True)
    before = [p.detach().clone() for p in tuner.parameters]
    tuner.step(items, x)
    trained = len(list(tuner.backbone.parameters()))
    for i, (start, p, gradient) in enumerate(zip(before, tuner.parameters, expected, strict=True)):
        rate = 1e-4 if i < trained else 1e-3
        change = torch.zeros_like(p) if gradient is None else -rate * gradient
        torch.testing.assert_close((p - start).detach(), change.view_as(p), rtol=1e-2, atol=1e-7)


def test_a_frozen_backbone_stays(birds: Path) -> None:
    tuner = run(config(birds, backbone_lr=0))
    before = [p.clone() for p in tuner.backbone.parameters()]
    tuner.step(*batch(tuner))
    assert all(torch.equal(a, b) for a, b in zip(before, tuner.backbone.parameters(), strict=True))
    assert len(tuner.parameters) == 2


def test_rows_hold_what_small_nets_report(birds: Path, tmp_path: Path) -> None:
    result = finetune(config(birds, **{"noise.level": 0.2, "evaluate": ["train", "test"]}), tmp_path, Resources())
    assert [(row["step"], row["split"]) for row in result.rows] == [
        (s, p) for s in (0, 3, 6) for p in ("train", "test")
    ]
    assert {"loss", "recall_at_1", "map_at_r", "within_mean", "mode_nmi"} <= set(result.rows[-1])
    assert np.isnan(result.rows[0]["loss"]) and result.rows[-1]["loss"] > 0
    nets = torch.load(tmp_path / WEIGHTS, weights_only=True)
    assert set(nets[1]) == {"weights.0", "biases.0"}


def test_workers_chunks_and_archives_change_nothing(birds: Path, tmp_path: Path, pack) -> None:
    packed = pack(birds, tmp_path / "packed" / "CUB_200_2011.tgz")
    alone = finetune(config(birds), tmp_path / "a", Resources())
    helped = finetune(config(packed), tmp_path / "b", Resources(workers=2, chunk=4))
    for a, b in zip(alone.rows, helped.rows, strict=True):
        np.testing.assert_allclose(
            [a[k] for k in ("within_mean", "recall_at_1")], [b[k] for k in ("within_mean", "recall_at_1")], rtol=1e-3
        )


def test_bfloat16_trains(birds: Path, tmp_path: Path) -> None:
    exact, mixed = (finetune(config(birds, precision=p), tmp_path / p, Resources()) for p in ("float32", "bfloat16"))
    a, b = (r.rows[-1]["within_mean"] for r in (exact, mixed))
    assert a != b
    assert a == pytest.approx(b, rel=0.1)


def command(root: Path, out: Path, steps: int) -> list[str]:
    fields = {**TINY, "data.params.root": str(root), "steps": steps, "noise.level": 0.2, "negative": "random"}
    pairs = [x for name, value in fields.items() for x in ("--set", f"{name}={json.dumps(value)}")]
    own = ["--out", str(out), "--json", str(out / "rows.json"), "--save-every", "3"]
    return [sys.executable, "-m", "sim.cli", "finetune", *pairs, *own]


def test_a_killed_run_ends_as_an_uninterrupted_one(birds: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(birds, whole, 60), check=True, stdout=subprocess.DEVNULL)
    killed = 0
    while killed < 2:
        seen = {p: p.stat().st_mtime_ns for p in broken.rglob(CHECKPOINT)}
        process = subprocess.Popen(command(birds, broken, 60), stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if any(p.stat().st_mtime_ns != seen.get(p) for p in broken.rglob(CHECKPOINT)):
                process.send_signal(signal.SIGKILL)
            time.sleep(0.002)
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
        assert not Store(broken / "store").load().size
        killed += 1
    (place,) = broken.rglob(CHECKPOINT)
    assert 0 < torch.load(place, weights_only=True)["steps"] < 60
    subprocess.run(command(birds, broken, 60), check=True, stdout=subprocess.DEVNULL)
    ours, theirs = (json.loads((out / "rows.json").read_text()) for out in (broken, whole))
    assert len(ours) == 1
    for row in (*ours, *theirs):
        row.pop("seconds")
    assert ours == theirs
    assert not list(broken.rglob(CHECKPOINT))
    states = [torch.load(next(out.rglob(WEIGHTS)), weights_only=True) for out in (broken, whole)]
    for a, b in zip(*states, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in b)


def test_broken_checkpoints_and_bad_fields_are_named(birds: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(InvalidInput, match="a checkpoint as written; this one was damaged, delete it to start again"):
        finetune(config(birds), tmp_path, Resources())
    for field, value, message in (
        ("memory.size", 8, "memory"),
        ("data.params.features", "efficientnet_lite0", "data.params.features: .*no such parameter"),
        ("noise.kind", "instance", "noise.kind: got 'instance'; allowed: one of symmetric, pair_flip, matrix"),
        ("backbone", "resnet", "features: got 'resnet'; allowed: one of efficientnet_lite0, small_conv"),
        ("precision", "float16", "precision"),
        ("batch.classes", 4, "batch.classes: got 4; allowed: at most 3"),
        ("data.name", "gaussian_mixture", "gaussian_mixture"),
    ):
        with pytest.raises(InvalidInput, match=message):
            run(config(birds, **{field: value}))
    with pytest.raises(InvalidInput, match="chunk: got 0; allowed: an integer >= 1"):
        Resources(chunk=0)


def test_a_checkpoint_of_another_run_is_refused(birds: Path, tmp_path: Path) -> None:
    finetune(config(birds), tmp_path, Resources())
    assert finetune(config(birds), tmp_path, Resources()).rows[-1]["step"] == 6  # there is nothing left to do
    with pytest.raises(
        InvalidInput, match="a checkpoint of this configuration, these data and this backbone; delete it"
    ):
        finetune(config(birds, seed=1), tmp_path, Resources())


def test_one_line_for_a_users_error(tmp_path: Path) -> None:
    arguments = [
        "finetune",
        "--set",
        "data.name=cub200",
        "--set",
        f"data.params.root={tmp_path}",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sim.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: root: got") and done.stderr.count("\n") == 1
