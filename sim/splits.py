"""One split of several runs' data on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sim.errors import InvalidInput
from sim.generators import Sample


class Split:
    """One split of R runs' problems on the device; runs that share a problem share its memory."""

    def __init__(
        self, samples: Sequence[Sample], reference: Sequence[Sample], device: torch.device, dtype: torch.dtype
    ):
        unique = list({id(s): (s, r) for s, r in zip(samples, reference, strict=True)}.values())
        if len({(s.x.shape, s.t) for s, _ in unique}) > 1:
            raise InvalidInput("data", [s.x.shape for s, _ in unique], "one shape and one number of classes a group")
        self.samples = list(samples)
        self.n, self.shape, self.t = unique[0][0].n, unique[0][0].x.shape[1:], unique[0][0].t
        place = {id(s): k for k, (s, _) in enumerate(unique)}
        self.problem = torch.tensor([place[id(s)] for s in samples], device=device)  # (R,)
        x = np.concatenate([_standardised(s.x, r.x) for s, r in unique])
        self.x = torch.from_numpy(x).to(device, dtype)  # (problems * n, ...)

    def rows(self, index: Tensor) -> Tensor:
        """Inputs (R, B, ...) at positions (R, B)."""
        return self.x[self.problem.unsqueeze(1) * self.n + index]


def _standardised(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Centre each feature and scale all by one number, both taken from the training sample: geometry stays as it is."""
    centred = reference - reference.mean(0)
    scale = np.sqrt(np.mean(np.square(centred)))
    standardised: np.ndarray = (x - reference.mean(0)) / (scale if scale > 0 else 1.0)
    return standardised
