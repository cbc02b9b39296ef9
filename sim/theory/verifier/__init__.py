"""Check a certificate of C3, C4, C7 or C8: standard library only, rational arithmetic only.

Run ``python -m sim.theory.verifier FILE...``: exit code 0 when every certificate is accepted, 1 when one is refused. The
folder needs nothing else of this project: ``python -m verifier FILE`` works beside a copy of it. It recomputes every number by
another route than the program that writes certificates:

- expected losses from the distribution of the nearest positive's distance, one (anchor, negative) pair at a time;
- realisability of a distance matrix from the Gram matrix about the centroid;
- bounds on distances of rational points from integer square roots that are squared again;
- lower bounds by listing every case: all triples, all pairs, all vertices, all near sets;
- hypotheses from all kinds of pairs and triples of samples, and the dimensions in which the statement then holds;
- signs of polynomials from Bernstein coefficients, the polynomials themselves from losses at n + 1 places.

Why these finite lists bound all embeddings, and which statement takes which hypotheses, is proved in the text of
``sim/theory/certificates``. In short: an easy positive loss is piecewise linear in an anchor's distances, so its minimum is at
a vertex of the cells on which it is linear; for the margin loss, D - b may be clipped to [-a, a] first, which leaves the
vertices D - b in {-a, a}.

A certificate beyond the limits (``MOST_...`` in ``setting.py``) is refused by name, whatever it proves elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .bounds import bound_all, bound_one_class, check_breakpoints
from .embeddings import check_embedding, dimension, matrix
from .interval import check_interval
from .setting import Refused, Setting, demand, rational
from .statements import EVERY, NONE, ONE_POINT, TOTAL, check_dimensions, check_hypotheses, check_statement

__all__ = ["Refused", "Setting", "dimension", "main", "verify"]

MOST_BYTES = 10_000_000  # of a file

FOR_ONE_P = {
    "claim", "verdict", "statement", "hypotheses", "dimensions", "positive", "classes", "transition", "alpha",
    "collapsed", "better", "breakpoints", "collapsed_bound", "one_class_bound", "global_bound",
}  # fmt: skip
FOR_AN_INTERVAL = {
    "claim", "verdict", "statement", "hypotheses", "dimensions", "classes", "alpha",
    "interval", "method", "distances", "gains", "root",
}  # fmt: skip


def check_bound(data: dict[str, Any], name: str, computed: Any) -> None:
    """Refuse a bound other than the one computed."""
    demand(rational(data[name]) == computed, f"{name}: it is {computed!s:.60}, not {data[name][:60]}")


def check(data: dict[str, Any]) -> None:
    """Refuse a certificate that does not prove its statement."""
    check_statement(data)
    known = FOR_AN_INTERVAL if "interval" in data else FOR_ONE_P
    unknown = sorted(map(repr, set(data) - known))
    demand(not unknown, f"unknown field: {', '.join(unknown):.60}")
    if "interval" in data:
        check_interval(data)
        return
    setting = Setting(data)
    claim, statement = data["claim"], data["statement"]
    check_hypotheses(setting, data)
    collapsed, c = matrix(data["collapsed"]["distances"], setting.n, "collapsed"), setting.classes
    demand(
        all(collapsed[i][j] == 0 for i in range(setting.n) for j in range(setting.n) if c[i] == c[j]),
        "collapsed: a class is not on one point",
    )
    value = check_embedding(setting, data["collapsed"], "collapsed")
    if statement == NONE:
        check_better(setting, data, value)
        return
    rank = data["collapsed"]["dimension"]
    demand(statement not in (TOTAL, ONE_POINT) or rank == 0, "collapsed: it is not one point")
    unique = statement in (EVERY, TOTAL)
    check_dimensions(data, max(1, rank), setting.n - 2 if unique else None)
    check_bound(data, "global_bound", bound_all(setting))
    demand(value == rational(data["global_bound"]), f"{claim}: the bound over all embeddings is not attained")


def check_better(setting: Setting, data: dict[str, Any], value: Any) -> None:
    """Refuse a certificate whose better embedding does not beat every collapsed one; ``value`` is the best collapsed one's."""
    demand(setting.easy, f"{data['claim']}: the positives are not easy")
    if data["claim"] == "C8":
        check_bound(data, "global_bound", bound_all(setting))
    bound = check_breakpoints(setting, data)
    check_bound(data, "collapsed_bound", bound)
    demand(value == bound, "collapsed: it is not the best collapsed embedding")
    if data["claim"] == "C7":
        check_bound(data, "one_class_bound", bound_one_class(setting))
    demand(data["better"] is not None, "better: missing")
    demand(check_embedding(setting, data["better"], "better") < bound, "better: it is not better than collapse")
    check_dimensions(data, max(1, data["better"]["dimension"]), None)


def content(path: str | Path) -> Any:
    """What a JSON file holds."""
    with open(path, "rb") as file:
        text = file.read(MOST_BYTES + 1)
    demand(len(text) <= MOST_BYTES, f"a file of more than {MOST_BYTES} bytes")
    return json.loads(text.decode())


def verify(certificate: str | Path | dict[str, Any]) -> list[str]:
    """Check a certificate, a JSON file or its content: gives why it is refused; empty when it is accepted.

    Examples
    --------
    Two samples of two classes with clean labels, each class on a point, a apart: C3's bound, 0, is attained. So does a spread
    embedding, and more is not proved.

    >>> apart = [["0", "0", "1", "1"], ["0", "0", "1", "1"], ["1", "1", "0", "0"], ["1", "1", "0", "0"]]
    >>> certificate = {
    ...     "claim": "C3",
    ...     "verdict": "holds",
    ...     "statement": "a collapsed embedding is a minimiser",
    ...     "hypotheses": {"samples of the smallest class >= 2": "2"},
    ...     "dimensions": [1, None],
    ...     "positive": "all",
    ...     "classes": [0, 0, 1, 1],
    ...     "transition": [["1", "0"], ["0", "1"]],
    ...     "alpha": "1",
    ...     "collapsed": {"distances": apart, "dimension": 1, "value": "0", "beta": None},
    ...     "global_bound": "0",
    ... }
    >>> verify(certificate)
    []
    >>> verify({**certificate, "global_bound": "1"})
    ['global_bound: it is 0, not 1']
    >>> verify({**certificate, "statement": "no minimiser is collapsed"})
    ["C3: no certificate states 'no minimiser is collapsed'"]
    """
    try:
        check(certificate if isinstance(certificate, dict) else content(certificate))
    except Refused as reason:
        return [str(reason)]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
        return [f"malformed: {type(error).__name__}: {error!s:.200}"]
    except OSError as error:
        return [f"unreadable: {error}"]
    return []


def main(arguments: list[str]) -> int:
    """Command line: prints a line for each file; 0 if all are accepted, 1 if one is refused, 2 without files."""
    if not arguments:
        print("usage: python -m sim.theory.verifier FILE...", file=sys.stderr)
        return 2
    refused = False
    for path in arguments:
        reasons = verify(path)
        refused |= bool(reasons)
        path = path.encode(errors="backslashreplace").decode()  # a name may not be in the terminal's encoding
        print(f"{path}: {'refused: ' + '; '.join(reasons) if reasons else 'accepted'}")
    return int(refused)
