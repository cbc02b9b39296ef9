"""The page in a real browser: controls move, frames follow, states are shared, nothing is said by colour alone.

Skipped where there is no Chromium. Speeds are asserted at about three times what is aimed at (docs/explorer.md has the measured ones).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(120),
    # One browser at a time: two would share the cores that are measured.
    pytest.mark.xdist_group("browser"),
]

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    folder = tmp_path_factory.mktemp("explorer")
    command = [sys.executable, "-m", "sim.cli", "explore", "--no-browser", "--port", "0", "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    yield process
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().split()[1].split("#")[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield own
        own.close()


@pytest.fixture
def page(browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    own = context.new_page()
    errors: list[str] = []
    own.on("pageerror", lambda error: errors.append(str(error)))
    yield own
    if not own.is_closed():
        errors += own.evaluate("window.collapseExplorer?.errors ?? []")
    context.close()
    assert errors == []


def counter(page, name: str) -> object:
    return page.evaluate(f"window.collapseExplorer.{name}")


def opened(page, address: str) -> None:
    page.goto(address)
    page.wait_for_function("window.collapseExplorer?.frames > 2 && window.collapseExplorer.metrics", timeout=15000)


def drag_noise(page, positions: int, pause: int = 60) -> None:
    box = page.locator("input[name=noise]").bounding_box()
    for k in range(positions):
        page.mouse.move(box["x"] + 10 + (box["width"] - 20) * k / (1.5 * positions), box["y"] + box["height"] / 2)
        if k == 0:
            page.mouse.down()
        page.wait_for_timeout(pause)
    page.mouse.up()


def test_it_trains_and_follows_the_noise_slider(page, address: str) -> None:
    opened(page, address)
    assert "of 600 labels flipped" in page.content() and counter(page, "state.noise") == 0
    first = counter(page, "step")
    page.wait_for_function(f"collapseExplorer.step > {first}")
    generation = counter(page, "generation")
    drag_noise(page, 12)
    page.wait_for_function(f"collapseExplorer.generation > {generation + 5}")
    level = counter(page, "state.noise")
    assert 0.3 < level <= 0.9
    page.wait_for_function(f"location.hash.includes('noise={level}')")
    page.wait_for_function("collapseExplorer.step > 300")
    noisy = counter(page, "metrics[0].relative_spread")
    page.locator("input[name=noise]").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    page.wait_for_function("collapseExplorer.state.noise === 0 && collapseExplorer.step > 300")
    page.wait_for_function(f"collapseExplorer.metrics[0].relative_spread !== {noisy}")
    assert page.locator(".badge").first.inner_text() in (
        "modes kept",
        "some modes kept",
        "modes merged",
        "CLASS collapse",
    )


def measured(page) -> tuple[float, float, float, float]:
    """Frames and run-steps a second, median and 95th percentile of the milliseconds from slider to picture."""
    before = page.evaluate("[collapseExplorer.frames, collapseExplorer.step, performance.now()]")
    page.wait_for_timeout(3000)
    after = page.evaluate("[collapseExplorer.frames, collapseExplorer.step, performance.now()]")
    seconds = (after[2] - before[2]) / 1000
    seen = len(counter(page, "latencies"))
    drag_noise(page, 20)
    page.wait_for_timeout(500)
    latencies = sorted(counter(page, "latencies")[seen:])
    assert len(latencies) >= 5
    frames, steps = ((after[k] - before[k]) / seconds for k in (0, 1))
    # Two runs side by side.
    return frames, 2 * steps, latencies[len(latencies) // 2], latencies[int(0.95 * len(latencies))]


def test_latency_frames_and_steps(page, address: str) -> None:
    opened(page, address)
    page.wait_for_timeout(1000)
    # Whatever else the machine does at the moment may spoil a try, hardly three.
    tries = []
    for _ in range(3):
        tries.append(measured(page))
        frames, steps, median, late = tries[-1]
        if frames > 10 and steps > 230 and median < 150 and late < 300:
            return
        page.get_by_role("button", name="Restart").click()
    pytest.fail(f"frames/s, run-steps/s, latency p50 and p95 (ms): {tries}")


def test_play_pause_step_restart_by_keyboard(page, address: str) -> None:
    opened(page, address)
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('button.main').textContent === 'Play'")
    page.wait_for_timeout(300)
    paused = counter(page, "step")
    page.keyboard.press(".")
    page.wait_for_function(f"collapseExplorer.step === {paused + 1}")
    page.keyboard.press("r")
    page.wait_for_function("collapseExplorer.step === 0")
    page.keyboard.press("Space")
    page.wait_for_function("collapseExplorer.step > 20")
    # Every control can be reached, and has a name.
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).length"
    )
    assert unnamed == 0


def test_hover_and_selection_are_linked(page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Pause").click()
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    for x in range(20, int(box["width"]), 6):
        page.mouse.move(box["x"] + x, box["y"] + 0.27 * box["height"])
        if page.evaluate("collapseExplorer.hovered >= 0"):
            break
    assert page.locator(".tip").inner_text().startswith("class ")
    page.mouse.down()
    page.mouse.up()
    assert counter(page, "selected") == 1
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    assert counter(page, "selected") in (0, 75)
    page.locator("h1").click()
    canvas.focus()
    page.keyboard.press("Escape")
    assert counter(page, "selected") == 0


@pytest.mark.parametrize("shared", ["v=1&noise=0.3&positive=hard&geometry=sphere&compare=", "v=7&noise=0.3", "%%%"])
def test_shared_states_open_or_say_why_not(page, address: str, shared: str) -> None:
    opened(page, f"{address}#{shared}")
    if shared.startswith("v=1"):
        assert counter(page, "state.noise") == 0.3 and counter(page, "state.geometry") == "sphere"
        assert page.locator(".notice").inner_text() == ""
        assert page.locator(".badge >> visible=true").count() == 1
    else:
        assert page.locator(".notice").inner_text().startswith("The shared state can't be used, so this is the default")
        assert counter(page, "state.noise") == 0
        page.wait_for_function("collapseExplorer.step > 20")


def test_presets_refusals_copies_and_export(page, address: str) -> None:
    opened(page, address)
    page.get_by_label("Presets").select_option("margin loss on a sphere")
    page.wait_for_function("collapseExplorer.state.loss === 'margin' && collapseExplorer.state.geometry === 'sphere'")
    page.get_by_label("embed in").select_option("plane")
    page.wait_for_function("collapseExplorer.notice.startsWith('net.normalize')")
    assert counter(page, "state.geometry") == "sphere"
    page.get_by_label("Presets").select_option("clean labels")
    page.wait_for_function("collapseExplorer.state.loss === 'triplet'")
    page.get_by_role("button", name="Copy as CLI").click()
    page.wait_for_function("collapseExplorer.copied?.startsWith('collapse train')")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_closed_page_stops_training_and_two_do_not_disturb_each_other(
    page, browser, address: str, server: subprocess.Popen[str]
) -> None:
    opened(page, address)
    other = browser.new_page()
    opened(other, f"{address}#v=1&noise=0.4")
    assert counter(page, "state.noise") == 0 and counter(other, "state.noise") == 0.4
    other.close()
    before = counter(page, "step")
    page.wait_for_function(f"collapseExplorer.step > {before + 50}")
    page.close()
    time.sleep(1.0)
    watched = psutil.Process(server.pid)
    watched.cpu_percent()
    time.sleep(1.0)
    assert watched.cpu_percent() < 20


@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (390, 844)])
def test_it_fits(page, address: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
