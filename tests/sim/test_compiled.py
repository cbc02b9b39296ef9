"""Machine code is kept where that is safe, found again as long as it is right, and never needed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sim import ahead, cli, compiled, source
from sim.catalogue import LOSSES
from sim.cli import training
from sim.fused import net, pairs, tiles
from sim.fused.stages import Stage

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="Numba isn't installed (extra: fast)")

CALLER = """
import sys
from sim.compiled import compiled
from kept import shapes
from kept.shapes import area

@compiled
def twice(side):
    return 2 * area(side)

@compiled
def plus(side):
    return side + shapes.OFFSET

if __name__ != "__main__":
    found = twice(3), plus(1)
    print(*found, "compiled" if twice.stats.cache_misses else "loaded")
"""

CALLEE = """
from sim.compiled import compiled

OFFSET = 10

@compiled
def area(side):
    return side * side
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package ``kept`` with a kernel that calls another file's kernel, and one that reads another file's number."""
    folder = tmp_path / "code" / "kept"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "caller.py").write_text(CALLER)
    (folder / "shapes.py").write_text(CALLEE)
    return folder


def call(package: Path, home: Path, **variables: str) -> str:
    """What the package's kernels give in a process of their own."""
    kept_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR", "TEMP", "TMP")
    environment = {name: value for name, value in os.environ.items() if name not in kept_out}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{package.parent}", "HOME": str(home), **variables}
    # Python's own files would look at seconds and sizes; the test changes a file within one.
    command = [sys.executable, "-B", "-c", "import kept.caller"]
    end = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert end.returncode == 0, end.stderr
    return end.stdout + end.stderr


