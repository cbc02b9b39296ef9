"""What a claim is, and how minimisers turn into a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sim import distances, noise
from sim.catalogue import CLAIMS
from sim.theory.minimise import Minima, within_between
from sim.verdict import Finding, Verdict, together

ATTAINED = 1e-6
"""Relative gap to the bound (or to the best value found) below which a restart counts as a minimiser."""
COLLAPSED, SPREAD = 1e-3, 1e-2
"""Largest within-class distance, in units of alpha, of a collapsed embedding; least one of an embedding that isn't."""


@dataclass(frozen=True)
class CounterExample:
    """A case outside the hypotheses, on which a claim's check must come to another verdict.

    Attributes
    ----------
    setting : str
    verdict : str
        What the check came to.
    demanded : str
        What it must come to, if it is able to fail.
    """

    setting: str
    verdict: Verdict
    demanded: Verdict


@dataclass(frozen=True)
class Part:
    """One of several statements of a claim, with a verdict of its own: a loss, a data set, a metric.

    Attributes
    ----------
    verdict : str
    found : str
        What decides it, in a few words: counts of settings, or the two numbers that are compared.

    """

    verdict: Verdict
    found: str


@dataclass(frozen=True)
class Outcome:
    """What a claim's check came to.

    Attributes
    ----------
    hypotheses : dict
        Text -> whether it is met in the case checked.
    verdict : str
    bound, best : float or None
        The exact bound and the best value found in the main case.
    evidence : dict
        Numbers, ready for JSON.
    counter_example : CounterExample
    parts : dict
        Statement -> its own verdict, where a claim has several.
    """

    hypotheses: dict[str, bool]
    verdict: Verdict
    bound: float | None
    best: float | None
    counter_example: CounterExample
    evidence: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """How a claim is to be checked.

    Attributes
    ----------
    size : str
        ``quick`` or ``full`` (more restarts, cases and seeds).
    seed : int
        Of the random restarts; first seed of the runs that are trained.
    device : str
        Where nets are trained; exact sums and minimisers run on the CPU in float64.
    """

    size: str = "quick"
    seed: int = 0
    device: str = "cpu"

    @property
    def restarts(self) -> int:
        """Random restarts of a minimisation."""
        return 18 if self.size == "quick" else 90


@dataclass(frozen=True)
class Claim:
    """A registered claim.

    Attributes
    ----------
    title : str
        The statement in a line.
    documented : str
        The verdict that the documentation states.
    check : callable
        `Setting` -> `Outcome`.
    parts : dict
        Documented verdicts of the parts; none is demanded of a part that isn't here (a plugin's data set).
    """

    title: str
    documented: Verdict
    check: Callable[[Setting], Outcome]
    parts: dict[str, Verdict] = field(default_factory=dict)


def report(name: str, outcome: Outcome) -> dict[str, Any]:
    """A claim's outcome as JSON types.

    Examples
    --------
    >>> outcome = CLAIMS["C2"].check(Setting())
    >>> written = report("C2", outcome)
    >>> written["verdict"], written["counter_example"]["verdict"], written["counter_example"]["flipped"]
    ('holds', 'fails', True)
    """
    counter = outcome.counter_example
    return {
        "id": name,
        "title": CLAIMS[name].title,
        "hypotheses": outcome.hypotheses,
        "verdict": outcome.verdict,
        "documented": CLAIMS[name].documented,
        "bound": outcome.bound,
        "best": outcome.best,
        "evidence": outcome.evidence,
        "counter_example": {
            "setting": counter.setting,
            "verdict": counter.verdict,
            "demanded": counter.demanded,
            "flipped": counter.verdict == counter.demanded,
        },
        "parts": {
            text: {"verdict": part.verdict, "documented": CLAIMS[name].parts.get(text), "found": part.found}
            for text, part in outcome.parts.items()
        },
    }


def unexpected(found: dict[str, Any]) -> list[str]:
    """What of a claim's report isn't as documented: its verdict, hypotheses, parts, counter-example; each in a few words.

    Examples
    --------
    >>> written = report("C2", CLAIMS["C2"].check(Setting()))
    >>> unexpected(written), unexpected({**written, "verdict": "inconclusive"})
    ([], ['C2 (inconclusive, documented: holds)'])
    """
    name, documented, counter = found["id"], found["documented"], found["counter_example"]
    wrong = [f"{name} ({found['verdict']}, documented: {documented})"] if found["verdict"] != documented else []
    wrong += [f"{name} (not met: {text})" for text, met in found["hypotheses"].items() if not met]
    if not counter["flipped"]:
        wrong.append(f"{name} (counter-example {counter['verdict']}, demanded: {counter['demanded']})")
    parts = found["parts"]
    missing = [text for text in CLAIMS[name].parts if text not in parts]
    return (
        wrong
        + [f"{name} (not checked: {text})" for text in missing]
        + [
            f"{name} ({text}: {part['verdict']}, documented: {part['documented']})"
            for text, part in parts.items()
            if part["documented"] not in (None, part["verdict"])
        ]
    )


