"""What runs are called and what they come to must not change unseen: golden run keys, and recorded rows of what is bundled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from realdata.finetune import FineTune
from sim.config import dotted, parse
from sim.sweeps import spec
from sim.sweeps.grid import grid

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "run_keys.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["specifications"])
def test_keys_of_the_shipped_specifications(name: str) -> None:
    keys = [c.key() for c in spec.load(name)]
    found = {"runs": len(keys), "first": keys[0], "last": keys[-1]}
    assert {**found, "all": hashlib.sha256("".join(keys).encode()).hexdigest()} == GOLDEN["specifications"][name]


@pytest.mark.parametrize("case", GOLDEN["runs"], ids=lambda case: json.dumps(case["fields"]))
def test_keys_of_runs(case: dict[str, Any]) -> None:
    assert grid(case["fields"], {})[0].key() == case["key"]


@pytest.mark.parametrize("case", GOLDEN["fine_tune"], ids=lambda case: json.dumps(case["fields"]))
def test_keys_of_fine_tuning(case: dict[str, Any]) -> None:
    assert parse(FineTune, dotted(case["fields"])).check().key() == case["key"]
