"""Ctrl-C and SIGTERM, wherever they come."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sim import kernels
from sim.cli import signals

# A signal that comes as a module is looked for; the hook stands first in the list of who looks.
AS_IMPORTED = """
import os, signal, sys

class Hook:
    def find_spec(name, path=None, target=None):
        if name == {where!r}:
            sys.meta_path.remove(Hook)
            os.kill(os.getpid(), signal.{number})

import sim.cli
sys.meta_path.insert(0, Hook)
"""

# A signal that comes inside PyTorch's C++ code (an exception aborts it), or where LLVM calls Python (one is dropped).
IN_COMPILED_CODE = """
import signal, sys

def watch(frame, event, argument):
    if event == "c_call" and argument.__name__ == {where!r}:
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    if event == "call" and frame.f_code.co_name == {where!r}:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGALRM)

import sim.cli
from sim.cli import signals
signal.signal(signal.SIGALRM, lambda _, frame: signals._answer(signal.{number}, frame))
sys.setprofile(watch)
"""

TRAIN = """
sys.argv = ["collapse", "train", "--out", {out!r}]
sim.cli.main()
"""


@pytest.mark.parametrize(
    ("script", "where"),
    [(AS_IMPORTED, name) for name in ("torch.utils.data", "torch.distributed", "numpy.random", "sim.sweeps.execute")]
    + [(IN_COMPILED_CODE, name) for name in ("_c10d_init", "_raw_object_cache_getbuffer")],
)
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_waits_until_what_is_imported_is_there(tmp_path: Path, script: str, where: str, number: str) -> None:
    if where == "_raw_object_cache_getbuffer" and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    program = (script + TRAIN).format(where=where, number=number, out=str(tmp_path / "out"))
    end = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert end.returncode == {"SIGTERM": 143, "SIGINT": 130}[number], end.stderr
    # Without Numba a warning comes first.
    assert end.stderr.endswith("interrupted; what is finished is kept, and the same command goes on from there\n")
    assert "Traceback" not in end.stderr


def test_a_signal_does_not_wait_for_an_import_that_does_not_end(tmp_path: Path) -> None:
    """A plug-in may work while it is imported."""
    plugin = tmp_path / "endless.py"
    plugin.write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(200)\n")
    script = "import sys, sim.cli, sim.cli.signals\nsys.path.insert(0, '')\nsim.cli.signals.MOST_SECONDS = 0.5\nsim.cli.main()"
    end = subprocess.run(
        [sys.executable, "-c", script, "train", "--plugin", "endless"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=190,
    )
    assert end.returncode == 143, end.stderr
    assert end.stderr == "interrupted; what is finished is kept, and the same command goes on from there\n"


def test_sigterm_stops_an_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event loops swallow whatever else a callback raises while the signal comes."""
    monkeypatch.setattr(signals.Terminated, "came", False)
    loop = asyncio.new_event_loop()
    loop.call_soon(signals._answer, signal.SIGTERM, None)
    loop.call_later(60, loop.stop)
    with pytest.raises(signals.Terminated):
        loop.run_forever()
    loop.close()
    assert signals.Terminated.came


def test_ctrl_c_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signals.listen()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signals.listen()
        assert signal.getsignal(signal.SIGINT) is signals._answer
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
