"""What all generators share: the sample they give, the layout they fill, the decorator that enters them."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.catalogue import GENERATORS
from sim.errors import InvalidInput, choice, integer, number, within_memory
from sim.streams import stream


@dataclass(frozen=True)
class Sample:
    """Samples with a class and, inside it, a mode.

    Attributes
    ----------
    x : ndarray, shape (n, ...), float64
    classes : ndarray, shape (n,), int64
        0..t-1, every class present.
    modes : ndarray, shape (n,), int64
        Ids that are unique over all classes: each mode belongs to one class.
    superclasses : ndarray, shape (n,), int64, or None
        A coarser label, where the problem has one.

    Raises
    ------
    InvalidInput
        If shapes differ, x isn't finite, there are fewer than two classes, a class is empty or a mode is in two classes.

    Examples
    --------
    >>> sample = Sample(np.zeros((3, 2)), np.array([0, 0, 1]), np.array([0, 1, 2]))
    >>> sample.n, sample.t
    (3, 2)
    >>> Sample(np.zeros((2, 2)), np.array([0, 1]), np.array([0, 0]))
    Traceback (most recent call last):
    sim.errors.InvalidInput: modes: got 'mode 0 in several classes'; allowed: ids that are unique over all classes
    """

    x: np.ndarray
    classes: np.ndarray
    modes: np.ndarray
    superclasses: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("classes", "modes", "superclasses"):
            labels = getattr(self, name)
            if labels is not None and (labels.shape != self.x.shape[:1] or labels.dtype != np.int64):
                raise InvalidInput(
                    name, f"{labels.dtype} {labels.shape}", f"int64 {self.x.shape[:1]}, one for each sample"
                )
        if not np.isfinite(self.x).all():
            bad = int((~np.isfinite(self.x.reshape(len(self.x), -1))).any(1).argmax())
            raise InvalidInput("x", f"NaN or infinity in sample {bad}", "finite numbers")
        present = np.unique(self.classes)
        if len(present) < 2:
            raise InvalidInput("classes", len(present), "at least 2 classes")
        if present[0] != 0 or present[-1] != len(present) - 1:
            missing = sorted(set(range(int(present[-1]) + 1)) - set(present.tolist()))
            raise InvalidInput(
                "classes", f"no sample of class {missing or present[0]}", "labels 0..t-1, each with samples"
            )
        _, first, of_mode = np.unique(self.modes, return_index=True, return_inverse=True)
        elsewhere = self.classes != self.classes[first][of_mode]
        if elsewhere.any():
            raise InvalidInput(
                "modes", f"mode {self.modes[elsewhere][0]} in several classes", "ids that are unique over all classes"
            )

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.x)

    @property
    def t(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1


@dataclass(frozen=True)
class Layout:
    """What a generator is to fill: for each sample its class and cell, and where the random numbers come from.

    Attributes
    ----------
    t, cells, dim : int
        Classes; modes a class; dimension d.
    gap : float
        Distance between neighbouring modes of different classes, 1 - overlap.
    std : float
        Standard deviation across a mode, 1 / separation.
    classes, cell : ndarray, shape (n,), int64
    layout : numpy.random.Generator
        For what a training and a test sample share (where modes lie).
    points : numpy.random.Generator
        For the samples themselves.

    Examples
    --------
    Two classes of two modes, two samples a mode; without overlap neighbouring modes are 1 apart.

    >>> classes, cell = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 0, 0, 1, 1])
    >>> layout = Layout(2, 2, 2, 1.0, 0.1, classes, cell, stream(0, "layout"), stream(0, "points"))
    >>> layout.offsets().tolist()
    [[-0.5, 0.0], [0.5, 0.0]]
    >>> layout.blur(layout.offsets()[layout.classes]).shape
    (8, 2)
    """

    t: int
    cells: int
    dim: int
    gap: float
    std: float
    classes: np.ndarray
    cell: np.ndarray
    layout: np.random.Generator
    points: np.random.Generator

    def blur(self, means: np.ndarray) -> np.ndarray:
        """Add isotropic Gaussian noise of the mode's standard deviation to (n, k) positions."""
        blurred: np.ndarray = means + self.std * self.points.normal(size=means.shape)
        return blurred

    def embed(self, plane: np.ndarray) -> np.ndarray:
        """Put (n, 2) positions into d dimensions by a random orthonormal frame (d = 2: as they are)."""
        if self.dim == 2:
            return plane
        frame = np.linalg.qr(self.layout.normal(size=(self.dim, 2)))[0]  # (d, 2)
        embedded: np.ndarray = plane @ frame.T
        return embedded

    def offsets(self) -> np.ndarray:
        """Where the t classes sit around the middle of a cell, (t, 2): neighbours a gap apart."""
        if self.t == 2:
            return np.array([[-self.gap / 2, 0.0], [self.gap / 2, 0.0]])
        angles = 2 * np.pi * np.arange(self.t) / self.t
        radius = self.gap / 2 / math.sin(math.pi / self.t)
        return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


