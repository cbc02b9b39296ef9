"""The contract of sim.metrics: one registry, batches of runs, invariances, errors, memory bound."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sim import metrics
from sim.catalogue import METRICS
from sim.errors import InvalidInput
from sim.metrics import Options, evaluate
from sim.metrics.base import prepare
from sim.metrics.pairs import distance_blocks

LENGTHS = {"within_mean", "within_rms", "within_max", "between_mean", "global_spread", "mode_spread", "mode_gap"}
LENGTHS |= {"pi_intra", "pi_inter"}
HEAVY = {"subclusters_linkage", "subclusters_hdbscan", "subclusters_gmm", "mode_purity", "mode_nmi", "mode_ari"}
CLASSES = np.repeat([0, 1, 2], [16, 12, 8])
MODES = np.concatenate([np.arange(16) % 4, np.arange(12) % 3, np.zeros(8, dtype=int)])


def sample(seed: int, m: int = 3) -> np.ndarray:
    """Modes well apart and tight, so that no cluster count sits on a threshold."""
    rng = np.random.default_rng(seed)
    return 5 * rng.normal(size=(3, 4, m))[CLASSES, MODES] + 0.05 * rng.normal(size=(36, m))


def same(a: dict[str, float], b: dict[str, float]) -> bool:
    return a == pytest.approx(b, rel=1e-7, abs=1e-7, nan_ok=True)


def public_of(name: str) -> metrics.Metric:
    """A metric's public function, where it is defined: naming it in the package is a matter of taste."""
    return getattr(sys.modules[METRICS[name].compute.__module__], name)


def test_every_registered_metric_is_public_and_documented() -> None:
    for name in METRICS:
        public = public_of(name)
        assert public.__name__ == name and getattr(metrics, name, public) is public
        assert {"Range", "ollapse"} <= set(re.findall("Range|ollapse", public.__doc__)), name
        assert list(inspect.signature(public).parameters) == ["embeddings", "classes", "modes", "options"]


def test_evaluate_is_the_public_functions_together() -> None:
    x, options = sample(0), Options(ks=(1, 3))
    values = metrics.evaluate(x, CLASSES, MODES, options=options)
    alone: dict[str, float] = {}
    for name in METRICS:
        columns = METRICS[name].columns(options)
        result = public_of(name)(x, CLASSES, MODES, options=options)
        alone |= dict(zip(columns, result.reshape(-1).tolist(), strict=True))
    assert values == pytest.approx(alone, nan_ok=True)
    assert {"recall_at_1", "recall_at_3"} <= set(values) and "recall_at_2" not in values
    assert all(type(value) is float for value in values.values())


NEW_FILE = '''
from sim.metrics.base import metric

@metric()
def reach(runs):
    """Largest norm."""
    return runs.x.norm(dim=-1).amax(-1)

@metric(columns=lambda options: [f"norm_{k}" for k in options.ks])
def norms(runs):
    """The k-th largest norm."""
    return runs.x.norm(dim=-1).sort(-1, descending=True).values[:, [k - 1 for k in runs.options.ks]]
'''

USE = """
import sys
import torch
from sim.catalogue import METRICS
from sim.config import RunConfig, parse
from sim.metrics import Options, evaluate, evaluate_runs
from sim.problems import build
from sim.training import train

x, classes = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0, 1])
options = Options(ks=(1, 3))
one = evaluate(x, classes, classes, heavy=False, options=options)
both = evaluate_runs(torch.stack([x, 2 * x]), classes, classes, heavy=False, options=options)
print([one[c] for c in ("reach", "norm_1", "norm_3")], [row["norm_3"] for row in both])
assert list(both[1]) == list(one)
defined = sys.modules[METRICS["reach"].compute.__module__]
print(defined.reach(x, classes).item(), defined.norms(x, classes, options=options).tolist())
config = parse(RunConfig, {"steps": 2, "checkpoints": 1, "batch": {"per_class": 4}})
(result,) = train([config], [build("rings", 0, samples_per_mode=10)])
print(all(row["reach"] == row["norm_1"] > row["norm_8"] > 0 for row in result.rows))
"""


