"""The explorer in notebooks: ``Explorer()`` in a cell (JupyterLab, Notebook, VS Code, marimo)."""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path
from typing import Any

import torch

from sim.errors import InvalidInput
from sim.explore.bundle import bundle
from sim.explore.engine import Engine
from sim.explore.measured import Measured
from sim.explore.page import IDLE_SECONDS, STATIC
from sim.explore.picture import draw
from sim.explore.session import Session
from sim.explore.state import State

try:
    import anywidget
except ImportError:
    raise InvalidInput("explorer", "anywidget", "the extra: pip install class-collapse[notebooks]") from None

FRAMES_IN_FLIGHT = 8
"""Frames unacknowledged: a notebook's way back is slow, so only every fourth frame is acknowledged."""


class Explorer(anywidget.AnyWidget):
    """A live explorer.

    Parameters
    ----------
    out : path, optional
        A results folder whose runs are shown beside the live one.
    **state
        Fields of `sim.explore.state.State`: ``Explorer(noise=0.2, positive="hard")``.

    Raises
    ------
    InvalidInput
    """

    _esm = bundle(STATIC / "explorer.js")
    _css = STATIC / "explorer.css"
    _thread: threading.Thread | None = None

    def __init__(self, out: str | Path | None = None, **state: Any) -> None:
        engine = Engine(State().with_(state))
        measured = Measured(None if out is None else Path(out) / "store")
        super().__init__()
        self.session = Session(engine, measured, in_flight=FRAMES_IN_FLIGHT)
        # Messages come on the kernel's threads, training runs on one of its own.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        with self._lock:
            self.session.receive(content)
        self.start()

    def start(self) -> None:
        """Train in the background; a view that is shown does this by itself."""
        if self._thread is None or not self._thread.is_alive():
            self._ended.clear()
            self._thread = threading.Thread(target=self._drive, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the background thread."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()

    def close(self) -> None:
        """See `ipywidgets.Widget.close`."""
        self.stop()
        super().close()

    def _drive(self) -> None:
        torch.set_num_threads(1)
        while not self._ended.is_set():
            with self._lock:
                messages, training = self.session.work(), self.session.training
            for content, buffer in messages:
                self.send(content, [buffer])
            # Let go of the lock, and of the interpreter, between slices.
            time.sleep(0.0005 if training else IDLE_SECONDS)

    def advance(self, steps: int) -> None:
        """Train some steps at once, without a view."""
        with self._lock:
            for _ in range(steps):
                self.session.engine.advance()

    def png(self) -> bytes:
        """The present embeddings as a picture, for where there is no JavaScript."""
        with self._lock:
            return draw(self.session.engine)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "image/png": base64.b64encode(self.png()).decode()}, metadata