MOST_MODES, MOST_CELLS, MOST_SAMPLES, MOST_DIMENSIONS = 5_000, 1_000, 10_000_000, 10_000
"""Of all classes, of a class, of all modes; more is taken for a mistake."""

Placed = np.ndarray | tuple[np.ndarray, np.ndarray]
Placing = Callable[..., Placed]


@dataclass(frozen=True)
class Generator:
    """A registered generator: the function that places points and the smallest dimension it needs.

    Examples
    --------
    >>> GENERATORS["hierarchy"].min_dim, GENERATORS["hierarchy"].options
    (2, ['superclasses'])
    """

    place: Placing
    min_dim: int

    @property
    def options(self) -> list[str]:
        """Names of the parameters that only this generator takes."""
        return [n for n, p in inspect.signature(self.place).parameters.items() if p.kind is p.KEYWORD_ONLY]


def generator(*, min_dim: int = 2) -> Callable[[Placing], Callable[..., Sample]]:
    """Decorator: enter a placing function under its name, and turn it into a function with `generate`'s parameters.

    The placing function takes a `Layout` (and options by keyword) and returns x (n, d), or (x, superclasses).

    Parameters
    ----------
    min_dim : int
        Smallest dimension of x that it can fill.

    Raises
    ------
    InvalidInput
        If another module has registered the name.

    Examples
    --------
    >>> def ladder(layout, *, rung=1.0):
    ...     return layout.embed(np.stack([layout.gap * layout.classes, rung * layout.cell], axis=1))
    >>> with GENERATORS.replaced("ladder", Generator(ladder, 2)):  # what @generator() does, for good
    ...     generate("ladder", modes_per_class=2, samples_per_mode=2, rung=3.0).x.tolist()[-1]
    [1.0, 3.0]
    """

    def enter(place: Placing) -> Callable[..., Sample]:
        name = place.__name__
        GENERATORS.register(name, module=place.__module__)(Generator(place, min_dim))

        @functools.wraps(place)
        def call(**parameters: Any) -> Sample:
            return generate(name, **parameters)

        return call

    return enter


def _sizes(total: float, parts: int, imbalance: float) -> np.ndarray:
    """``parts`` positive numbers summing to ``total`` in a geometric progression with last / first = 1 / imbalance."""
    profile = imbalance ** -(np.arange(parts) / max(parts - 1, 1))
    sizes: np.ndarray = total * profile / profile.sum()
    return sizes


