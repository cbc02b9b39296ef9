"""Fine-tuning: one run whose backbone is trained end to end on images, with the same losses, samplers and noise as small nets.

The embedding is a head (any net of `sim.nets`) on the backbone's features. A batch may be larger than what the device can
hold: images go through in chunks, once to embed all of them for the loss, once more for the gradient (gradient caching, Gao
et al. 2021), which is exact because a backbone stays in evaluation mode (batch normalisation with its stored statistics, no
dropout), as is usual in metric learning (Roth et al. 2020).

All draws of a step depend on (seed, step) only, so that a run that was killed goes on from its last checkpoint to the same end.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch.utils.data import DataLoader

from realdata.digests import sealed, unsealed
from realdata.finetune.config import FineTune
from realdata.finetune.images import Steps
from realdata.finetune.tuner import FineTuner, Resources
from sim.errors import InvalidInput
from sim.files import writable_folder
from sim.training import RunResult

__all__ = ["CHECKPOINT", "WEIGHTS", "FineTune", "FineTuner", "Resources", "Steps", "finetune"]

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"


def _save(place: Path, value: Any) -> None:
    content = io.BytesIO()
    torch.save(value, content)
    sealed("out", place, lambda file: file.write(content.getbuffer()))


def _restore(run: FineTuner, place: Path) -> None:
    content = unsealed(place)
    if content is None:
        raise InvalidInput("out", str(place), "a checkpoint as written; this one was damaged, delete it to start again")
    try:
        state = dict(torch.load(io.BytesIO(content), map_location=run.device, weights_only=True))
        same = state.get("of") == run.identity()
        if same:
            run.restore(state)
    # What another version's file raises depends on the version.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput("out", str(place), f"a checkpoint as written; delete it to start again ({reason})") from None
    if not same:
        allowed = "a checkpoint of this configuration, these data and this backbone; delete it to start again"
        raise InvalidInput("out", str(place), allowed)


def finetune(
    config: FineTune,
    folder: Path,
    resources: Resources,
    *,
    on_start: Callable[[int], None] = lambda n: None,
    on_steps: Callable[[int], None] = lambda n: None,
) -> RunResult:
    """Train a run to its end, from its last checkpoint if there is one.

    Parameters
    ----------
    config : FineTune
    folder : Path
        The run's own: ``checkpoint.pt``, and at the end ``weights.pt`` (states of backbone, head and loss). Whoever has put
        the result in a safe place may delete the checkpoint.
    resources : Resources
    on_start, on_steps : callable
        Told how many steps are left, and how many more are done.

    Returns
    -------
    RunResult
        ``diverged`` if the loss became non-finite: nothing is trained beyond it.

    Raises
    ------
    InvalidInput
        Also if the checkpoint was damaged, or another process trains in this folder.
    """
    writable_folder(folder)
    try:
        with FileLock(folder / "lock", timeout=0):
            for part in folder.glob("*.part"):  # left behind by a process that was killed
                part.unlink(missing_ok=True)
            return _finetune(FineTuner(config, resources), folder, on_start, on_steps)
    except Timeout:
        raise InvalidInput("out", str(folder), "a folder in which no other process trains this run") from None


def _finetune(
    run: FineTuner, folder: Path, on_start: Callable[[int], None], on_steps: Callable[[int], None]
) -> RunResult:
    config, resources = run.config, run.resources
    place = folder / CHECKPOINT
    if place.exists():
        _restore(run, place)
    on_start(config.steps - run.steps)
    due = config.checkpoint_steps()
    result = RunResult(config)

    def evaluate_if_due() -> None:
        """Add rows, if this step is a checkpoint of the config that has none yet."""
        if run.steps not in due or any(row["step"] == run.steps for row in run.rows):
            return
        run.rows += [run.evaluate(split, heavy=run.steps == config.steps) for split in config.evaluate]
        run.meter.restart()

    evaluate_if_due()
    items = Steps(config, run.groups, run.steps)
    loader = DataLoader(run.images["train"], batch_sampler=items, num_workers=resources.workers)
    for batch, x in zip(items, loader, strict=True):
        run.step(batch, x)
        on_steps(1)
        if run.meter.not_finite():
            result.status, result.diverged_at = "diverged", run.steps
            break
        evaluate_if_due()
        if run.steps % resources.save_every == 0 or run.steps == config.steps:
            _save(place, run.state())
    result.rows = run.rows
    _save(folder / WEIGHTS, run.state()["nets"])
    return result
