"""YAML 1.2's core schema, and texts that are small but ask for much."""

from __future__ import annotations

import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from sim import yaml12
from sim.cli.options import assignment, fields
from sim.errors import InvalidInput
from sim.sweeps import spec


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("5e-1", 0.5), ("1e3", 1000.0), ("1E+2", 100.0), (".5", 0.5), ("5.", 5.0), ("-.inf", -math.inf), ("+12", 12), ("-3", -3)],
        *[("010", 10), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("0b11", "0b11"), ("1:30", "1:30"), ("0o8", "0o8"), ("1e", "1e")],
        *[("true", True), ("False", False), ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("tRue", "tRue")],
        *[("null", None), ("~", None), ("", None), ("2001-01-01", "2001-01-01"), ("<<", "<<"), ("=", "="), ("nan", "nan"), ("inf", "inf")],
        *[("'1'", "1"), ('"true"', "true"), ("²", "²"), ("٣", "٣"), ("!!str 1", "1"), ("!!float 1", 1.0), ("!!int '0o7'", 7)],
        *[("[1, 2.0, {a: [x]}]", [1, 2.0, {"a": ["x"]}]), ("k_easy:3", "k_easy:3"), ("9" * 400, int("9" * 400))],
    ],
)  # fmt: skip
def test_values_are_those_of_the_core_schema(text: str, value: Any) -> None:
    read = yaml12.read("field", text)
    assert read == value and type(read) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(yaml12.read("field", ".nan"))


LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{k}: &a{k} [{', '.join(9 * [f'*a{k - 1}'])}]" for k in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "anchors and aliases"),
        ("a: &x 1", "anchors and aliases"),
        ("*x", "anchors and aliases"),
        ("[" * 3000 + "]" * 3000, "more than 20 levels"),
        ("- " * 3000, "more than 20 levels"),
        ("{a: 1, a: 2}", "'a' stands twice"),
        ("{1: a, 1.0: b}", "stands twice"),
        ("{[1]: 2}", "a key that is a list"),
        ("9" * 5000, "an integer of more than 400 digits"),
        ("0x" + "f" * 500, "an integer of more than 400 digits"),
        ("x" * 200_001, "more than 200000 characters"),
        ("!!int x", "not of the kind int"),
        ("!!int ''", "not of the kind int"),
        ("!!bool maybe", "not of the kind bool"),
        ("!!timestamp 2001-01-01", "the tag"),
        ("!!binary aGk=", "the tag"),
        ("!!python/object/apply:os.system [x]", "the tag"),
        ("!!map x", "expected a mapping"),
        ("{a: 1", "expected ',' or '}'"),
        ("[easy", "expected ',' or ']'"),
        ("@x", "cannot start any token"),
        ("\tx", "cannot start any token"),
        ("a\x00b", "special characters are not allowed"),
        ("1\n---\n2", "expected a single document"),
    ],
)
def test_what_is_refused_is_one_short_line(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as error:
        yaml12.read("field", text)
    said = str(error.value)
    assert said.startswith("field: got ") and why in said and "\n" not in said and len(said) < 400


def test_a_few_aliases_do_not_fill_the_memory() -> None:
    """Nine to the power of nine texts, were they written out."""
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(
        InvalidInput, match=r"s.yaml, line 1: YAML: got 'anchors and aliases .* not read'; allowed: valid YAML 1.2"
    ):
        spec.read(LAUGHS, "s.yaml")
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(LAUGHS) < 500 and peak < 10 * 2**20 and seconds < 60


def test_assignments_and_files_are_read_alike(tmp_path: Path) -> None:
    assert assignment("loss.params.alpha=5e-1") == ("loss.params.alpha", 0.5)
    place = tmp_path / "config.yaml"
    place.write_text("loss.params.alpha: 5e-1\nnoise.exact: false\n")
    assert fields(place, ["steps=1e3"]) == {"loss.params.alpha": 0.5, "noise.exact": False, "steps": 1000.0}
    [run] = spec.read("base: {loss.params: {alpha: 5e-1}, steps: 0o12}")
    assert (run.loss.params, run.steps) == ({"alpha": 0.5}, 10)


@pytest.mark.parametrize("content", [b"steps: \xff", b"\x00", b"[1]", b"steps: 1\nsteps: 2"])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "config.yaml"
    place.write_bytes(content)
    with pytest.raises(InvalidInput, match="config"):
        fields(place, None)
    for path in (tmp_path, tmp_path / "absent", "null\0"):
        with pytest.raises(InvalidInput, match="config: got"):
            fields(Path(path), None)
