"""Every generator keeps its promises: sizes, units, interleaving, reproducibility; and refuses bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sim import generators
from sim.catalogue import GENERATORS
from sim.errors import InvalidInput
from sim.generators import Sample, generate, rings

INTERLEAVED = [n for n in GENERATORS if n != "hierarchy"]


def dimension(name: str) -> int:
    return max(GENERATORS[name].min_dim, 2)


@pytest.mark.parametrize("name", list(GENERATORS))
@pytest.mark.parametrize("t", [2, 3])
def test_shapes_labels_and_sizes(name: str, t: int) -> None:
    sample = generate(name, classes=t, modes_per_class=3, samples_per_mode=10, dim=4)
    assert sample.x.shape == (t * 3 * 10, 4)
    assert sample.t == t
    assert np.bincount(sample.modes).tolist() == [10] * (3 * t)
    assert (sample.modes // 3 == sample.classes).all()


@pytest.mark.parametrize("name", list(GENERATORS))
def test_the_seed_decides_everything_and_splits_share_the_layout(name: str) -> None:
    d = dimension(name)
    a, b = (generate(name, dim=d, seed=3, separation=200.0) for _ in range(2))
    np.testing.assert_array_equal(a.x, b.x)
    other = generate(name, dim=d, seed=3, separation=200.0, split="test")
    assert not np.array_equal(a.x, other.x)
    if name not in ("rings", "moons", "spirals", "nuisance_mixture"):  # modes that are points
        for mode in range(8):
            np.testing.assert_allclose(a.x[a.modes == mode].mean(0), other.x[other.modes == mode].mean(0), atol=0.02)
    assert not np.array_equal(a.x, generate(name, dim=d, seed=4, separation=200.0).x)


@pytest.mark.parametrize("name", INTERLEAVED)
@pytest.mark.parametrize("t", [2, 3])
def test_the_mode_nearest_to_a_mode_is_of_another_class(name: str, t: int) -> None:
    """Nearest in the sense of the closest pair of (nearly noise-free) samples; modes at equal distances don't count."""
    sample = generate(
        name,
        classes=t,
        modes_per_class=4,
        samples_per_mode=150,
        dim=dimension(name),
        separation=1e4,
        overlap=0.2,
        **({"nuisance_std": 0.0} if name == "nuisance_mixture" else {}),
    )
    for mode in range(4 * t):
        mine = sample.x[sample.modes == mode]
        own_class = sample.classes == mode // 4
        same = cdist(mine, sample.x[own_class & (sample.modes != mode)]).min()
        other = cdist(mine, sample.x[~own_class]).min()
        assert other < same


