"""C10. Does every loss of the softmax family collapse classes, and do several centres, or easy positives, prevent it? Loss by loss.

The claim is that all of them do; its verdict is that of all parts together: ``fails`` as soon as one is refuted, which says nothing about the others.

Exact, for symmetric noise with 1/t < p < 1. Cross entropy is at least the entropy of the label given the class, with equality only where the
classifier's output is that class's row of the transition matrix.

*Normalised softmax, two classes, sphere of R^m, m >= 2.* The loss of e depends on u = e . (w_1 - w_2) / T only, and |u| <= 2 / T. It is least at
|u| = log(p / q). For 2 / T > log(p / q) class vectors at the poles leave a whole circle of such e (`off_the_pole`; in R^2 two points): spread minimisers. For
2 / T <= log(p / q) it falls as |u| grows up to 2 / T, which only the poles reach. So every minimiser is collapsed iff T >= 2 / log(p / q). Clean labels have
no least |u|: the threshold falls to 0.

*Softmax with bias, embeddings on the sphere.* The bound asks for t - 1 linear equations W e + b = the class's log-odds; the log-odds of the t classes
are in general position, so W has rank t - 1. In m = t - 1 it is injective: every minimiser is collapsed. In m >= t it has a kernel, and spread minimisers exist.

Measured, with fresh labels at every step and embeddings on the sphere, after 1,500 steps:

*Free embeddings* (the table net; the "unconstrained features" of the neural-collapse literature), two classes in R^3: is the within-class distance
below a tenth of the between-class one, without noise and with noise 0.1? A training that isn't done yet counts as it stands.

*Nets on classes of several modes*: are the modes kept better (Recall@1 on modes, relative within-class spread) with four centres a class (SoftTriple)
than with one (normalised softmax), and with easy than with all positives? On the sphere, at one temperature, easy-positive N-pair and easy-positive SupCon
are one loss: trained once, and set against both losses with all positives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch.nn.functional import normalize

from sim import noise
from sim.catalogue import CLAIMS
from sim.config import RunConfig
from sim.losses.equal import identity
from sim.problems import build
from sim.streams import stream
from sim.sweeps.grid import grid
from sim.theory.claims.base import (
    Claim,
    CounterExample,
    Outcome,
    Part,
    Setting,
    collapse_verdict,
    opposite,
    part_of,
    part_of_cases,
)
from sim.theory.minimise import Minima
from sim.theory.similarity import expected_similarity_loss
from sim.training import train
from sim.verdict import Finding, Statement, Verdict, decide, in_words, interval, together

SEEDS = {"quick": 5, "full": 20}
STEPS = 1500
LIMIT = 0.1
"""Within-class distance relative to the between-class one below which free embeddings count as collapsing."""
PER_CLASS = 3
"""Samples of a class where minimisers are looked for."""
AT_REST = 1e-6
"""Largest slope at the end of a search that found a minimum."""

ALL = {"positive": "all", "negative": "all"}
EASY = {"positive": "easy", "negative": "all"}
N_PAIR = {"loss.name": "npair", "loss.params": {"cosine": True, "temperature": 0.1}}
SUPCON = {"loss.name": "supcon", "loss.params": {"temperature": 0.1}}
COLLAPSING: dict[str, dict[str, Any]] = {
    "softmax": {"loss.name": "softmax", **ALL},
    "normalised softmax": {"loss.name": "normalized_softmax", **ALL},
    "SupCon": {**SUPCON, **ALL},
    "N-pair": {**N_PAIR, **ALL},
}
SOFT_TRIPLE, EASY_POSITIVES = "SoftTriple, 4 centres", "easy-positive N-pair (= SupCon)"
KEEPING: dict[str, dict[str, Any]] = {
    SOFT_TRIPLE: {"loss.name": "softtriple", "loss.params": {"centres": 4}, **ALL},
    EASY_POSITIVES: {**N_PAIR, **EASY},
}
AGAINST = {SOFT_TRIPLE: ("normalised softmax",), EASY_POSITIVES: ("N-pair", "SupCon")}
NOISE = {"table": (0.0, 0.1), "mlp": (0.1, 0.2)}

TEMPERATURE = "exact: normalised softmax, two classes, noise: collapsed iff temperature >= 2 / log(p/q)"
DIMENSION = "exact: softmax, three classes, noise: collapsed in m = t - 1, not in m = t"
PARTS: dict[str, Verdict] = {
    TEMPERATURE: "holds",
    DIMENSION: "holds",
    "softmax: free embeddings collapse": "fails",
    "normalised softmax: free embeddings collapse": "fails",
    "SupCon: free embeddings collapse": "holds",
    "N-pair: free embeddings collapse": "fails",
    f"{SOFT_TRIPLE}: nets keep modes better than with one": "inconclusive",
    f"{EASY_POSITIVES}: nets keep modes better than with all positives": "holds",
}

Measured = dict[tuple[str, float], dict[str, list[float]]]


def threshold(p: float) -> float:
    """The temperature from which on normalised softmax with two classes collapses them, 1/2 < p < 1.

    Examples
    --------
    >>> round(threshold(0.9), 4)
    0.9102
    """
    return 2 / math.log(p / (1 - p))


def least(p: float, temperature: float) -> float:
    """The least expected normalised softmax loss (mean) of two classes, 1/2 < p < 1: above the threshold more than the entropy.

    Examples
    --------
    >>> round(least(0.9, 0.05), 6), round(least(0.9, 2.0), 6)
    (0.325083, 0.413262)
    """
    u = min(2 / temperature, math.log(p / (1 - p)))
    return p * math.log1p(math.exp(-u)) + (1 - p) * math.log1p(math.exp(u))


def entropy(t: int, p: float) -> float:
    """Entropy of the label given the class, symmetric noise, 0 < p < 1.

    Examples
    --------
    >>> round(entropy(2, 0.9), 6)
    0.325083
    """
    return -p * math.log(p) - (1 - p) * math.log((1 - p) / (t - 1))


def minima(loss: str, t: int, p: float, dim: int, setting: Setting, bound: float, **params: Any) -> Minima:
    """Minimise an expected loss of the softmax family over samples on the sphere and class vectors: a search a restart.

    Parameters
    ----------
    loss : str
        ``softmax`` or ``normalized_softmax``.
    t, p, dim
        Classes, of three samples each, symmetric noise, and the dimension m.
    setting : Setting
        A third of its restarts: these searches find their minimum from nearly everywhere.
    bound : float
        The exact least value.
    **params
        Of the loss.

    Examples
    --------
    >>> found = minima("normalized_softmax", 2, 0.9, 3, Setting(), least(0.9, 2.0), temperature=2.0)
    >>> round(found.best, 6), collapse_verdict(found, np.repeat([0, 1], 3), alpha=1.0)[0]
    (0.413262, 'holds')
    """
    classes, transition = np.repeat(np.arange(t), PER_CLASS), noise.symmetric(t, p)
    n = len(classes)

    def split(flat: np.ndarray | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Samples (n, m), class vectors (t, m), biases (t,)."""
        x = torch.as_tensor(flat)
        vectors = x[: (n + t) * dim].view(n + t, dim)
        return normalize(vectors[:n], dim=-1), vectors[n:], x[(n + t) * dim :]

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(flat).requires_grad_()
        points, vectors, biases = split(x)
        logits = points @ vectors.T + biases if loss == "softmax" else points @ normalize(vectors, dim=-1).T
        value = expected_similarity_loss(logits, classes, transition, loss=loss, reduction="mean", **params)
        (slope,) = torch.autograd.grad(value, x)
        return value.item(), slope.numpy()

    rng = stream(setting.seed, "C10")
    options = {"maxiter": 300, "ftol": 0.0, "gtol": 1e-13, "maxcor": 30}
    on_sphere = n if loss == "softmax" else n + t
    values, ends = [], []
    for _ in range(setting.restarts // 3):
        flat = rng.normal(size=(n + t) * dim + t)
        for _ in range(2):
            # Only directions count on the sphere: a short vector turns too fast for the search, so it goes on from unit ones.
            vectors = flat[: on_sphere * dim].reshape(on_sphere, dim)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            end = optimize.minimize(evaluate, flat, jac=True, method="L-BFGS-B", options=options)
            flat = end.x
        # A search that hasn't come to rest has found no minimum.
        values.append(float(end.fun) if np.abs(end.jac).max() < AT_REST else math.inf)
        ends.append(split(flat)[0])
    order = np.argsort(values)
    found = torch.tensor(values, dtype=torch.float64)[order]
    return Minima(torch.stack(ends)[order], found, torch.full_like(found, torch.nan), bound)


def of_temperature(p: float, temperature: float, setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    """Are the minimisers of normalised softmax, two classes in R^3, collapsed?"""
    found = minima("normalized_softmax", 2, p, 3, setting, least(p, temperature), temperature=temperature)
    return collapse_verdict(found, np.repeat([0, 1], PER_CLASS), alpha=1.0)


def of_dimension(dim: int, setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    """Are the minimisers of softmax, three classes, p = 0.8, collapsed?"""
    found = minima("softmax", 3, 0.8, dim, setting, entropy(3, 0.8))
    return collapse_verdict(found, np.repeat([0, 1, 2], PER_CLASS), alpha=1.0)


def off_the_pole(p: float, temperature: float) -> dict[str, float]:
    """Normalised softmax, two classes, noise 1 - p, temperature < `threshold`: an embedding off the poles that attains the bound.

    Class vectors are the poles of the sphere in R^3; a class lies on the circle of height (temperature / 2) log(p / q).

    Examples
    --------
    >>> bound, loss, within = off_the_pole(0.9, 0.05).values()
    >>> round(bound, 6), round(loss, 6), round(within, 3)
    (0.325083, 0.325083, 1.997)
    """
    height = temperature / threshold(p)
    cosines = height * np.repeat([[1, -1], [-1, 1]], 4, axis=0)  # (8, 2): four samples a class, anywhere on its circle
    value = expected_similarity_loss(
        cosines,
        np.repeat([0, 1], 4),
        noise.symmetric(2, p),
        loss="normalized_softmax",
        reduction="mean",
        temperature=temperature,
    )
    return {
        "bound: entropy of the label given the class": entropy(2, p),
        "expected loss": float(value),
        "largest within-class distance": 2 * math.sqrt(1 - height**2),
    }


def _configs(setting: Setting, kind: str, losses: dict[str, dict[str, Any]]) -> dict[str, list[RunConfig]]:
    base: dict[str, Any] = {
        "net.kind": kind,
        "net.normalize": True,
        "net.dim": 3,
        "checkpoints": 1,
        "evaluate": ["train"],
        "optimizer.schedule": "cosine",
        "steps": STEPS,
    }
    if kind == "table":
        base |= {"data.params": {"samples_per_mode": 8}, "optimizer.lr": 0.03}
    seeds = range(setting.seed, setting.seed + SEEDS[setting.size])
    axes = {"noise.level": list(NOISE[kind]), "seed": seeds}
    return {name: grid({**base, **fields}, axes) for name, fields in losses.items()}


def _measure(runs: dict[str, list[RunConfig]], device: str) -> Measured:
    """(loss, noise) -> relative spread and Recall@1 on modes over seeds."""
    measured: Measured = {}
    for name, configs in runs.items():
        problems = [build(c.data.name, c.seed, **c.data.params) for c in configs]
        for result in train(configs, problems, device=device):
            place = measured.setdefault((name, result.config.noise.level), {"relative_spread": [], "recall_at_1": []})
            for metric, values in place.items():
                values.append(float(result.rows[-1][metric]))
    return measured


def _collapse(measured: Measured) -> list[Finding]:
    """Is the within-class distance of free embeddings below `LIMIT` of the between-class one?"""
    return decide(
        [
            ("free embeddings collapse", f"{name}, noise {level:g}", [LIMIT] * len(spread), spread)
            for (name, level), values in measured.items()
            for spread in [values["relative_spread"]]
        ]
    )


def _keep(measured: Measured) -> list[Finding]:
    """Do nets keep the modes better than with the loss's collapsing relatives?"""
    statements: list[Statement] = []
    for keeping, others in AGAINST.items():
        for collapsing in others:
            for level in NOISE["mlp"]:
                where = f"{keeping} against {collapsing}, noise {level:g}"
                for metric, text in (
                    ("recall_at_1", "nets retrieve modes better"),
                    ("relative_spread", "nets keep a larger relative spread"),
                ):
                    a, b = (measured[name, level][metric] for name in (keeping, collapsing))
                    statements.append((text, where, a, b))
    return decide(statements)


def _readable(measured: Measured) -> dict[str, Any]:
    return {
        f"{name}, noise {level:g}": {metric: str(interval(np.array(v))) for metric, v in values.items()}
        for (name, level), values in measured.items()
    }


def _exact(setting: Setting) -> tuple[dict[str, Part], dict[str, Any], Verdict]:
    """The two exact parts, their evidence, and whether minimisers are collapsed at p = 0.9, temperature 0.92."""
    places = {0.9: (0.9, 0.92), **{p: (0.99 * threshold(p), 1.01 * threshold(p)) for p in (0.95, 0.8, 0.7)}}
    of_t = {(p, t): of_temperature(p, t, setting) for p, temperatures in places.items() for t in temperatures}
    of_m = {m: of_dimension(m, setting) for m in (2, 3)}
    parts = {
        TEMPERATURE: part_of_cases([v if t >= threshold(p) else opposite(v) for (p, t), (v, _) in of_t.items()]),
        DIMENSION: part_of_cases([of_m[2][0], opposite(of_m[3][0])]),
    }
    evidence = {
        "normalised softmax, are minimisers collapsed?": {
            f"p = {p}, temperature {t:.4f} (threshold {threshold(p):.4f})": {"verdict": v, **e}
            for (p, t), (v, e) in of_t.items()
        },
        "softmax, t = 3, p = 0.8, are minimisers collapsed?": {
            f"m = {m}": {"verdict": v, **e} for m, (v, e) in of_m.items()
        },
        "normalised softmax off the pole, noise 0.1": off_the_pole(0.9, 0.05),
    }
    return parts, evidence, of_t[0.9, 0.92][0]


def _of(findings: list[Finding], loss: str) -> list[Finding]:
    return [f for f in findings if f.setting.startswith((f"{loss}, noise", f"{loss} against"))]


def _hypotheses(tables: Mapping[str, list[RunConfig]], nets: Mapping[str, list[RunConfig]]) -> dict[str, bool]:
    configs = [c for runs in (tables, nets) for of_loss in runs.values() for c in of_loss]
    samples = [build(c.data.name, c.seed, **c.data.params).train for c in nets[SOFT_TRIPLE]]
    twins = [grid({"net.normalize": True, **loss, **EASY}, {"seed": [0]})[0] for loss in (N_PAIR, SUPCON)]
    return {
        "embeddings lie on the sphere": all(c.net.normalize for c in configs),
        "labels are drawn afresh at every step": all(c.noise.mode == "resampled" for c in configs),
        "nets: classes have several modes": all(len(np.unique(s.modes)) > len(np.unique(s.classes)) for s in samples),
        "easy-positive N-pair and SupCon are one loss": identity(twins[0]) == identity(twins[1]),
    }


def check(setting: Setting) -> Outcome:
    """Minimisers on both sides of the threshold and of m = t; free embeddings; nets. At temperature 0.92 instead of 0.9 softmax does collapse."""
    parts, exact, above = _exact(setting)
    tables = _configs(setting, "table", COLLAPSING)
    nets = _configs(setting, "mlp", {k: v for k, v in COLLAPSING.items() if k != "softmax"} | KEEPING)
    free, trained = _measure(tables, setting.device), _measure(nets, setting.device)
    unclaimed = _measure(_configs(setting, "table", KEEPING), setting.device)
    collapse, keep = _collapse(free), _keep(trained)
    for text in list(PARTS)[2:]:
        loss = text.split(":")[0]
        parts[text] = part_of(_of(collapse if loss in COLLAPSING else keep, loss))
    return Outcome(
        hypotheses=_hypotheses(tables, nets),
        verdict=together(part.verdict for part in parts.values()),
        bound=LIMIT,
        best=max(float(np.mean(v["relative_spread"])) for v in free.values()),
        evidence={
            **exact,
            "seeds": SEEDS[setting.size],
            "free embeddings": in_words(collapse),
            "free embeddings, measured": _readable(free),
            "free embeddings of the others (not claimed)": _readable(unclaimed),
            "nets": in_words(keep),
            "nets, measured": _readable(trained),
        },
        counter_example=CounterExample(
            "normalised softmax, p = 0.9, temperature 0.92 instead of 0.9: above the threshold it collapses",
            above,
            "holds",
        ),
        parts=parts,
    )


CLAIMS.register("C10")(
    Claim(
        "every softmax-type loss collapses free embeddings, clean and noisy; SoftTriple and easy positives keep modes (loss by loss)",
        "fails",
        check,
        parts=PARTS,
    )
)
