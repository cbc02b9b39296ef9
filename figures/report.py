"""The report: tables, statements with verdicts, and figures of all studies, in one self-contained HTML file."""

from __future__ import annotations

import base64
import datetime
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from figures.render import PACKAGES
from sim.catalogue import FIGURES, STUDIES
from sim.config import RunConfig
from sim.files import write_text
from sim.studies import final, table
from sim.sweeps.rows import flatten
from sim.sweeps.store import Store
from sim.tables import readable
from sim.verdict import Finding, in_words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """What a study came to.

    Attributes
    ----------
    name : str
    configs : list of RunConfig
    diverged : int
        Runs left out because their loss became non-finite.
    findings : list of Finding
    table : DataFrame
        See `sim.studies.table`.
    """

    name: str
    configs: list[RunConfig]
    diverged: int
    findings: list[Finding]
    table: pd.DataFrame


def conclude(name: str, store: Store, profile: str, first_seed: int = 0) -> Outcome:
    """Decide a study's statements and fill its table from the stored runs."""
    study = STUDIES[name]
    configs = study.runs(profile, first_seed)
    results = store.load(configs)
    last = final(results)
    diverged = results.loc[results["status"] == "diverged", "key"].nunique()
    return Outcome(name, configs, int(diverged), study.findings(last), table(last, study.metrics, study.factors))


def common_fields(configs: Sequence[RunConfig]) -> str:
    """The fields that all runs share, as YAML by dotted names."""
    flat = [flatten(c.model_dump(mode="json")) for c in configs]
    missing = object()
    shared = {k: v for k, v in flat[0].items() if all(f.get(k, missing) == v for f in flat)}
    return str(yaml.safe_dump(shared, sort_keys=False)).strip()


def write_tables(outcome: Outcome, folder: Path) -> list[Path]:
    """``<study>.csv`` and ``<study>.md`` (the table) and ``<study>_findings.csv`` (statements and verdicts)."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{outcome.name}{suffix}" for suffix in (".csv", ".md", "_findings.csv")]
    write_text(paths[0], outcome.table.to_csv(index=False))
    markdown = readable(outcome.table, STUDIES[outcome.name].metrics).to_markdown(index=False)
    write_text(paths[1], str(markdown) + "\n")
    rows = [
        {"claim": f.claim, "setting": f.setting, **asdict(f.difference), "p": f.p, "verdict": f.verdict}
        for f in outcome.findings
    ]
    write_text(paths[2], pd.DataFrame(rows).to_csv(index=False))
    return paths


def write_report(
    outcomes: Sequence[Outcome],
    pictures: dict[str, Path],
    place: Path,
    *,
    profile: str,
    command: str,
    claims: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the HTML report.

    Parameters
    ----------
    outcomes : sequence of Outcome
    pictures : mapping from figure names to PNG files
    place : Path
        The file to write.
    profile, command : str
        What was run, as shown to the reader.
    claims : sequence of dict
        What ``collapse verify`` found (`sim.theory.claims.report`), with the size and the seed; none if it hasn't run.
    """

    from sim.losses.equal import in_words as in_words_same  # which needs PyTorch; a list of figures doesn't

    def shown(name: str) -> dict[str, str]:
        entry = FIGURES[name]
        png = base64.b64encode(pictures[name].read_bytes()).decode()
        return {"title": entry.title, "caption": entry.caption, "png": png}

    studies = [
        {
            "title": STUDIES[o.name].title,
            "question": STUDIES[o.name].question,
            "words": in_words(o.findings),
            "diverged": o.diverged,
            "same": in_words_same(STUDIES[o.name].same_losses(profile)),
            "runs": len(o.configs),
            "seeds": len({c.seed for c in o.configs}),
            "findings": o.findings,
            "table": readable(o.table, STUDIES[o.name].metrics).to_html(index=False, border=0),
            "common": common_fields(o.configs),
            "figures": [shown(name) for name in pictures if FIGURES[name].study == o.name],
        }
        for o in outcomes
    ]
    template = (Path(__file__).parent / "report.html").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    write_text(
        place,
        environment.from_string(template).render(
            studies=studies,
            # Files of earlier releases have no parts.
            claims=[{"parts": {}, **c, "evidence": yaml.safe_dump(c["evidence"], sort_keys=False)} for c in claims],
            figures=[shown(name) for name in pictures if FIGURES[name].study is None],
            runs=sum(len(o.configs) for o in outcomes),
            profile=profile,
            command=command,
            date=datetime.date.today().isoformat(),
            versions=", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
        ),
    )
