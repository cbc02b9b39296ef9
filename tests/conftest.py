"""Settings shared by all tests."""

from __future__ import annotations

import torch
from hypothesis import settings

# Two test processes share two cores; and examples must not change from run to run.
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")