def kernels(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{compiled.ENDING}"))


def unwritable(folder: Path) -> None:
    """A file in the folder's place: nobody writes below it, whoever runs the test."""
    folder.write_text("")


def test_kept_beside_the_code_and_loaded_by_the_next_process(package: Path, tmp_path: Path) -> None:
    assert call(package, tmp_path / "home") == "18 11 compiled\n"
    assert {file.parent for file in kernels(tmp_path)} == {package / "__pycache__"}
    assert call(package, tmp_path / "home") == "18 11 loaded\n"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [("side * side", "side + side", "12 11 compiled\n"), ("OFFSET = 10", "OFFSET = 70", "18 71 loaded\n")],
)
def test_what_another_file_says_is_not_stale(package: Path, tmp_path: Path, old: str, new: str, found: str) -> None:
    call(package, tmp_path / "home")
    before = (package / "shapes.py").stat()
    (package / "shapes.py").write_text(CALLEE.replace(old, new))
    # Of the same size and, for all that can be seen, as old.
    os.utime(package / "shapes.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert call(package, tmp_path / "home") == found
    (package / "shapes.py").write_text(CALLEE)
    assert call(package, tmp_path / "home") == "18 11 loaded\n"


def test_a_package_that_cannot_be_written_is_kept_in_the_users_cache(package: Path, tmp_path: Path) -> None:
    unwritable(package / "__pycache__")
    call(package, tmp_path / "home", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert {file.parent for file in kernels(tmp_path)} == {tmp_path / "cache/class-collapse/kernels"}
    assert call(package, tmp_path / "home", XDG_CACHE_HOME=str(tmp_path / "cache")) == "18 11 loaded\n"


@pytest.mark.parametrize("home", ["file", "file/missing"])
def test_without_a_home_it_is_kept_in_a_folder_of_this_user_among_the_temporary_ones(
    package: Path, tmp_path: Path, home: str
) -> None:
    unwritable(package / "__pycache__")
    unwritable(tmp_path / "file")
    (tmp_path / "temporary").mkdir()
    place, places = tmp_path / home, {"TMPDIR": str(tmp_path / "temporary")}
    assert call(package, place, **places) == "18 11 compiled\n"
    (folder,) = {file.parent for file in kernels(tmp_path)}
    assert folder.parent == tmp_path / "temporary" and folder.stat().st_mode & 0o077 == 0
    assert call(package, place, **places) == "18 11 loaded\n"


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("wrong", ["another user's", "open to everyone", "a link"])
def test_a_folder_that_others_write_to_is_not_used(package: Path, tmp_path: Path, wrong: str) -> None:
    unwritable(package / "__pycache__")
    unwritable(tmp_path / "no-cache")
    places = {"TMPDIR": str(tmp_path / "temporary"), "XDG_CACHE_HOME": str(tmp_path / "no-cache")}
    (tmp_path / "temporary").mkdir()
    call(package, tmp_path, **places)
    (folder,) = (tmp_path / "temporary").iterdir()
    if wrong == "a link":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    elif wrong == "open to everyone":
        folder.chmod(0o777)
    else:
        os.chown(folder, 12345, 12345)
    before = {file: file.read_bytes() for file in kernels(folder.resolve())}
    for file in before:
        file.write_bytes(b"not machine code")
    end = call(package, tmp_path, **places)
    assert end.startswith("18 11 compiled\n") and "no folder can be written" in end
    assert {file.read_bytes() for file in before} == {b"not machine code"}


def test_where_nothing_can_be_written_this_is_said_once(package: Path, tmp_path: Path) -> None:
    unwritable(package / "__pycache__")
    unwritable(tmp_path / "file")
    end = call(package, tmp_path / "home", NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert end.startswith("18 11 compiled\n")
    assert end.count("kernels are compiled anew by every process") == 1
    assert kernels(tmp_path) == []


def test_damaged_code_is_compiled_anew(package: Path, tmp_path: Path) -> None:
    call(package, tmp_path / "home")
    for file in kernels(tmp_path):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert call(package, tmp_path / "home") == "18 11 compiled\n"
    assert call(package, tmp_path / "home") == "18 11 loaded\n"


def test_code_that_nobody_needs_goes(package: Path, tmp_path: Path) -> None:
    call(package, tmp_path / "home")
    for file in kernels(tmp_path):
        os.utime(file, (0, 0))
    (package / "shapes.py").write_text(CALLEE.replace("side * side", "side + side"))
    call(package, tmp_path / "home")
    assert [file.name.split(".")[2] for file in kernels(tmp_path)] == ["plus", "twice", "area"]


def test_code_of_a_function_holds_what_it_uses_whatever_lived_where_before(tmp_path: Path) -> None:
    """The number of an object that is gone is given to another one: it is not taken for seen."""
    code = "".join(f"LIMIT{k} = {k}\ndef f{k}():\n    return LIMIT{k}\n" for k in range(50))
    names = ", ".join(f"f{k}()" for k in range(50))
    module: dict[str, object] = {"__name__": "apart"}
    exec(code + f"def every():\n    return {names}\n", module)
    found = source.of_function(module["every"]).splitlines()
    assert {str(k) for k in range(50)} <= set(found)


@pytest.mark.parametrize("name", ["turn", "_emit_turn"])
def test_code_of_anothers_function_holds_what_it_uses_of_this_package(name: str) -> None:
    """Numba compiles it into the other's machine code, down to its instructions: another version of this package is another code."""
    module: dict[str, Any] = {"__name__": "apart", "turn": tiles.turn}
    exec("def outside(*arguments):\n    turn(*arguments)\n", module)
    used = getattr(tiles, name)
    assert getattr(used, "py_func", used).__code__.co_code.hex() in source.of_function(module["outside"]).splitlines()


@pytest.mark.parametrize(
    ("triple", "features", "able"),
    [
        ("x86_64-unknown-linux-gnu", {"avx2": True, "fma": True}, True),
        ("x86_64-unknown-linux-gnu", {"avx2": True, "fma": False}, False),
        ("x86_64-unknown-linux-gnu", {"avx2": False, "fma": True}, False),
        ("aarch64-unknown-linux-gnu", {}, True),
    ],
)
def test_machines_that_multiply_and_add_at_once(
    triple: str, features: dict[str, bool], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llvmlite import binding

    monkeypatch.setattr(binding, "get_process_triple", lambda: triple)
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    assert compiled.has_fma() is able


@pytest.mark.parametrize(
    ("available", "fma", "said"),
    [(True, True, ""), (True, False, "AVX2 or FMA"), (False, True, "Numba isn't installed")],
)
def test_commands_say_once_what_makes_them_slow(
    available: bool, fma: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", available)
    monkeypatch.setattr(compiled, "has_fma", lambda: fma)
    training._say_what_is_missing.cache_clear()
    for _ in range(2):
        training._say_what_is_missing()
    training._say_what_is_missing.cache_clear()
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == bool(said)


def test_the_first_step_waits_for_nothing_that_only_the_end_needs(tmp_path: Path) -> None:
    code = """
import sys
from sim import cli
from sim.training import Trainer

advance = Trainer.advance

def first(trainer, steps):
    advance(trainer, steps)
    print(*sys.modules)
    sys.stdout.flush()
    import os
    os._exit(0)

Trainer.advance = first
cli.run(["train", "--set=batch.per_class=4", "--set=data.params.samples_per_mode=8", "--out=."])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        end = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=True,
        )
    # numba.np.linalg: what Numba needs to compile, here found in the cache.
    late = {"pandas", "sklearn", "scipy.stats", "scipy.linalg", "matplotlib", "numba.np.linalg", "torch._dynamo.config"}
    loaded = set(end.stdout.split())
    assert "sim.kernels" in loaded and not late & loaded


def test_without_numba_functions_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    assert compiled.compiled(textwrap.dedent) is textwrap.dedent
    assert not compiled.has_fma()


def test_all_that_training_needs_can_be_compiled_beforehand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ahead.parts()
    assert set(parts) == {
        ahead.EVALUATION,
        ahead.THEORY,
        *ahead.STAGES,
        *(n for n in LOSSES if "terms" in vars(LOSSES[n])),
    }
    assert len(parts) == len(set(parts)) > 12
    stages = {value for module in (net, pairs) for value in vars(module).values() if isinstance(value, Stage)}
    assert set(ahead.STAGES.values()) == stages
    steps: list[int] = []
    assert ahead.compile_part("triplet", steps.append) == "triplet" and steps == [1]
    monkeypatch.setattr(ahead, "parts", lambda: ["normalise", ahead.EVALUATION])
    assert cli.run(["compile", "--workers", "1"]) == 0
    assert capsys.readouterr().out.startswith("2 parts compiled in ")


def test_without_numba_there_is_nothing_to_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    assert cli.run(["compile"]) == 0
    assert capsys.readouterr().out == "nothing to compile: Numba isn't installed (class-collapse[fast])\n"
