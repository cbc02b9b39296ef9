"""One user's explorer: messages in, messages out. Hosts carry the messages and call `work` again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sim.catalogue import PRESETS
from sim.errors import InvalidInput
from sim.explore import look
from sim.explore.engine import Engine
from sim.explore.measured import Measured
from sim.explore.state import State, allowed, read

MOST_FRAMES_PER_SECOND = 30
SECONDS_OF_TRAINING = 0.005
"""Between two looks at the messages."""
SECONDS_BETWEEN_METRICS = 0.25
SECONDS_WITHOUT_ACKNOWLEDGEMENT = 2.0
"""After which training stops: the tab is closed or asleep."""

Message = tuple[dict[str, Any], bytes]
"""Content (JSON) and a buffer of little-endian float32, perhaps empty."""

MESSAGES: dict[str, dict[str, type]] = {
    "hello": {},
    "set": {"changes": dict},
    "play": {},
    "pause": {},
    "step": {},
    "reset": {},
    "load": {},
    "ack": {"frame": int},
    "visible": {},
}
"""What a front end says, and the parts that must be there.

``hello``: tell me all anew; ``set``: change controls (kept in a slot until the next `Session.work`: of several only what they change
together is done); ``load``: take the shared state ``query``; ``ack``: this frame was seen; ``visible``: whether anybody looks (``value``).
"""


class Session:
    """An `Engine` and what its front end was told.

    Parameters
    ----------
    query : str
        A shared state; one that can't be read gives the default and a notice.
    store : Path, optional
        A results folder whose runs are shown beside the live one.
    in_flight : int
        Frames that may be on their way unacknowledged.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        query: str = "",
        store: Path | None = None,
        in_flight: int = 2,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock, self.window = clock, in_flight
        self.measured = Measured(store)
        self._out: list[Message] = []
        self._notice = ""
        try:
            self.engine = Engine(read(query))
        except InvalidInput as error:
            self._notice = f"The shared state can't be used, so this is the default problem. {error}"
            self.engine = Engine(State())
        self.playing, self.visible, self._greeted = True, True, False
        self._pending: dict[str, Any] | None = None
        self._request = 0
        self._sent, self._acknowledged, self._metrics_owed = 0, 0, False
        self._sides: list[dict[str, Any]] = []
        self._heard = self._frame_due = self._metrics_due = clock()

    def receive(self, message: Any) -> None:
        """Take a message of the front end, see `MESSAGES`; anything else is answered with a notice."""
        kind = message.get("type") if isinstance(message, dict) else None
        parts = MESSAGES.get(kind) if isinstance(kind, str) else None
        if parts is None or not all(isinstance(message.get(name), type_) for name, type_ in parts.items()):
            self._say("notice", text=str(InvalidInput("message", message, "a message of the explorer's front end")))
        else:
            getattr(self, f"_on_{kind}")(message)

    def _on_hello(self, _: dict[str, Any]) -> None:
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
        self._tell_all(self._notice)
        self._notice = ""

    def _on_set(self, message: dict[str, Any]) -> None:
        pending = self._pending or {"changes": {}}
        self._pending = {
            "changes": {**pending["changes"], **message["changes"]},
            "carry": bool(message.get("carry")),
            "request": message.get("request", 0),
        }

    def _on_play(self, _: dict[str, Any]) -> None:
        self.playing = True
        self._tell_state()

    def _on_pause(self, _: dict[str, Any]) -> None:
        self.playing = False
        self._tell_state()
        # What was trained since the last frame is to be seen too.
        self._sides, self._metrics_owed = [], True
        self._frame()

    def _on_step(self, _: dict[str, Any]) -> None:
        self.playing = False
        self.engine.advance()
        self._sides = []
        self._tell_state()
        self._frame()
        self._metrics_owed = True

    def _on_reset(self, _: dict[str, Any]) -> None:
        self.engine.restart()
        self._tell_all()

    def _on_load(self, message: dict[str, Any]) -> None:
        try:
            self.engine.set(read(str(message.get("query", ""))).model_dump())
        except InvalidInput as error:
            self.engine.set(State().model_dump())
            self._tell_all(f"The shared state can't be used, so this is the default problem. {error}")
        else:
            self._tell_all()

    def _on_ack(self, message: dict[str, Any]) -> None:
        self._acknowledged = max(self._acknowledged, message["frame"])
        self._heard = self.clock()

    def _on_visible(self, message: dict[str, Any]) -> None:
        self.visible = bool(message.get("value"))
        self._heard = self.clock()

    @property
    def training(self) -> bool:
        """Whether `work` would train."""
        lost = self._sent > self._acknowledged and self.clock() - self._heard > SECONDS_WITHOUT_ACKNOWLEDGEMENT
        return self._greeted and self.playing and self.visible and not lost

    def work(self) -> list[Message]:
        """Do a slice of what there is to do, and give what there is to tell."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._request = pending["request"]
            try:
                self.engine.set(pending["changes"], carry=pending["carry"])
            except InvalidInput as error:
                self._tell_state(str(error))
            else:
                self._tell_all()
            out, self._out = self._out, []
            return out  # the change is to be seen at once
        if self.training:
            end = self.clock() + SECONDS_OF_TRAINING
            while self.clock() < end:
                self.engine.advance()
                if self._frame_due <= self.clock():
                    break
        now = self.clock()
        if self.training and now >= self._frame_due and self._sent - self._acknowledged < self.window:
            self._frame()
            if now >= self._metrics_due:
                self._metrics_owed = True
        elif self._metrics_owed:
            self._measure()
        out, self._out = self._out, []
        return out

    def _say(self, kind: str, buffer: bytes = b"", **content: Any) -> None:
        self._out.append(({"type": kind, **content}, buffer))

    def _tell_all(self, notice: str = "") -> None:
        """After a restart or a change: everything."""
        engine = self.engine
        sample = engine.problem.train
        self._sides = []
        self._tell_state(notice)
        self._say(
            "data",
            engine.inputs().astype("<f4").tobytes(),
            generation=engine.generation,
            n=sample.n,
            classes=sample.classes.tolist(),
            modes=_within_class(sample.classes, sample.modes).tolist(),
            labels=engine.labels().tolist(),
            theory=engine.theory,
            measured=self.measured.near(engine.state),
        )
        if self.training:
            for _ in range(2):  # so that the first frame shows the change
                engine.advance()
        self._frame()
        self._metrics_owed = True

    def _tell_state(self, notice: str = "") -> None:
        engine, state = self.engine, self.engine.state
        steps = engine.step_count
        self._say(
            "state",
            state=state.model_dump(),
            query=state.query(),
            allowed=allowed(state),
            playing=self.playing,
            continued=engine.continued,
            notice=notice,
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
        """Measure one run; tell when all are measured."""
        engine, state, steps = self.engine, self.engine.state, self.engine.step_count
        if not self._sides:
            self._measured_at = steps
        values = engine.metrics(len(self._sides))
        self._sides.append({k: None if v != v else v for k, v in values.items()})
        if len(self._sides) < len(engine.trainers):
            return
        self._say(
            "metrics",
            generation=engine.generation,
            step=self._measured_at,
            sides=self._sides,
            cli=[self._again(state.command(p, steps)) for p in state.positives],
            python=[self._again(state.python(p, steps)) for p in state.positives],
        )
        self._sides, self._metrics_owed, self._metrics_due = [], False, self.clock() + SECONDS_BETWEEN_METRICS

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
