"""Specifications become runs; mistakes are named with the line they stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from realdata import benchmark
from sim.catalogue import FIGURES, STUDIES
from sim.errors import InvalidInput
from sim.losses.equal import distinct
from sim.sweeps import spec

SPEC = """\
base:
  steps: 7
  noise: {mode: static}
list:
  - {loss.name: triplet, loss.params: {alpha: 0.5}}
  - {loss.name: margin}
zip:
  positive: [random, easy]
  negative: [random, semihard]
grid:
  noise.level: [0, 0.1]
seeds: {first: 5, count: 2}
"""


def test_runs_are_the_product_of_the_parts() -> None:
    runs = [
        (c.loss.name, c.loss.params, c.positive, c.negative, c.noise.level, c.seed, c.steps, c.noise.mode)
        for c in spec.read(SPEC)
    ]
    expected = [
        (loss, params, *pair, level, seed, 7, "static")
        for loss, params in (("triplet", {"alpha": 0.5}), ("margin", {}))
        for pair in (("random", "random"), ("easy", "semihard"))
        for level in (0.0, 0.1)
        for seed in (5, 6)
    ]
    assert runs == expected


def test_runs_named_twice_are_one() -> None:
    assert len(spec.read("grid: {noise.level: [0, 0.0, 0.1]}\nseeds: 3")) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base:\n  steps: 3\n  noise.levle: 0.1\n", "s.yaml, line 3: noise.levle: got 0.1; allowed: no such field"),
        ("grid:\n  noise.level:\n    - 0\n    - 1.5\n", "s.yaml, line 4: noise"),
        ("grid:\n  positive: [easy, eazy]\n", "s.yaml, line 2: positive: got 'eazy'; allowed: one of all"),
        ("list:\n  - {steps: 3}\n  - {loss.params: {alpha: -1}}\n", "s.yaml, line 3: alpha: got -1"),
        ("list:\n  - {steps: 3}\n  - {loss.params: {alhpa: 1}}\n", "s.yaml, line 3: loss.alhpa: got 1"),
        ("zip:\n  steps: [1, 2]\n  seeds: [1]\n", "s.yaml, line 2: zip: got {'steps': 2, 'seeds': 1}; allowed: lists"),
        ("base:\n  steps: 3\n  steps: 4\n", "s.yaml, line 3: steps: got 'twice'"),
        ("grid: {steps: [1]}\nzip: {steps: [2]}\n", "s.yaml, line 2: steps: got 'twice'"),
        ("grid: {seed: [1]}\n", "s.yaml, line 1: seed: got 1; allowed: nothing: say `seeds`"),
        ("seeds: 0\n", "s.yaml, line 1: seeds: got 0; allowed: an integer, 1 to 1000000"),
        ("seeds: {start: 1}\n", "s.yaml, line 1: seeds: got"),
        ("base: {steps: 3}\ngird: {}\n", "s.yaml, line 2: gird: got {}; allowed: one of base, list"),
        ("base: [steps]\n", "s.yaml, line 1: base: got ['steps']; allowed: a mapping"),
        ("grid:\n  steps: 4\n", "s.yaml, line 2: steps: got 4; allowed: a list"),
        ("base: {steps: 3\n", "s.yaml, line 2: YAML"),
        ("", "s.yaml, line 1: spec"),
        (
            "base: {steps: !!python/object:os.system {}}\n",
            "s.yaml, line 1: YAML: got 'the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("grid: {steps: [1, 2]}\nseeds: 600000\n", "s.yaml, line 1: spec: got '1200000 runs'"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        spec.read(text, "s.yaml")
    assert str(error.value).startswith(message)


def test_files_and_shipped_names(tmp_path: Path) -> None:
    place = tmp_path / "mine.yaml"
    place.write_text(SPEC)
    assert len(spec.load(place)) == 16
    with pytest.raises(InvalidInput, match="spec: got .*nowhere.*noise_sweep_quick"):
        spec.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", spec.shipped())
def test_shipped_specifications_are_valid(name: str) -> None:
    assert spec.load(name)


def test_every_figure_that_reads_runs_has_its_specification() -> None:
    for study in {FIGURES[name].study for name in FIGURES} - {None}:
        for profile in ("quick", "full"):
            name = study if study in ("k_effect", "training") else f"{study}_{profile}"
            assert {c.key() for c in STUDIES[study].runs(profile)} == {c.key() for c in distinct(spec.load(name))[0]}


def test_the_digits_specification_is_what_bench_runs() -> None:
    assert {c.key() for c in benchmark.configs("digits")} == {c.key() for c in spec.load("digits_quick")}
