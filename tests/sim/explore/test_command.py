"""``collapse explore``: ports, what is refused in one line, and an end at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest
from tornado.websocket import websocket_connect

from sim.errors import InvalidInput
from sim.explore.page import FIRST_PORT, free_socket

SECONDS_TO_HANG = 120
"""After which something that is waited for doesn't come: machines may be slow."""


def test_a_port_in_use_is_skipped() -> None:
    first, second = free_socket(None), free_socket(None)
    assert FIRST_PORT <= first.getsockname()[1] < second.getsockname()[1]
    assert first.getsockname()[0] == "127.0.0.1"
    with pytest.raises(
        InvalidInput, match=r"port: got .*; allowed: a free port of this machine.*address already in use"
    ):
        free_socket(first.getsockname()[1])
    for listening in (first, second):
        listening.close()


def test_a_port_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    for port in (-1, 65536, 10**30):
        with pytest.raises(InvalidInput, match="port: got .*; allowed: an integer, 0 to 65535"):
            free_socket(port)

    class Forbidden(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(InvalidInput, match=r"port: got 80; allowed: .*permission denied"):
        free_socket(80)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--port", "70000"], "port: got 70000; allowed: an integer, 0 to 65535"),
        (["--port", "x"], "Invalid value for '--port'"),
        (["--preset", "nonsense"], "preset: got 'nonsense'; allowed: one of clean labels"),
        (["--preset", "batch-hard", "--state", "v=1"], "preset: got 'batch-hard'; allowed: either --preset or --state"),
        (["--state", "rubbish"], "shared state: got 'rubbish'"),
        (["--state", "x" * 5000], "shared state: got '5000 characters'"),
        (["--state", "v=1&noise=[*a, *a]"], "shared state, noise"),
        (["--state", "v=1&noise_kind=instance&noise=0.9&classes=6&modes=1&per_class=64"], "batch.per_class: got 64"),
        (["--animation", "film.mp4"], "animation: got 'film.mp4'"),
    ],
)
def test_what_the_command_refuses_is_one_line(given: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    from sim.cli import run

    assert run(["explore", "--no-browser", *given]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and said in error


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="no Ctrl-C to send")
def test_ctrl_c_ends_it_whatever_is_connected() -> None:
    command = [sys.executable, "-m", "sim.cli", "explore", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Shells let what they start in the background ignore Ctrl-C, and so would all below it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split("/")[2].split(":")[1])

    async def connected() -> None:
        training, silent = [await websocket_connect(f"ws://127.0.0.1:{port}/socket") for _ in range(2)]
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in slow:
            writer.write(b"GET / HT")
        await training.write_message('{"type": "hello"}')
        assert await training.read_message() is not None
        process.send_signal(signal.SIGINT)
        for link in (training, silent):
            while await link.read_message() is not None:
                pass
        for reader, writer in slow:
            assert await reader.read() == b""
            writer.close()

    asyncio.run(asyncio.wait_for(connected(), SECONDS_TO_HANG))
    _, errors = process.communicate(timeout=SECONDS_TO_HANG)
    assert process.returncode == 0 and errors == ""