def part_of(findings: Sequence[Finding]) -> Part:
    """A part from its settings: decided as a whole (`together`), with counts.

    Examples
    --------
    >>> from sim.verdict import decide
    >>> part_of(decide([("a is greater", f"set {k}", [0.5, 0.6, 0.7], [0.1, 0.3, 0.2]) for k in (1, 2)]))
    Part(verdict='holds', found='confirmed in 2 of 2 settings')
    """
    return part_of_cases([f.verdict for f in findings], "settings")


def part_of_cases(verdicts: Sequence[Verdict], called: str = "cases") -> Part:
    """A part from the verdicts of its cases: decided as a whole (`together`), with counts; without cases it is undecided.

    Examples
    --------
    >>> part_of_cases(["holds", "inconclusive", "holds"])
    Part(verdict='inconclusive', found='confirmed in 2 of 3 cases, undecided in 1 of 3 cases')
    >>> part_of_cases([])
    Part(verdict='inconclusive', found='no cases')
    """
    if not verdicts:
        return Part("inconclusive", f"no {called}")
    counts = [
        (word, sum(verdict == v for verdict in verdicts))
        for v, word in (("holds", "confirmed"), ("fails", "refuted"), ("inconclusive", "undecided"))
    ]
    found = ", ".join(f"{word} in {count} of {len(verdicts)} {called}" for word, count in counts if count)
    return Part(together(verdicts), found)


def opposite(verdict: Verdict) -> Verdict:
    """The verdict on the contrary of a statement.

    Examples
    --------
    >>> opposite("fails"), opposite("inconclusive")
    ('holds', 'inconclusive')
    """
    contrary: dict[Verdict, Verdict] = {"holds": "fails", "fails": "holds"}
    return contrary.get(verdict, verdict)


def two_classes(per_class: int) -> np.ndarray:
    """Labels of two classes of equal size, shape (2 per_class,).

    Examples
    --------
    >>> two_classes(2).tolist()
    [0, 0, 1, 1]
    """
    return np.repeat([0, 1], per_class)


def agreement(t: int, p: float) -> tuple[float, float]:
    """s_in and s_out of symmetric noise: P(Y_i = Y_j) for two samples of one class, and of two.

    Examples
    --------
    >>> [round(s, 3) for s in agreement(2, 0.9)]
    [0.82, 0.18]
    """
    matrix = noise.symmetric(t, p)
    same = matrix @ matrix.T
    return float(same[0, 0]), float(same[0, 1])


def minimisers(minima: Minima) -> list[int]:
    """Restarts that attain the bound, or, where there is none, the best value found.

    Examples
    --------
    >>> minimisers(Minima(torch.zeros(3, 4, 2), torch.tensor([1.0, 1.0, 1.5]), torch.full((3,), np.nan), bound=1.0))
    [0, 1]
    """
    target = minima.best if minima.bound is None else minima.bound
    allowed = target + ATTAINED * max(abs(target), 1e-9 if minima.bound != 0 else ATTAINED)
    return [k for k, value in enumerate(minima.values.tolist()) if value <= allowed]


def collapse_verdict(minima: Minima, classes: np.ndarray, alpha: float) -> tuple[Verdict, dict[str, Any]]:
    """Is every minimiser found class-collapsed?

    Returns
    -------
    (verdict, evidence)
        ``holds``: all are; ``fails``: at least one is not; ``inconclusive``: none was found, or one lies between.

    Examples
    --------
    >>> points = torch.tensor([[[0.0], [0.0], [1.0], [1.0]]], dtype=torch.float64)
    >>> minima = Minima(points, torch.zeros(1), torch.full((1,), np.nan), bound=0.0)
    >>> collapse_verdict(minima, np.array([0, 0, 1, 1]), alpha=1.0)[0]
    'holds'
    >>> collapse_verdict(minima, np.array([0, 1, 0, 1]), alpha=1.0)[0]
    'fails'
    """
    found = minimisers(minima)
    within, between = [], []
    for k in found:
        inside, outside = within_between(minima.distances(k), classes)
        within.append(float(inside.max()))
        between.append((float(outside.min()), float(outside.max())))
    evidence: dict[str, Any] = {
        "restarts": len(minima.values),
        "minimisers": len(found),
        "best": minima.best,
        "bound": minima.bound,
        "within_max": [min(within), max(within)] if within else None,
        "between": [min(b[0] for b in between), max(b[1] for b in between)] if between else None,
    }
    if not found:
        return "inconclusive", evidence
    if max(within) > SPREAD * alpha:
        return "fails", evidence
    return ("holds" if max(within) < COLLAPSED * alpha else "inconclusive"), evidence


def embed(points: Any) -> torch.Tensor:
    """Distances (n, n) of points given as an (n, m) array.

    Examples
    --------
    >>> embed([[0, 0], [3, 4]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    return distances.pairwise(torch.as_tensor(np.asarray(points, dtype=np.float64)))
