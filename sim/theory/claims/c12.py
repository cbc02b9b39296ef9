"""C12. Softmax-type losses, noisy labels, unit sphere: with classes of equal size every minimiser is collapsed for t <= m <= n - 2.

Of NT-Xent (N-pair of cosines is the same) and SupCon, all positives, symmetric noise, p != 1/t, classes of k >= 2.

The expected term of anchor i is convex in its row of cosines s_i., unchanged where samples of one class change places, and unchanged if a constant is added
to the row; strictly convex but for that. Averaging the row over those permutations does not raise it (Jensen), so its least value is at rows that are constant
on classes, with one gap s_in - s_out = delta = temperature g*(t, k, p) > 0 (`sim.theory.reduced.best_gap`; SupCon: g* = log(c_in / c_out) exactly).

A (delta < t / (t - 1)). The loss is least iff s_ij = sigma inside classes and sigma - delta between them, for one sigma <= 1: symmetry of the Gram matrix makes all
rows' constants equal. That matrix is (1 - sigma) I + delta (blocks of ones) + (sigma - delta) 11'; for sigma < 1 its rank is n - 1 or n. So for t <= m <= n - 2
sigma = 1: collapse, cosine of the centres 1 - delta. In m = n - 1 sigma = (delta (n - k) - 1) / (n - 1) is a spread minimiser.
B (delta >= t / (t - 1)). The row of the regular simplex is the nearest to the best one that points have: the tangent there bounds the loss from below,
and the bound is attained by collapsed regular simplices only, in every m >= t - 1.
C (two classes of different size). At the best collapsed cosine c, -1 < c < 1, the derivatives in s_in of both classes and in s_out sum to 0 and that in s_out vanishes; the
gaps differ, so that in s_in of one class is positive: spreading it by +-h orthogonally to the centres lowers the loss by n_A (dE/ds_in) h^2 + O(h^4). m >= 3: no minimiser is collapsed.
D (easy positives, two classes, m >= 3). The terms aren't convex. Splitting one class changes the loss by kappa h^2; kappa < 0 is proven by
interval arithmetic at every cosine that may be the best collapsed one (`sim.theory.splitting`), so no minimiser is collapsed. At high temperatures
the best centres are opposite to each other, and kappa > 0.
E (any convex loss, also multi-similarity; any sizes and T). The least value over all embeddings is a convex program in t (t + 1) / 2 numbers, its multipliers
are a certificate (`sim.theory.reduced`): it decides who collapses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Part, Setting, collapse_verdict
from sim.theory.descent import Search
from sim.theory.minimise import Minima, minimise
from sim.theory.reduced import best_gap, reduced_minimum
from sim.theory.similarity import expected_similarity_loss
from sim.theory.splitting import Split, kappa, splitting
from sim.verdict import Verdict, together

P = 0.9
AS_PREDICTED = 1e-4
"""Of the cosine of the centres."""
LOWER = 1e-6
"""Relative: by how much a value has to be lower than another one to count."""
EQUAL: dict[str, tuple[str, float, int, int, float, int]] = {
    # name: loss, temperature, t, k, p, m
    "SupCon, t = 2, k = 6, m = 3": ("supcon", 0.1, 2, 6, P, 3),
    "SupCon, t = 2, k = 6, m = n - 2 = 10": ("supcon", 0.1, 2, 6, P, 10),
    "SupCon, t = 3, k = 4, m = 3": ("supcon", 0.1, 3, 4, 0.8, 3),
    "NT-Xent, t = 2, k = 6, m = 3": ("ntxent", 0.5, 2, 6, P, 3),
}
SIMPLEX: dict[str, tuple[str, float, int, int, float, int]] = {
    "SupCon, t = 2, k = 6, m = 2": ("supcon", 1.0, 2, 6, 0.95, 2),
    "SupCon, t = 2, k = 6, m = n - 1 = 11": ("supcon", 1.0, 2, 6, 0.95, 11),
    "NT-Xent, t = 3, k = 4, m = 3": ("ntxent", 0.5, 3, 4, 0.9, 3),
}
SPLIT = {
    "quick": [(3, "9/10", "1/10"), (4, "9/10", "1/2"), (6, "9/10", "1/10")],
    "full": [(k, p, tau) for k in (3, 4, 6, 12) for p in ("19/20", "9/10", "7/10", "3/5") for tau in ("1/10", "1/5")],
}
MAP = {"quick": ((4, 12), (0.95, 0.9)), "full": ((3, 4, 6, 8, 12, 16), (0.99, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6))}


def _found(
    sizes: list[int], p: float, dim: int, setting: Setting, bound: float | None = None, **loss: Any
) -> tuple[Minima, Minima, np.ndarray, np.ndarray]:
    """The best embeddings found on the sphere, free and collapsed; classes and transition."""
    classes, transition = np.repeat(np.arange(len(sizes)), sizes), noise.symmetric(len(sizes), p)
    search = Search(steps=800, polish=800)
    free, collapsed = (
        minimise(
            classes,
            transition,
            geometry="sphere",
            dim=dim,
            restarts=setting.restarts // 2,
            seed=setting.seed,
            search=search,
            collapsed=c,
            bound=None if c else bound,
            **loss,
        )
        for c in (False, True)
    )
    return free, collapsed, classes, transition


def least_of_rows(loss: str, temperature: float, t: int, per_class: int, p: float) -> float:
    """n times the least expected term of an anchor over rows: no embedding lies below, whatever its dimension.

    Examples
    --------
    >>> round(least_of_rows("supcon", 0.1, 2, 6, 0.9), 5)
    25.46413
    """
    classes, transition = np.repeat(np.arange(t), per_class), noise.symmetric(t, p)
    gap = temperature * best_gap(per_class, transition, loss=loss)
    rows = -gap * (classes[:, None] != classes)
    return float(expected_similarity_loss(rows, classes, transition, loss=loss, temperature=temperature, cosine=False))


def spread_minimiser(loss: str, temperature: float, t: int, per_class: int, p: float) -> np.ndarray:
    """A's minimiser in m = n - 1 with sigma < 1: points (n, n - 1).

    Examples
    --------
    >>> points = spread_minimiser("supcon", 0.1, 2, 6, 0.9)
    >>> points.shape, round(float(points[0] @ points[1]), 3), round(float(points[0] @ points[6]), 3)
    ((12, 11), -0.0, -0.167)
    """
    n, classes = t * per_class, np.repeat(np.arange(t), per_class)
    delta = temperature * best_gap(per_class, noise.symmetric(t, p), loss=loss)
    sigma = (delta * (n - per_class) - 1) / (n - 1)
    gram = np.where(classes[:, None] == classes, sigma, sigma - delta)
    np.fill_diagonal(gram, 1.0)
    values, vectors = np.linalg.eigh(gram)  # the least is 0
    points: np.ndarray = vectors[:, 1:] * np.sqrt(np.maximum(values[1:], 0.0))
    return points


def _collapse(
    name: str, case: tuple[str, float, int, int, float, int], setting: Setting
) -> tuple[Part, dict[str, Any]]:
    """Are all minimisers collapsed, at the predicted cosine?"""
    loss, temperature, t, k, p, dim = case
    # A's bound is attained, by collapse, at the end of a flat valley: the loss grows with the fourth power of the spread.
    least = least_of_rows(*case[:5])
    bound = least if name in EQUAL else None
    free, collapsed, classes, transition = _found([k] * t, p, dim, setting, bound, loss=loss, temperature=temperature)
    verdict, evidence = collapse_verdict(free, classes, alpha=1.0)
    centres = free.embeddings[0, ::k].numpy()
    cosines = (centres @ centres.T)[~np.eye(t, dtype=bool)]
    predicted = max(1 - temperature * best_gap(k, transition, loss=loss), -1 / (t - 1))
    error = float(np.abs(cosines - predicted).max())
    if verdict == "holds" and error > AS_PREDICTED:
        verdict = "fails"
    evidence |= {
        "cosine of the centres": float(cosines.mean()),
        "predicted": predicted,
        "best collapsed": collapsed.best,
        "least of rows": least,
    }
    return Part(
        verdict,
        f"{free.best:.5f} free, {collapsed.best:.5f} collapsed; cosine {cosines.mean():.4f}, predicted {predicted:.4f}",
    ), evidence


def _below(free: Minima, collapsed: Minima, evidence: dict[str, Any], name: str, claimed: bool = True) -> Part:
    """Does a free embedding lie below the best collapsed one?"""
    evidence[name] = {"best": free.best, "best collapsed": collapsed.best}
    lower = free.best < collapsed.best * (1 - LOWER)
    return Part("holds" if lower is claimed else "fails", f"{free.best:.5f} free, {collapsed.best:.5f} collapsed")


def spreading_helps(points: np.ndarray, classes: np.ndarray, transition: np.ndarray, **loss: Any) -> list[float]:
    """dE / ds_in of each class at an embedding, summed over its ordered pairs: where positive, spreading the class lowers the loss (part C).

    Examples
    --------
    >>> collapsed = np.array([[1.0, 0.0]] * 3 + [[0.8, 0.6]] * 9)
    >>> classes = np.repeat([0, 1], [3, 9])
    >>> slopes = spreading_helps(collapsed, classes, noise.symmetric(2, 0.9), loss="supcon", temperature=0.1)
    >>> slopes[0] < 0 < slopes[1]
    True
    """
    cosines = torch.from_numpy((points @ points.T).clip(-1, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(expected_similarity_loss(cosines, classes, transition, **loss), cosines)
    slopes = gradient.numpy() * ~np.eye(len(classes), dtype=bool)
    return [float(slopes[np.ix_(classes == c, classes == c)].sum()) for c in np.unique(classes)]


def _unequal(setting: Setting, evidence: dict[str, Any]) -> dict[str, Part]:
    """Part C: three and nine samples."""
    loss: dict[str, Any] = {"loss": "supcon", "temperature": 0.1}
    parts = {}
    for dim in (3, 2):
        free, collapsed, classes, transition = _found([3, 9], P, dim, setting, **loss)
        name = f"C: SupCon, sizes 3 and 9, m = {dim}: " + (
            "no minimiser is collapsed" if dim == 3 else "the best is collapsed"
        )
        parts[name] = _below(free, collapsed, evidence, name, claimed=dim == 3)
        if dim == 3:
            points = collapsed.embeddings[0].numpy()
            slopes = spreading_helps(points, classes, transition, **loss)
            evidence[name] |= {"cosine of the best centres": float(points[0] @ points[-1]), "dE/ds_in": slopes}
            if max(slopes) <= 0:
                parts[name] = Part("fails", parts[name].found)
    return parts


def _in_words(proof: Split, per_class: int, p: float, temperature: float) -> Part:
    """A proof by intervals, and what kappa is where it ended."""
    if proof.undecided is None:
        return Part(proof.verdict, f"proven by {proof.boxes} intervals")
    at = kappa(per_class, p, temperature, proof.undecided[0])
    return Part(proof.verdict, f"kappa {at:+.2g} at cosine {proof.undecided[0]:.4f}, which may be the best")


def _easy(setting: Setting, evidence: dict[str, Any]) -> dict[str, Part]:
    """Part D."""
    proofs = {case: splitting(*case) for case in SPLIT[setting.size]}
    held = sum(proof.verdict == "holds" for proof in proofs.values())
    evidence["D: proofs by intervals (k, p, temperature)"] = {
        str(case): proof.verdict for case, proof in proofs.items()
    }
    free, collapsed, _, _ = _found([6, 6], P, 3, setting, loss="ntxent", temperature=0.5, positive="easy")
    hot, pairs = splitting(3, "99/100", 1), splitting(2, "9/10", "1/10")
    name = "D: easy-positive NT-Xent, t = 2, k = 6, m = 3: a free embedding lies below"
    return {
        "D: easy positives, t = 2, m >= 3: no minimiser is collapsed": Part(
            together(proof.verdict for proof in proofs.values()),
            f"proven by intervals for {held} of {len(proofs)} (k, p, temperature)",
        ),
        name: _below(free, collapsed, evidence, name),
        "D: k = 3, p = 0.99, temperature 1: splitting a class lowers the loss": _in_words(hot, 3, 0.99, 1.0),
        "D: k = 2: splitting a class lowers the loss": _in_words(pairs, 2, 0.9, 0.1),
    }


def _multi_similarity(setting: Setting, evidence: dict[str, Any]) -> dict[str, Part]:
    """Part E: where multi-similarity (2, 50, 0.5) collapses."""
    sizes, levels = MAP[setting.size]
    found = {
        (k, p): reduced_minimum(np.repeat([0, 1], k), noise.symmetric(2, p), loss="multi_similarity")
        for k in sizes
        for p in levels
    }
    evidence[
        "E: multi-similarity (k, p): verdict, cosine inside classes at the least value, best collapsed - least"
    ] = {str(key): [r.verdict, float(r.within[0]), r.collapsed.value - r.all.value] for key, r in found.items()}
    return {
        f"E: multi-similarity, t = 2, k = {k}, p = {p:g}: a collapsed embedding is a global minimiser": Part(
            found[k, p].verdict,
            f"least {found[k, p].all.value:.5f}, proven from {found[k, p].all.bound:.5f}, collapsed {found[k, p].collapsed.value:.5f}",
        )
        for k, p in ((4, 0.95), (4, 0.9), (12, 0.95), (12, 0.9))
    }


def check(setting: Setting) -> Outcome:
    """Minimisers, proofs by intervals and convex programs for parts A to E; m = n - 1 is the counter-example of A."""
    evidence: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    for letter, cases in (("A", EQUAL), ("B", SIMPLEX)):
        for name, case in cases.items():
            parts[f"{letter}: {name}"], evidence[f"{letter}: {name}"] = _collapse(name, case, setting)
    main = [part.verdict for part in parts.values()]
    first = next(iter(EQUAL.values()))[:5]
    loss, temperature, t, k, p = first
    points = torch.from_numpy(spread_minimiser(*first))[None]
    cosines = points @ points.mT
    classes, transition = np.repeat(np.arange(t), k), noise.symmetric(t, p)
    value = expected_similarity_loss(cosines, classes, transition, loss=loss, temperature=temperature)
    beyond, of_beyond = collapse_verdict(
        Minima(points, value, torch.full((1,), torch.nan), bound=least_of_rows(*first)), classes, alpha=1.0
    )
    evidence["A in m = n - 1"] = of_beyond
    parts |= _unequal(setting, evidence) | _easy(setting, evidence) | _multi_similarity(setting, evidence)
    gaps = {
        name: c[1] * best_gap(c[3], noise.symmetric(c[2], c[4]), loss=c[0]) for name, c in {**EQUAL, **SIMPLEX}.items()
    }
    return Outcome(
        hypotheses={
            "symmetric noise, 0 < p < 1, p != 1/t": all(
                0 < c[4] < 1 and c[4] != 1 / c[2] for c in (*EQUAL.values(), *SIMPLEX.values())
            ),
            "A: 0 < delta < t / (t - 1), k >= 2, t <= m <= n - 2": all(
                0 < gaps[name] < c[2] / (c[2] - 1) and c[3] >= 2 and c[2] <= c[5] <= c[2] * c[3] - 2
                for name, c in EQUAL.items()
            ),
            "B: delta >= t / (t - 1), m >= t - 1": all(
                gaps[name] >= c[2] / (c[2] - 1) and c[5] >= c[2] - 1 for name, c in SIMPLEX.items()
            ),
        },
        verdict=together(main),
        bound=least_of_rows(*first),
        best=evidence[f"A: {next(iter(EQUAL))}"]["best"],
        evidence=evidence,
        counter_example=CounterExample("A in m = n - 1: every minimiser is collapsed", beyond, "fails"),
        parts=parts,
    )


DOCUMENTED: dict[str, Verdict] = {
    **{f"A: {name}": "holds" for name in EQUAL},
    **{f"B: {name}": "holds" for name in SIMPLEX},
    "C: SupCon, sizes 3 and 9, m = 3: no minimiser is collapsed": "holds",
    "C: SupCon, sizes 3 and 9, m = 2: the best is collapsed": "holds",
    "D: easy positives, t = 2, m >= 3: no minimiser is collapsed": "holds",
    "D: easy-positive NT-Xent, t = 2, k = 6, m = 3: a free embedding lies below": "holds",
    "D: k = 3, p = 0.99, temperature 1: splitting a class lowers the loss": "fails",
    "D: k = 2: splitting a class lowers the loss": "inconclusive",
    "E: multi-similarity, t = 2, k = 4, p = 0.95: a collapsed embedding is a global minimiser": "holds",
    "E: multi-similarity, t = 2, k = 4, p = 0.9: a collapsed embedding is a global minimiser": "holds",
    "E: multi-similarity, t = 2, k = 12, p = 0.95: a collapsed embedding is a global minimiser": "holds",
    "E: multi-similarity, t = 2, k = 12, p = 0.9: a collapsed embedding is a global minimiser": "fails",
}

CLAIMS.register("C12")(
    Claim(
        "NT-Xent and SupCon, noisy, unit sphere, equal sizes: for t <= m <= n - 2 every minimiser is collapsed, cosine of the centres 1 - temperature g*",
        "holds",
        check,
        parts=DOCUMENTED,
    )
)
