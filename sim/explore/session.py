"""One user's explorer: messages in, messages out. Hosts carry the messages and call `work` again and again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sim.catalogue import PRESETS
from sim.errors import InvalidInput
from sim.explore import look
from sim.explore.engine import Engine
from sim.explore.measured import Measured
from sim.explore.messages import Ack, Bare, Load, Set, Visible, decoded, understood
from sim.explore.state import State, allowed, read

MOST_FRAMES_PER_SECOND = 30
SECONDS_OF_TRAINING = 0.005
"""Between two looks at the messages."""
SECONDS_BETWEEN_METRICS = 0.25
SECONDS_WITHOUT_ACKNOWLEDGEMENT = 2.0
"""After which training stops: the tab is closed or asleep."""
LONGEST_NOTICE = 400
"""Characters of a notice."""

LOG = logging.getLogger(__name__)

Message = tuple[dict[str, Any], bytes]
"""Content (JSON) and a buffer of little-endian float32, perhaps empty."""


class Session:
    """An `Engine` and what its front end was told.

    A message that is refused, and one on which a loss or sampler of one's own fails, is answered by a ``notice`` (``field``, ``text``
    and the ``request`` that it belongs to, else 0); the session goes on as it was.

    Parameters
    ----------
    engine : Engine
    measured : Measured, optional
        Stored runs that are shown beside the live one.
    notice : str
        Told to the first front end.
    in_flight : int
        Frames that may be on their way unacknowledged.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        engine: Engine,
        measured: Measured | None = None,
        *,
        notice: str = "",
        in_flight: int = 2,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.engine, self.clock, self.window = engine, clock, in_flight
        self.measured = Measured(None) if measured is None else measured
        self._out: list[Message] = []
        self._notice = notice
        self.playing, self.visible, self._greeted = True, True, False
        self._pending: tuple[State, Set] | None = None
        self._request = 0
        self._sent, self._acknowledged = 0, 0
        self._metrics_owed, self._framed, self._lines_told = False, False, False
        self._heard = self._frame_due = self._metrics_due = clock()

    @classmethod
    def at(cls, query: str, measured: Measured | None = None, **options: Any) -> Session:
        """A session with the shared state of an address; one that can't be used gives the default and a notice."""
        try:
            engine, notice = Engine(read(query)), ""
        except InvalidInput as error:
            notice = f"The shared state can't be used, so this is the default problem. {error}"[:LONGEST_NOTICE]
            engine = Engine(State())
        return cls(engine, measured, notice=notice, **options)

    def receive_text(self, text: str | bytes) -> None:
        """Take a message as it comes on the wire."""
        with self._answering():
            self._take(decoded(text))

    def receive(self, content: Any) -> None:
        """Take a message of the front end, see `sim.explore.messages`."""
        with self._answering():
            self._take(content)

    def _take(self, content: Any) -> None:
        kind, message = understood(content)
        getattr(self, f"_on_{kind}")(message)

    @contextmanager
    def _answering(self, request: int = 0) -> Iterator[None]:
        """Whatever fails in here is told to the front end instead of ending the session."""
        try:
            yield
        except InvalidInput as error:
            self._refuse(error.field, str(error), request)
        except Exception as error:  # of a plugin, or of this program: what is shown stays in use
            LOG.exception("the explorer goes on after an error")
            self._refuse("explorer", f"explorer: {type(error).__name__}: {error} (the console says more)", request)

    def _refuse(self, field: str, text: str, request: int) -> None:
        self._tell_state()
        self._say("notice", field=field[:LONGEST_NOTICE], text=text[:LONGEST_NOTICE], request=request)

    def _on_hello(self, _: Bare) -> None:
        """A front end is there, perhaps not the first: tell it everything."""
        self._out, self._greeted = [], True
        self._sent = self._acknowledged = 0
        self._say(
            "hello",
            look=look.described(),
            presets={name: PRESETS[name] for name in PRESETS},
            defaults=State().model_dump(),
            window=self.window,
        )
        self._tell_all()
        if self._notice:
            self._say("notice", field="shared state", text=self._notice, request=0)
        self._notice = ""

    def _on_set(self, message: Set) -> None:
        """Keep it in a slot until the next `work`: of several changes only what they make together is built."""
        with self._answering(message.request):
            state = self.engine.state if self._pending is None else self._pending[0]
            self._pending = state.with_(message.changes), message

    def _on_play(self, _: Bare) -> None:
        self.playing = True
        self._tell_state()

    def _on_pause(self, _: Bare) -> None:
        self.playing = False
        self._tell_state()
        # What was trained since the last frame is to be seen too.
        self._frame()
        self._metrics_owed = True

    def _on_step(self, _: Bare) -> None:
        self.playing = False
        self.engine.advance()
        self._tell_state()
        self._frame()
        self._metrics_owed = True

    def _on_reset(self, _: Bare) -> None:
        self.engine.restart()
        self._tell_all()

    def _on_load(self, message: Load) -> None:
        self.engine.set(read(message.query).model_dump())
        self._tell_all()

    def _on_ack(self, message: Ack) -> None:
        # Of a number that wasn't sent (since the last hello) no frame is taken for seen.
        self._acknowledged = max(self._acknowledged, min(message.frame, self._sent))
        self._heard = self.clock()

    def _on_visible(self, message: Visible) -> None:
        self.visible = message.value
        self._heard = self.clock()

    @property
    def training(self) -> bool:
        """Whether `work` would train."""
        lost = self._sent > self._acknowledged and self.clock() - self._heard > SECONDS_WITHOUT_ACKNOWLEDGEMENT
        return self._greeted and self.playing and self.visible and not lost

    def work(self) -> list[Message]:
        """Do a slice of what there is to do, and give what there is to tell."""
        if self._pending is not None:
            (state, message), self._pending = self._pending, None
            with self._answering(message.request):
                self.engine.set(state.model_dump(), carry=message.carry)
                self._request = message.request
                self._tell_all()  # the change is to be seen at once
        elif not self._out:  # answers don't wait
            with self._answering():
                try:
                    self._go_on()
                except Exception:
                    # It would fail again and again.
                    self.playing = self._metrics_owed = False
                    self._lines_told = True
                    raise
        out, self._out = self._out, []
        return out

    def _go_on(self) -> None:
        if self.training:
            end = min(self.clock() + SECONDS_OF_TRAINING, self._frame_due)
            self.engine.advance()
            while self.clock() < end:
                self.engine.advance()
        now = self.clock()
        frame = self.training and now >= self._frame_due and self._sent - self._acknowledged < self.window
        # Where a frame is always due, every other turn is for the rest: it mustn't starve.
        if frame and not (self._framed and (self._metrics_owed or self._lines_owed)):
            self._frame()
            self._framed = True
            self._metrics_owed = self._metrics_owed or now >= self._metrics_due
            return
        self._framed = False
        if self._metrics_owed:
            self._measure()
        if self._lines_owed:
            self._tell_lines()

    def _say(self, kind: str, buffer: bytes = b"", **content: Any) -> None:
        self._out.append(({"type": kind, **_plain(content)}, buffer))

    def _tell_all(self) -> None:
        """After a restart or a change: everything."""
        engine = self.engine
        sample = engine.problem.train
        self._tell_state()
        self._say(
            "data",
            engine.inputs().astype("<f4").tobytes(),
            generation=engine.generation,
            n=sample.n,
            classes=sample.classes.tolist(),
            modes=_within_class(sample.classes, sample.modes).tolist(),
            labels=engine.labels().tolist(),
            measured=self.measured.near(engine.state),
        )
        if self.training:
            for _ in range(2):  # so that the first frame shows the change
                engine.advance()
        self._frame()
        self._lines_told = False
        self._tell_lines()
        self._metrics_owed = True

    @property
    def _lines_owed(self) -> bool:
        return self._greeted and not self._lines_told

    def _tell_lines(self) -> None:
        """Work on the theory's lines for a while, a point at least; tell them when they are complete."""
        lines, end = self.engine.lines, self.clock() + SECONDS_OF_TRAINING
        while not lines.complete:
            lines.advance()
            if self.clock() >= end:
                break
        if lines.complete:
            self._say("theory", generation=self.engine.generation, **lines.described())
            self._lines_told = True

    def _tell_state(self) -> None:
        engine, state = self.engine, self.engine.state
        steps = engine.step_count
        self._say(
            "state",
            state=state.model_dump(),
            query=state.query(),
            allowed=allowed(state),
            playing=self.playing,
            continued=engine.continued,
            cli=[self._again(state.command(p, steps)) for p in state.positives],
            python=[self._again(state.python(p, steps)) for p in state.positives],
        )

    def _frame(self) -> None:
        engine = self.engine
        embeddings = engine.embeddings()
        self._sent += 1
        now = self.clock()
        if self._sent - self._acknowledged == 1:
            self._heard = now  # nothing was owed before
        # Held on average: a late frame makes the next one come sooner.
        self._frame_due = max(self._frame_due + 1 / MOST_FRAMES_PER_SECOND, now)
        self._say(
            "frame",
            b"".join(np.nan_to_num(e).astype("<f4").tobytes() for e in embeddings),
            frame=self._sent,
            request=self._request,
            generation=engine.generation,
            step=engine.step_count,
            dim=embeddings[0].shape[1],
            positives=engine.state.positives,
            diverged=engine.diverged,
        )

    def _measure(self) -> None:
        engine, state, steps = self.engine, self.engine.state, self.engine.step_count
        self._say(
            "metrics",
            generation=engine.generation,
            step=steps,
            sides=[engine.metrics(run) for run in range(len(engine.trainers))],
            cli=[self._again(state.command(p, steps)) for p in state.positives],
            python=[self._again(state.python(p, steps)) for p in state.positives],
        )
        self._metrics_owed, self._metrics_due = False, self.clock() + SECONDS_BETWEEN_METRICS

    def _again(self, text: str) -> str:
        """How to repeat the run, unless that can't be."""
        carried = "# carried over a change of controls: a run from this configuration starts afresh\n"
        return (carried if self.engine.continued else "") + text


def _within_class(classes: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Modes counted from 0 in each class."""
    counted = np.zeros_like(modes)
    for c in np.unique(classes):
        own = classes == c
        counted[own] = np.unique(modes[own], return_inverse=True)[1]
    return counted


def _plain(value: Any) -> Any:
    """JSON-ready: it has no NaN and no infinity; null says that there is no number."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
