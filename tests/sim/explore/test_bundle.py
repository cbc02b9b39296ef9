"""The front end as one text: what a notebook's host gets is valid, and what can't be bundled is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sim.explore.bundle import bundle
from sim.explore.page import STATIC

NODE = shutil.which("node")


def test_the_front_end_is_one_module_with_one_export() -> None:
    text = bundle(STATIC / "explorer.js")
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == ["export default { render };"]
    # Every module is in it, once, but the page's own: none is forgotten in the folder.
    for module in set(STATIC.glob("*.js")) - {STATIC / "page.js"}:
        first = module.read_text(encoding="utf-8").splitlines()[0]
        assert text.count(first) == 1, module.name


@pytest.mark.skipif(NODE is None, reason="no node on this machine")
def test_the_front_end_is_valid(tmp_path: Path) -> None:
    (tmp_path / "bundle.mjs").write_text(bundle(STATIC / "explorer.js"), encoding="utf-8")
    assert NODE is not None
    subprocess.run([NODE, "--check", str(tmp_path / "bundle.mjs")], check=True)
    asked = "import('./bundle.mjs').then((own) => console.log(typeof own.default.render))"
    said = subprocess.run([NODE, "--eval", asked], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert said.stdout == "function\n"


def test_modules_follow_one_another_by_their_dependencies(tmp_path: Path) -> None:
    for name, text in {
        "entry.js": 'import { b } from "./b.js";\nimport {\n  a,\n} from "./a.js";\n\nexport default { all: a + b };\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = `${a} export`;\n',
        "a.js": "export const a = 1;\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert bundle(tmp_path / "entry.js") == (
        "const a = 1;\n\nconst b = `${a} export`;\n\nexport default { all: a + b };\n"
    )


@pytest.mark.parametrize(
    ("entry", "other", "message"),
    [
        ('import { a as b } from "./other.js";', "export const a = 1;", "'a as b', which other.js doesn't export"),
        ('import * as other from "./other.js";', "", "can't bundle"),
        ('import "./other.js";', "", "can't bundle"),
        ('import { a } from "elsewhere";', "", "can't bundle"),
        ('const own = await import("./other.js");', "", "can't bundle"),
        ("const { a } = {};", "", "can't bundle"),
        ('import { a } from "./other.js";', "const a = 1;\nexport { a };", "other.js: can't bundle 'export { a };'"),
        ('import { a } from "./other.js";', "export const a = 1;\nexport default a;", "other.js: can't bundle"),
        ('import { a } from "./other.js";', "const a = 1;", "entry.js imports 'a', which other.js doesn't export"),
        ('import { a } from "./other.js";\nclass b {}', "export const a = 1;\nfunction b() {}", "'b' stands in"),
        ('import { a } from "./other.js";', 'import { b } from "./entry.js";', "entry.js > other.js > entry.js"),
    ],
)
def test_what_cannot_be_bundled_is_refused(tmp_path: Path, entry: str, other: str, message: str) -> None:
    (tmp_path / "entry.js").write_text(entry + "\n")
    (tmp_path / "other.js").write_text(other + "\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle(tmp_path / "entry.js")


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "entry.js").write_text('import { a } from "./gone.js";\n')
    with pytest.raises(FileNotFoundError, match=re.escape("gone.js")):
        bundle(tmp_path / "entry.js")
