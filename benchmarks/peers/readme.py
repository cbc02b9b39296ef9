"""README's section on speed, written from the recorded rows."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from benchmarks.peers.cases import BATCHED, JAX, LOOP, LOOPS, OURS, VMAP
from benchmarks.peers.rows import COLD, COST, CPU, MEMORY, WALL, WARM

PEERS = (LOOP, LOOPS, BATCHED, VMAP, JAX)
BEGIN = "<!-- Written by `python benchmarks/training.py --readme` from figures/data/throughput.csv. -->"
END = "<!-- End of what is written. -->"


def number(value: float) -> str:
    """Three digits, and thousands apart.

    Examples
    --------
    >>> number(23331.0), number(0.8441), number(17.26)
    ('23,300', '0.844', '17.3')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def _cell(row: pd.Series) -> str:
    spread = f"{number(row['ratio'])} ({number(row['least'])}–{number(row['most'])})"
    if pd.isna(row["aim"]):
        return spread
    return f"{spread}; aim {number(row['aim'])}: {'met' if row['ratio'] >= row['aim'] else 'missed'}"


def _speed(rows: pd.DataFrame, measure: str, peers: tuple[str, ...]) -> str:
    chosen = rows[(rows["section"] == "speed") & (rows["measure"] == measure)]
    lines = []
    for (case, batch), group in chosen.groupby(["case", "batch"], sort=False):
        by_side = group.set_index("side")
        ours = by_side.loc[OURS]
        cells = [_cell(by_side.loc[peer]) if peer in by_side.index else "" for peer in peers]
        lines.append([str(case), str(batch), str(ours["runs"]), number(ours["value"]), *cells])
    return _table(["", "batch", "runs", f"ours, {measure}", *[f"times {peer}" for peer in peers]], lines)


def _settings(rows: pd.DataFrame) -> str:
    chosen = rows[(rows["section"] == "speed") & (rows["measure"] == WALL)]
    first = chosen[chosen["case"] == chosen["case"].iloc[0]]
    return "; ".join(f"{side}: {setting}" for side, setting in zip(first["side"], first["setting"], strict=True))


def _scaling(rows: pd.DataFrame, section: str, what: str) -> str:
    wide = rows[rows["section"] == section].pivot_table("value", "side", "runs", sort=False)
    wide = wide[sorted(wide.columns)]
    head = [what, *[f"{runs:,}" for runs in wide.columns]]
    return _table(
        head,
        [
            [str(side), *["" if pd.isna(v) else number(v) for v in line]]
            for side, line in zip(wide.index, wide.to_numpy(), strict=True)
        ],
    )


def _growth(rows: pd.DataFrame) -> str:
    """What the rate does with the batch, the width and the threads."""
    chosen = rows[rows["section"] == "growth"]
    return "; ".join(
        f"{setting}: {number(value)}" for setting, value in zip(chosen["setting"], chosen["value"], strict=True)
    )


def _study(rows: pd.DataFrame) -> str:
    wide = rows[rows["section"] == "study"]
    lines = []
    for side, group in wide.groupby("side", sort=False):
        values = group.set_index("measure")
        cells = [
            f"{number(values.loc[m, 'value'])}"
            + ("" if pd.isna(values.loc[m, "ratio"]) else f" ({number(values.loc[m, 'ratio'])} x ours)")
            if m in values.index
            else ""
            for m in (COLD, WARM)
        ]
        lines.append([str(side), str(group["setting"].iloc[0]), *cells])
    return _table(["", "", COLD, WARM], lines)


def _cost(rows: pd.DataFrame) -> str:
    """Where a run-step's time goes against the bound."""
    lines = []
    for case, group in rows[rows["section"] == "cost"].groupby("case", sort=False):
        value = group.set_index("side")["value"]
        rest = value["all"] - value["draws"] - value["products"]
        lines.append(
            [
                str(case),
                *[number(value[k]) for k in ("all", "products", "draws")],
                number(rest),
                f"{value['products'] / value['all']:.0%}",
            ]
        )
    return _table(["", COST, "products at the core's best rate: the bound", "draws", "rest", "of the bound"], lines)


