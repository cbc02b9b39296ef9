"""Settings and fixtures shared by all tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from sim.registry import Registry

# Two test processes share two cores; and examples must not change from run to run.
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

Replace = Callable[[Registry[Any], str, Any], None]


@pytest.fixture
def replace() -> Iterator[Replace]:
    """Enter something in a registry for the length of a test."""
    with contextlib.ExitStack() as stack:
        yield lambda registry, name, entry: stack.enter_context(registry.replaced(name, entry))
