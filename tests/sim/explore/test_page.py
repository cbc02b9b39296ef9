"""The page in a real browser: controls move, frames follow, states are shared, nothing is said by colour alone.

Skipped where there is no Chromium. Nothing here depends on how fast the machine is; benchmarks/explorer.py measures that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim.explore.verdicts import VERDICTS

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

MILLISECONDS_TO_HANG = 120_000
"""After which something that is waited for doesn't come: machines may be slow."""

TITLES = [verdict.title for verdict in VERDICTS.values()]

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),
    # One browser at a time: two would share the cores.
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


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sim.cli", "explore", "--no-browser", "--port", "0", "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[1].split("#")[0]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("explorer")) as process:
        yield address_of(process)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield own
        own.close()


@pytest.fixture
def page(browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    # Playwright waits for conditions by `eval`, which the page's content security policy refuses; see the test of it.
    context = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    own = context.new_page()
    own.set_default_timeout(MILLISECONDS_TO_HANG)
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
    page.wait_for_function(
        "window.collapseExplorer?.frames > 2 && collapseExplorer.metrics && collapseExplorer.drawn.length"
    )


def slide_noise(page, level: float) -> None:
    page.locator("input[name=noise]").evaluate(f"e => {{ e.value = {level}; e.dispatchEvent(new Event('input')); }}")


def drag_noise(page) -> None:
    """Drag the slider to about 0.55, through twelve positions."""
    box = page.locator("input[name=noise]").bounding_box()
    for k in range(12):
        page.mouse.move(box["x"] + 10 + (box["width"] - 20) * k / 18, box["y"] + box["height"] / 2)
        if k == 0:
            page.mouse.down()
    page.mouse.up()


def test_it_trains_and_follows_the_noise_slider(page, address: str) -> None:
    opened(page, address)
    assert "of 600 labels flipped" in page.content() and counter(page, "state.noise") == 0
    first = counter(page, "step")
    page.wait_for_function(f"collapseExplorer.step > {first}")
    generation = counter(page, "generation")
    drag_noise(page)
    page.wait_for_function("collapseExplorer.state.noise === Number(document.querySelector('input[name=noise]').value)")
    page.wait_for_function(f"collapseExplorer.generation > {generation}")
    level = counter(page, "state.noise")
    assert 0.3 < level <= 0.9
    page.wait_for_function(f"location.hash.includes('noise={level}')")
    page.wait_for_function("collapseExplorer.step > 300")
    noisy = counter(page, "metrics[0].relative_spread")
    slide_noise(page, 0)
    page.wait_for_function("collapseExplorer.state.noise === 0 && collapseExplorer.step > 300")
    page.wait_for_function(f"collapseExplorer.metrics[0].relative_spread !== {noisy}")
    assert page.locator(".badge").first.inner_text() in TITLES


def test_a_change_is_seen_in_a_frame_of_its_generation(page, address: str) -> None:
    opened(page, address)
    for level in (0.5, 0.1):
        before = page.evaluate("({...collapseExplorer})")
        slide_noise(page, level)
        page.wait_for_function(f"collapseExplorer.request > {before['request']}")
        page.wait_for_function(f"collapseExplorer.latencies.length > {len(before['latencies'])}")
        now = page.evaluate("({...collapseExplorer})")
        assert now["request"] == now["lastRequest"]["request"] == before["request"] + 1
        assert now["generation"] == before["generation"] + 1 and now["state"]["noise"] == level
        # Frames go on, of this generation and no other.
        page.wait_for_function(f"collapseExplorer.frames > {now['frames'] + 10}")
        page.wait_for_function(f"collapseExplorer.drawn.at(-1) > {now['drawn'][-1]}")
        assert counter(page, "generation") == now["generation"]


def test_a_notebook_gets_one_module_that_draws_the_same(page, address: str) -> None:
    pytest.importorskip("anywidget")
    from sim.explore.widget import Explorer

    page.route("**/explorer.js", lambda route: route.fulfill(body=Explorer._esm, content_type="text/javascript"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, address)
    assert [url.rsplit("/", 1)[1] for url in asked if url.endswith(".js")] == ["page.js", "explorer.js"]
    assert page.locator(".badge").first.inner_text() in TITLES
    assert page.locator("canvas").count() == 8 and page.get_by_label("margin").is_enabled()


def test_play_pause_step_restart_by_keyboard(page, address: str) -> None:
    opened(page, address)
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('button.main').textContent === 'Play'")
    page.keyboard.press("r")
    page.wait_for_function("collapseExplorer.step === 0")
    page.keyboard.press(".")
    page.wait_for_function("collapseExplorer.step === 1")
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
    assert counter(page, "state.geometry") == "sphere" and page.get_by_label("embed in").input_value() == "sphere"
    assert page.locator(".notice").inner_text().startswith("net.normalize: got False")
    step = counter(page, "step")
    page.wait_for_function(f"collapseExplorer.step > {step}")
    page.get_by_label("Presets").select_option("clean labels")
    page.wait_for_function("collapseExplorer.state.loss === 'triplet'")
    assert page.locator(".notice").inner_text() == ""
    page.get_by_role("button", name="Copy as CLI").click()
    page.wait_for_function("collapseExplorer.copied?.startsWith('collapse train')")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_two_pages_do_not_disturb_each_other(page, browser, address: str) -> None:
    opened(page, address)
    other = browser.new_page(bypass_csp=True)
    other.set_default_timeout(MILLISECONDS_TO_HANG)
    opened(other, f"{address}#v=1&noise=0.4")
    assert counter(page, "state.noise") == 0 and counter(other, "state.noise") == 0.4
    other.close()
    before = counter(page, "step")
    page.wait_for_function(f"collapseExplorer.step > {before + 50}")


@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (390, 844)])
def test_it_fits(page, address: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_a_refused_setting_is_said_and_the_controls_go_back(page, address: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, f"{address}#v=1&noise_kind=instance&noise=0.9&classes=6&modes=8&per_class=64")
    page.locator("input[name=modes]").evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    page.wait_for_function("collapseExplorer.notice.startsWith('batch.per_class: got 64')")
    notice = page.locator(".notice")
    assert notice.is_visible() and page.locator("input[name=modes]").input_value() == "8"
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    frames = counter(page, "frames")
    page.wait_for_function(f"collapseExplorer.frames > {frames + 5}")
    page.locator("input[name=modes]").evaluate("e => { e.value = 4; e.dispatchEvent(new Event('input')); }")
    page.wait_for_function("collapseExplorer.state.modes === 4")
    assert notice.inner_text() == ""


def test_the_page_keeps_its_content_security_policy(browser, address: str) -> None:
    own = browser.new_page()
    said: list[str] = []
    own.on("console", lambda message: said.append(message.text))
    own.on("pageerror", lambda error: said.append(str(error)))
    own.goto(address)
    while not own.evaluate("window.collapseExplorer?.metrics && collapseExplorer.drawn.length > 2"):
        own.wait_for_timeout(50)
    assert "Segoe" in own.evaluate("getComputedStyle(document.querySelector('.cce')).fontFamily")
    with own.expect_download():
        own.get_by_role("button", name="Export").click()
    assert said == []
    own.close()


def test_a_server_that_has_gone_is_said(page, tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        opened(page, address_of(process))
        process.kill()
    page.wait_for_function("!collapseExplorer.connected")
    assert page.locator(".notice").inner_text().startswith("The engine has stopped. Start it again and reload")