def _missed(rows: pd.DataFrame) -> str:
    aimed = rows.dropna(subset=["aim"])
    missed = aimed[aimed["ratio"] < aimed["aim"]]
    said = [
        f"{row['case']} (batch {row['batch']}) against {row['side']}, {row['measure']}: {number(row['ratio'])} for {number(row['aim'])}, {1 - row['ratio'] / row['aim']:.0%} short"
        for _, row in missed.iterrows()
    ]
    met = f"{len(aimed) - len(missed)} of {len(aimed)} aims are met."
    return met + (" Missed: " + "; ".join(said) + "." if said else "")


def section(rows: pd.DataFrame, about: dict[str, str]) -> str:
    """Markdown between the marks.

    Parameters
    ----------
    rows, about
        As `benchmarks.peers.rows.read` gives them.

    Returns
    -------
    str
    """
    parts = [
        BEGIN,
        f"Measured by `{about['command']}` on {about['machine']}, {about['date']}, with {about['versions']}; float32, MLP 2-64-64-2, Adam, a step with the draw of its "
        "batch. Every side starts from the same parameters, and its losses of the first step are checked to be equal (of drawn negatives: their mean). Medians of "
        "interleaved turns, least and most in brackets; each side with the setting that is fastest for it. On all cores, by the clock on the wall:",
        _speed(rows, WALL, PEERS),
        f"Settings of the first line: {_settings(rows)}. On one core, by its CPU seconds (which a busy machine disturbs less):",
        _speed(rows, CPU, tuple(p for p in PEERS if p != LOOPS)),
        _missed(rows),
    ]
    # A quick or an interrupted measurement has some of the following.
    measured = set(rows["section"])
    if "cost" in measured:
        parts += [f"Where the time of a run-step goes on one core ({OURS}):", _cost(rows)]
    if {"scaling", "memory"} <= measured:
        parts += [
            f"The first line's program against the number of runs, {WALL}, and MiB that a fresh process grows by (with what JAX compiles):",
            _scaling(rows, "scaling", WALL),
            _scaling(rows[rows["batch"] == 64], "memory", MEMORY),
        ]
    sentences = []
    if "growth" in measured:
        sentences.append(f"The same in other sizes, {WALL}: {_growth(rows)}.")
    large = rows[(rows["section"] == "memory") & (rows["batch"] > 64)]
    if len(large):
        said = ", ".join(f"{row['side']} {number(row['value'])} MiB" for _, row in large.iterrows())
        sentences.append(f"One step of one run with all triplets at batch 512: {said}.")
    if "easy" in measured:
        easy = rows[rows["section"] == "easy"].iloc[-1]
        sentences.append(
            f"A step with easy positives takes {number(easy['ratio'])} times as long as one with random ones "
            f"({number(easy['least'])}–{number(easy['most'])}; random negatives)."
        )
    if sentences:
        parts.append(" ".join(sentences))
    if "study" in measured:
        study = rows[rows["section"] == "study"].iloc[0]
        parts += [
            f"A whole study of {study['runs']} runs x {study['case'].split(' x ')[-1]}, from the start of its command to the metrics of all runs at five checkpoints and the "
            "start, with empty and with filled caches of compiled code (the peers are evaluated by this package's metrics; the loop follows from a few runs on each core):",
            _study(rows),
        ]
    parts.append(END)
    return "\n\n".join(parts)


def rewrite(readme: Path, rows: pd.DataFrame, about: dict[str, str]) -> None:
    """Put the section in the place of the one that is there."""
    text = readme.read_text()
    found = re.search(re.escape(BEGIN) + ".*?" + re.escape(END), text, re.S)
    if found is None:
        raise RuntimeError(f"{readme} has no section between {BEGIN} and {END}")
    readme.write_text(text.replace(found[0], section(rows, about)))
