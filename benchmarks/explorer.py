"""How fast the live explorer is in a real browser on this machine.

    python benchmarks/explorer.py [--turns N] [--seconds S] [--moves N] [--json FILE]

Headless Chromium and the engine run on the default problem with two samplers side by side. Each turn opens a fresh page, counts the
frames and the steps of both runs for some seconds, then drags the noise slider through some positions and takes the time from each
event to the picture on the screen that shows its change. Figures are of all turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
MILLISECONDS_BETWEEN_MOVES = 60


@dataclass(frozen=True)
class Turn:
    """What a page did.

    Attributes
    ----------
    first_frame : float
        Milliseconds from the start of loading to the first frame.
    frames, run_steps : float
        A second; of two runs side by side, each step is two run-steps.
    latencies : list of float
        Milliseconds from moving the slider to the changed picture.
    """

    first_frame: float
    frames: float
    run_steps: float
    latencies: list[float]


@contextmanager
def served() -> Iterator[str]:
    """A running explorer; its address."""
    command = [sys.executable, "-m", "sim.cli", "explore", "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.wait()


def drag(page: Page, moves: int) -> None:
    """Drag the noise slider from its left end over two thirds of its length."""
    box = page.locator("input[name=noise]").bounding_box()
    assert box is not None
    for k in range(moves):
        page.mouse.move(box["x"] + 10 + (box["width"] - 20) * k / (1.5 * moves), box["y"] + box["height"] / 2)
        if k == 0:
            page.mouse.down()
        page.wait_for_timeout(MILLISECONDS_BETWEEN_MOVES)
    page.mouse.up()
    page.wait_for_timeout(500)


def measure(page: Page, address: str, seconds: float, moves: int) -> Turn:
    """One turn on a fresh page."""
    page.goto(address)
    page.wait_for_function("window.collapseExplorer?.drawn.length")
    first_frame = page.evaluate("collapseExplorer.drawn[0]")
    page.wait_for_function("collapseExplorer.frames > 2 && collapseExplorer.metrics")
    page.wait_for_timeout(1000)
    counters = "[collapseExplorer.frames, collapseExplorer.step, performance.now() / 1000]"
    before = page.evaluate(counters)
    page.wait_for_timeout(1000 * seconds)
    frames, steps, passed = (now - then for now, then in zip(page.evaluate(counters), before, strict=True))
    drag(page, moves)
    return Turn(first_frame, frames / passed, 2 * steps / passed, page.evaluate("collapseExplorer.latencies"))


def summary(turns: list[Turn]) -> dict[str, float]:
    """Medians of the turns' rates, percentiles of all latencies."""
    latencies = sorted(latency for turn in turns for latency in turn.latencies)
    return {
        "frames/s": statistics.median(turn.frames for turn in turns),
        "run-steps/s": statistics.median(turn.run_steps for turn in turns),
        "first frame, ms": statistics.median(turn.first_frame for turn in turns),
        "moves seen": len(latencies),
        **{f"latency p{p}, ms": latencies[min(len(latencies) - 1, p * len(latencies) // 100)] for p in (50, 95, 100)},
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3, help="pages opened one after the other (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="over which frames and steps are counted (default 3)"
    )
    parser.add_argument("--moves", type=int, default=20, help="positions of the slider in a turn (default 20)")
    parser.add_argument("--json", type=Path, help="also write the figures and every turn to this file")
    arguments = parser.parse_args()
    if BROWSER is None:
        parser.error("no Chromium on this machine")
    turns: list[Turn] = []
    with served() as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        for _ in range(arguments.turns):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
            turns.append(measure(page, address, arguments.seconds, arguments.moves))
            page.close()
        browser.close()
    found: dict[str, Any] = summary(turns)
    for name, value in found.items():
        print(f"{name:>16}  {value:,.1f}" if isinstance(value, float) else f"{name:>16}  {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps({**found, "turns": [asdict(turn) for turn in turns]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
