"""Runs tests in forks of a process that has loaded the libraries but none of the code under test; `mutation` starts and asks it.

A line in: pytest's arguments, seconds allowed, where compiled kernels are kept, where output goes. A line out: the exit code, or null
if time ran out.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import sys
from typing import Any

LIBRARIES = (
    "hypothesis.strategies", "numba", "numpy", "PIL.Image", "pandas", "pydantic", "pytest", "pytorch_metric_learning.losses",
    "pytorch_metric_learning.miners", "scipy.cluster.hierarchy", "scipy.optimize", "scipy.stats", "sklearn.cluster", "sklearn.mixture",
    "statsmodels.stats.multitest", "torch", "yaml",
)  # fmt: skip


def child(order: dict[str, Any]) -> None:
    """Run pytest and end with its exit code."""
    import pytest

    os.setpgid(0, 0)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = order["cache"]
    code = pytest.main(order["arguments"])
    sys.stdout.flush()
    os._exit(int(code))


def serve() -> None:
    """Answer until the input ends."""
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:  # numba, where it is switched off
            continue
    fork = multiprocessing.get_context("fork")
    for line in sys.stdin:
        order = json.loads(line)
        process = fork.Process(target=child, args=(order,))
        process.start()
        # Here as well as in the child: whoever comes first, there is a group to kill.
        with contextlib.suppress(OSError):
            os.setpgid(process.pid or 0, process.pid or 0)
        process.join(order["limit"])
        code = process.exitcode
        if code is None and process.pid is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        print(json.dumps(code), flush=True)


if __name__ == "__main__":
    serve()