@pytest.mark.parametrize("name", [n for n in INTERLEAVED if n not in ("rings", "sphere_vmf")])
def test_the_gap_is_what_overlap_leaves(name: str) -> None:
    """In units of the mode's standard deviation, the nearest modes of different classes are separation * gap apart."""
    options = {"nuisance_std": 0.0} if name == "nuisance_mixture" else {}
    for overlap in (0.0, 0.5):
        sample = generate(name, samples_per_mode=400, dim=dimension(name), separation=1e4, overlap=overlap, **options)
        least = min(
            cdist(sample.x[sample.modes == mode], sample.x[sample.classes != mode // 4]).min() for mode in range(8)
        )
        # Curved modes are a gap apart half-way along and a little less or more elsewhere.
        tolerance = 0.35 if name in ("moons", "spirals") else 0.02
        assert least == pytest.approx(1 - overlap, abs=tolerance)


def test_separation_is_measured_in_standard_deviations() -> None:
    sample = generate("gaussian_mixture", samples_per_mode=2000, separation=8.0)
    within = np.mean([sample.x[sample.modes == m].std(0).mean() for m in range(8)])
    assert within == pytest.approx(1 / 8, rel=0.03)
    sphere = generate("sphere_vmf", samples_per_mode=4000, modes_per_class=1, separation=20.0)
    angle = np.unwrap(np.arctan2(sphere.x[:, 1], sphere.x[:, 0]))
    spread = np.mean([angle[sphere.modes == m].std() for m in range(2)])
    assert spread == pytest.approx(np.pi / 20, rel=0.05)


@pytest.mark.parametrize("name", INTERLEAVED)
def test_classes_are_not_linear_but_modes_can_be_told_apart(name: str) -> None:
    sample = generate(
        name,
        samples_per_mode=60,
        dim=dimension(name),
        separation=12.0,
        **({"nuisance_std": 0.1} if name == "nuisance_mixture" else {}),
    )
    test = generate(
        name,
        samples_per_mode=60,
        dim=dimension(name),
        separation=12.0,
        split="test",
        **({"nuisance_std": 0.1} if name == "nuisance_mixture" else {}),
    )
    linear = LogisticRegression().fit(sample.x, sample.classes).score(test.x, test.classes)
    assert linear < 0.9
    assert KNeighborsClassifier(1).fit(sample.x, sample.classes).score(test.x, test.classes) > 0.97
    assert KNeighborsClassifier(1).fit(sample.x, sample.modes).score(test.x, test.modes) > 0.97


def test_sphere_stays_on_the_sphere() -> None:
    for d in (2, 3, 8):
        x = generate("sphere_vmf", dim=d).x
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-12)


def test_hierarchy_nests() -> None:
    sample = generate("hierarchy", classes=4, superclasses=2, separation=50.0)
    assert sample.superclasses is not None
    assert {tuple(np.unique(sample.superclasses[sample.classes == c])) for c in range(4)} == {(0,), (1,)}
    centres = np.stack([sample.x[sample.modes == m].mean(0) for m in range(16)])
    d = cdist(centres, centres)
    classes = np.arange(16) // 4
    tops = np.array([sample.superclasses[sample.modes == m][0] for m in range(16)])
    same_class = classes[:, None] == classes
    same_top = tops[:, None] == tops
    assert d[same_class].max() < d[same_top & ~same_class].mean() < d[~same_top].min()


def test_imbalance() -> None:
    sample = generate("gaussian_mixture", classes=3, modes_per_class=2, samples_per_mode=100, class_imbalance=4.0)
    sizes = np.bincount(sample.classes)
    assert sizes[0] / sizes[2] == pytest.approx(4, rel=0.03)
    assert sizes.sum() == pytest.approx(600, abs=6)
    sample = generate("rings", modes_per_class=3, samples_per_mode=90, mode_imbalance=9.0)
    sizes = np.bincount(sample.modes)
    assert sizes[0] / sizes[2] == pytest.approx(9, rel=0.05)
    assert generate("rings", samples_per_mode=2, mode_imbalance=100.0).n >= 16


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"classes": 1}, "classes: got 1; allowed: an integer, 2 to 5000"),
        ({"modes_per_class": 0}, "modes_per_class: got 0"),
        ({"samples_per_mode": 1}, "samples_per_mode: got 1"),
        ({"dim": 1}, r"dim \(rings\): got 1; allowed: an integer, 2 to 10000"),
        ({"separation": 0.0}, "separation: got 0.0"),
        ({"separation": float("nan")}, "separation: got nan"),
        ({"overlap": 1.0}, "overlap: got 1.0; allowed: 0 <= overlap < 1"),
        ({"class_imbalance": 0.5}, "class_imbalance: got 0.5"),
        ({"mode_imbalance": float("inf")}, "mode_imbalance: got inf"),
        ({"split": "valid"}, "split: got 'valid'; allowed: one of train, test"),
        ({"radius": 2}, "radius: got 2; allowed: rings takes classes, modes_per_class"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        rings(**parameters)


@pytest.mark.parametrize("name", ["moons", "hierarchy", "sphere_vmf", "xor_grid"])
def test_the_package_has_the_function_not_the_file_of_its_name(name: str) -> None:
    assert name in GENERATORS  # every file has been imported
    np.testing.assert_array_equal(getattr(generators, name)(seed=1).x, generate(name, seed=1).x)


def test_unknown_generator() -> None:
    with pytest.raises(InvalidInput, match="generator: got 'circles'; allowed: one of .*gaussian_mixture"):
        generate("circles")


X = np.zeros((4, 2))
L = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((np.full((4, 2), np.nan), L, L), "x: got 'NaN or infinity in sample 0'"),
        ((X, L[:3], L), "classes: got"),
        ((X, L.astype(float), L), "classes: got 'float64"),
        ((X, L * 0, L), "classes: got 1; allowed: at least 2 classes"),
        ((X, L * 2, L), r"classes: got 'no sample of class \[1\]'"),
        ((X, L, np.array([0, 1, 1, 2])), "modes: got 'mode 1 in several classes'"),
    ],
)
def test_bad_samples_are_named(sample: tuple[np.ndarray, np.ndarray, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Sample(*sample)


@pytest.mark.parametrize(
    "field", ["classes", "modes_per_class", "samples_per_mode", "dim", "separation", "class_imbalance", "seed"]
)
@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "3"])
def test_what_is_no_number_of_a_generator(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}"):
        generate("gaussian_mixture", **{field: value})


@pytest.mark.parametrize("field", ["classes", "modes_per_class", "samples_per_mode", "dim"])
def test_sizes_that_would_not_end_are_refused_by_name(field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{field}.*: got 1000000000; allowed: an integer, \d+ to \d+$"):
        generate("gaussian_mixture", **{field: 10**9})


def test_sizes_together_beyond_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.errors.memory", lambda: 1000)
    with pytest.raises(InvalidInput, match="samples_per_mode: got 2; allowed: less: 0.0 GiB would be needed"):
        generate("rings", samples_per_mode=2)


def test_short_integers_of_numpy_are_no_smaller_than_others() -> None:
    sizes = {"classes": np.uint8(2), "modes_per_class": np.uint8(4), "samples_per_mode": np.uint8(200)}
    assert generate("rings", **sizes).n == 1600
