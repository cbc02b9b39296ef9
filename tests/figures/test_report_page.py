"""The report in a real browser, as wide as a phone and as a desk; skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from figures.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

CLAIM = {
    "id": "C3",
    "title": "a title that is rather long, so that it has to be wrapped on a phone",
    "verdict": "holds",
    "bound": 0.25,
    "best": 0.25,
    "evidence": {"numbers": list(range(60))},
    "counter_example": {"setting": "elsewhere " * 8, "verdict": "fails", "flipped": True},
    "parts": {
        f"part {k} " * 9: {"verdict": "inconclusive", "documented": None, "found": "confirmed in 1 of 2 settings " * 5}
        for k in (1, 2)
    },
    "size": "quick",
    "seed": 0,
}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_opens_well(width: int, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    place = tmp_path / "report.html"
    write_report([], {}, place, profile="quick", command="collapse reproduce " * 12, claims=[CLAIM])
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 844})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(place.as_uri())
        assert page.locator("td.part").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("summary").first.click()
        assert page.locator("pre").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    # Nothing is fetched: it is one file.
    assert asked == [place.as_uri()]