@pytest.mark.parametrize("way", ["file of the package", "plugin"])
def test_a_metric_in_a_new_file_is_known_everywhere(way: str, tmp_path: Path) -> None:
    (tmp_path / "own_metrics.py").write_text(textwrap.dedent(NEW_FILE))
    plugin, first = {"COLLAPSE_PLUGINS": "own_metrics.py"}, ""
    if way == "file of the package":
        plugin, first = {}, f"import sim.metrics\nsim.metrics.__path__.append({str(tmp_path)!r})\n"
    end = subprocess.run(
        [sys.executable, "-c", first + USE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **plugin},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert end.stdout == "[5.0, 5.0, 1.0] [1.0, 2.0]\n5.0 [5.0, 1.0]\nTrue\n", end.stderr


def test_cheap_leaves_out_the_clustering_and_nothing_else() -> None:
    full = metrics.evaluate(sample(0), CLASSES, MODES)
    cheap = metrics.evaluate(sample(0), CLASSES, MODES, heavy=False)
    assert set(full) - set(cheap) == HEAVY
    assert cheap == {key: value for key, value in full.items() if key not in HEAVY}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_invariances(seed: int) -> None:
    """Order of samples, names of labels, rigid motion; scale, by which lengths grow and nothing else changes."""
    rng = np.random.default_rng(seed)
    x = sample(seed)
    before = metrics.evaluate(x, CLASSES, MODES)

    order = rng.permutation(36)
    assert same(metrics.evaluate(x[order], CLASSES[order], MODES[order]), before)

    names = rng.permutation(100)[:20] - 50
    assert same(metrics.evaluate(x, names[CLASSES], names[MODES]), before)

    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert same(metrics.evaluate(x @ rotation + rng.normal(size=3), CLASSES, MODES), before)

    grown = metrics.evaluate(8 * x, CLASSES, MODES)
    assert same(grown, {key: 8 * value if key in LENGTHS else value for key, value in before.items()})


def test_order_does_not_matter_under_total_and_class_collapse() -> None:
    order = np.random.default_rng(0).permutation(36)
    for x in (np.full((36, 2), 0.1), np.eye(3)[CLASSES]):
        before = metrics.evaluate(x, CLASSES, MODES)
        assert same(metrics.evaluate(x[order], CLASSES[order], MODES[order]), before)


def test_a_mode_is_a_pair_of_class_and_mode() -> None:
    """Numbering modes anew in each class or through all of them is the same."""
    x = sample(1)
    through = 4 * CLASSES + MODES
    assert metrics.evaluate(x, CLASSES, MODES) == pytest.approx(metrics.evaluate(x, CLASSES, through), nan_ok=True)


def test_no_modes_means_one_mode_a_class() -> None:
    x = sample(1)
    for name in ("recall_at_k", "mode_spread", "mode_purity"):
        metric = getattr(metrics, name)
        assert metric(x, CLASSES).tolist() == metric(x, CLASSES, np.full(36, 7)).tolist()
    assert torch.isnan(metrics.mode_gap(x, CLASSES))


def test_runs_do_not_touch_each_other() -> None:
    """A batch gives what its runs give alone: labels shared or each run's own, whole classes absent from some runs."""
    x = np.stack([sample(seed) for seed in range(4)])
    x[2] = 0.1
    classes = np.stack([CLASSES, CLASSES[::-1], np.minimum(CLASSES, 1), np.maximum(CLASSES, 1) + 7])
    modes = np.stack([MODES, MODES[::-1], MODES % 2, MODES])
    for c, k in ((CLASSES, MODES), (classes, modes), (CLASSES, modes)):
        together = metrics.evaluate_runs(x, c, k)
        c, k = np.broadcast_to(c, (4, 36)), np.broadcast_to(k, (4, 36))
        for r in range(4):
            assert same(together[r], metrics.evaluate(x[r], c[r], k[r]))


@pytest.mark.parametrize("m", [3, 80])
def test_the_memory_bound_changes_nothing_but_the_blocks(m: int) -> None:
    x = np.random.default_rng(0).normal(size=(5, 36, m))
    free = metrics.evaluate_runs(x, CLASSES, MODES, heavy=False)
    for max_bytes in (1, 50_000, 300_000):
        bounded = metrics.evaluate_runs(x, CLASSES, MODES, heavy=False, options=Options(max_bytes=max_bytes))
        assert all(same(a, b) for a, b in zip(free, bounded, strict=True))


def test_blocks_and_chunks_keep_the_bound() -> None:
    x = torch.zeros(5, 36, 3, dtype=torch.float64)
    blocks = [d.shape for _, d in distance_blocks(x, x, row_bytes=100, max_bytes=2600)]
    assert blocks == [(5, 5, 36)] * 7 + [(5, 1, 36)]
    assert [d.shape[1] for _, d in distance_blocks(x, x, row_bytes=100, max_bytes=1)] == [1] * 36
    _, chunks = prepare(x, CLASSES, MODES, Options(max_bytes=2 * 8 * 16 * 36 * 4))
    assert [len(runs.x) for runs in chunks] == [2, 2, 1]


def test_distances_by_matrix_product() -> None:
    """Beyond 64 dimensions: as accurate as stated, and exactly 0 for equal points far from the origin."""
    rng = np.random.default_rng(0)
    x = 1e3 + rng.normal(size=(2, 20, 200))
    x[:, 10:] = x[:, :10]
    ((_, d),) = distance_blocks(torch.from_numpy(x), torch.from_numpy(x), row_bytes=1, max_bytes=10**6)
    exact = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    np.testing.assert_allclose(d, exact, atol=1e-9)
    assert (d.numpy()[exact == 0] == 0).all()


def test_leading_axes_and_devices_of_the_public_functions() -> None:
    x = torch.from_numpy(np.stack([sample(seed) for seed in range(6)])).view(2, 3, 36, 3).float().requires_grad_()
    rank = metrics.effective_rank(x, CLASSES)
    recall = metrics.recall_at_k(x, torch.from_numpy(CLASSES), MODES)
    assert (rank.shape, recall.shape, rank.dtype, rank.requires_grad) == ((2, 3), (2, 3, 4), torch.float64, False)
    assert metrics.within_mean(x[1, 2], CLASSES).shape == ()
    assert metrics.effective_rank(x[1, 2], CLASSES).item() == pytest.approx(rank[1, 2].item(), rel=1e-12)


def test_a_class_of_one_sample_is_no_trouble() -> None:
    classes = np.r_[CLASSES, 5]
    values = metrics.evaluate(np.concatenate([sample(0), [[50.0, 0, 0]]]), classes, np.r_[MODES, 0])
    assert not np.isnan(list(values.values())).any()
    assert values["within_mean"] == pytest.approx(metrics.evaluate(sample(0), CLASSES, MODES)["within_mean"])


X = sample(0)


def spoilt(value: float) -> np.ndarray:
    x = X.copy()
    x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: metrics.evaluate(spoilt(np.nan), CLASSES, MODES), "embeddings: got nan"),
        (lambda: metrics.evaluate(spoilt(-np.inf), CLASSES, MODES), "embeddings: got -inf.*run 0, sample 4, axis 1"),
        (lambda: metrics.evaluate(X[None], CLASSES, MODES), "embeddings: got \\(1, 36, 3\\)"),
        (lambda: metrics.evaluate_runs(X, CLASSES, MODES), "embeddings: got \\(36, 3\\)"),
        (lambda: metrics.evaluate(X[:, :0], CLASSES, MODES), "embeddings: got \\(36, 0\\)"),
        (lambda: metrics.evaluate(X > 0, CLASSES, MODES), "embeddings: got dtype\\('bool'\\)"),
        (lambda: metrics.evaluate(X.astype(str), CLASSES, MODES), "embeddings: got dtype"),
        (lambda: metrics.evaluate(X, CLASSES[:-1], MODES), "classes: got \\(35,\\)"),
        (lambda: metrics.evaluate(X, CLASSES, MODES[None, :5]), "modes: got \\(1, 5\\)"),
        (lambda: metrics.evaluate(X, 0 * CLASSES + 3, MODES), "classes: got \\[3\\]; allowed: at least two classes"),
        (lambda: metrics.evaluate_runs(X[None], CLASSES[None] * 0, MODES), "classes: got \\[0\\]"),
        (lambda: metrics.evaluate(X, CLASSES + 0.5, MODES), "classes: got dtype.*; allowed: integer or string ids"),
        (lambda: metrics.evaluate(X, CLASSES, MODES.astype(float)), "modes: got dtype"),
        (lambda: Options(ks=(0,)), "ks: got"),
        (lambda: Options(ks=()), "ks: got"),
        (lambda: Options(scale=0.0), "scale: got"),
        (lambda: Options(link_distance=-1.0), "link_distance: got"),
        (lambda: Options(min_fraction=1.5), "min_fraction: got"),
        (lambda: Options(k_max=0), "k_max: got"),
        (lambda: Options(max_bytes=0), "max_bytes: got"),
    ],
)
def test_bad_input_names_the_field(call: object, field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        call()  # type: ignore[operator]


def test_columns_come_in_the_order_of_the_recorded_rows() -> None:
    from realdata.recorded import rows

    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40)
    found = list(evaluate(x, labels // 20, labels // 10))
    recorded = list(rows("digits").columns)
    assert found == recorded[recorded.index("within_mean") : recorded.index("within_mean") + len(found)]