def generate(
    name: str,
    /,
    *,
    classes: int = 2,
    modes_per_class: int = 4,
    samples_per_mode: int = 50,
    dim: int = 2,
    separation: float = 6.0,
    overlap: float = 0.0,
    class_imbalance: float = 1.0,
    mode_imbalance: float = 1.0,
    seed: int = 0,
    split: str = "train",
    **options: Any,
) -> Sample:
    """Draw a sample of a multi-modal problem.

    Parameters
    ----------
    name : str
        A name in `sim.catalogue.GENERATORS`.
    classes : int
        Number of classes, 2 to 5,000.
    modes_per_class : int
        Modes (cells) a class, 1 to 1,000; over all classes at most 5,000.
    samples_per_mode : int
        Mean number of samples a mode, >= 2; over all modes at most 10 million.
    dim : int
        Dimension of x, at most 10,000. Planar problems lie in a random plane of it.
    separation : float
        Gap between neighbouring modes in standard deviations across a mode, 1e-6 to 1e9.
    overlap : float
        Share of the gap between neighbouring modes of different classes that is closed, in [0, 1).
    class_imbalance, mode_imbalance : float
        Size of the largest over the smallest class, and mode within a class; 1 to 1e9. Sizes are geometric, at least 2.
    seed : int
        Decides the layout and, with ``split``, the points.
    split : str
        ``train`` or ``test``: two independent samples of one layout.
    **options
        What only this generator takes.

    Returns
    -------
    Sample

    Raises
    ------
    InvalidInput
        Naming the field.

    Examples
    --------
    >>> sample = generate("gaussian_mixture", classes=2, modes_per_class=3, samples_per_mode=5)
    >>> sample.x.shape, sample.t, len(np.unique(sample.modes))
    ((30, 2), 2, 6)
    """
    found = GENERATORS[name]
    classes = integer("classes", classes, 2, MOST_MODES)
    modes_per_class = integer("modes_per_class", modes_per_class, 1, min(MOST_CELLS, MOST_MODES // classes))
    samples_per_mode = integer("samples_per_mode", samples_per_mode, 2, MOST_SAMPLES // (classes * modes_per_class))
    dim = integer(f"dim ({name})", dim, found.min_dim, MOST_DIMENSIONS)
    seed = integer("seed", seed, 0)
    separation = number("separation", separation, "a number, 1e-6 to 1e9", lambda v: 1e-6 <= v <= 1e9)
    overlap = number("overlap", overlap, "0 <= overlap < 1", lambda v: 0 <= v < 1)
    class_imbalance = number("class_imbalance", class_imbalance, "a number, 1 to 1e9", lambda v: 1 <= v <= 1e9)
    mode_imbalance = number("mode_imbalance", mode_imbalance, "a number, 1 to 1e9", lambda v: 1 <= v <= 1e9)
    choice("split", split, ("train", "test"))
    for option, value in options.items():
        if option not in found.options:
            own = ", ".join(found.options)
            common = ", ".join(k for k, p in inspect.signature(generate).parameters.items() if p.kind is p.KEYWORD_ONLY)
            raise InvalidInput(option, value, f"{name} takes {common}{', ' + own if own else ''}")
    within_memory("samples_per_mode", samples_per_mode, 4 * 8 * classes * modes_per_class * samples_per_mode * dim)
    sizes = np.stack(
        [
            _sizes(share, modes_per_class, mode_imbalance)
            for share in _sizes(classes * modes_per_class * samples_per_mode, classes, class_imbalance)
        ]
    )
    counts = np.maximum(np.round(sizes).astype(np.int64), 2).ravel()
    modes = np.repeat(np.arange(classes * modes_per_class), counts)
    layout = Layout(
        t=classes,
        cells=modes_per_class,
        dim=dim,
        gap=1 - overlap,
        std=1 / separation,
        classes=modes // modes_per_class,
        cell=modes % modes_per_class,
        layout=stream(seed, f"layout {name}"),
        points=stream(seed, f"points {name} {split}"),
    )
    placed = found.place(layout, **options)
    x, superclasses = placed if isinstance(placed, tuple) else (placed, None)
    return Sample(x, layout.classes, modes, superclasses)


def cell_centres(layout: Layout) -> np.ndarray:
    """Middles of the cells on a near-square grid, (cells, 2), far enough apart that cells don't touch.

    Examples
    --------
    >>> nobody = np.zeros(0, np.int64)
    >>> layout = Layout(2, 4, 2, 1.0, 0.1, nobody, nobody, stream(0, "layout"), stream(0, "points"))
    >>> cell_centres(layout).tolist()
    [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    reach = np.linalg.norm(layout.offsets(), axis=1).max()
    columns = math.ceil(math.sqrt(layout.cells))
    k = np.arange(layout.cells)
    centres = np.stack([k % columns, k // columns], axis=1) * (2 * reach + 1.0)
    middled: np.ndarray = centres - centres.mean(0)
    return middled
