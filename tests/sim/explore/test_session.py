"""A session: mailbox, back-pressure, sleeping tabs, clear notices; the page and the widget carry its messages."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from sim.errors import InvalidInput
from sim.explore.bundle import bundle
from sim.explore.engine import Engine
from sim.explore.look import SIDES, WORDS
from sim.explore.messages import MESSAGES
from sim.explore.page import STATIC, packed
from sim.explore.picture import draw
from sim.explore.session import Session
from sim.explore.state import State
from sim.explore.verdicts import VERDICTS, Verdict
from sim.look import CLASS_COLOURS, MODE_MARKERS
from sim.training import Trainer

SECONDS_TO_HANG = 120
"""After which something that is waited for doesn't come: machines may be slow."""


UNTRAINABLE = {"noise_kind": "instance", "noise": 0.9, "classes": 6, "modes": 1, "per_class": 64}
"""A class has too few of the labels drawn for its share of a batch: only the trainer sees that."""


class Clock:
    """Time that passes by a millisecond, or `each`, each time somebody looks."""

    def __init__(self) -> None:
        self.now, self.each = 0.0, 0.001

    def __call__(self) -> float:
        self.now += self.each
        return self.now


def session(query: str = "", **options: Any) -> tuple[Session, Clock, dict[str, Any]]:
    clock = Clock()
    own = Session.at(query, clock=clock, **options)
    assert own.work() == []
    own.receive({"type": "hello"})
    return own, clock, {content["type"]: (content, buffer) for content, buffer in own.work()}


def test_a_front_end_is_told_everything() -> None:
    own, _, told = session("v=1&noise=0.25")
    assert list(told) == ["hello", "state", "data", "frame"]
    assert told["state"][0]["state"]["noise"] == 0.25
    data, frame = told["data"], told["frame"]
    n = data[0]["n"]
    assert np.frombuffer(data[1], "<f4").shape == (2 * n,)
    assert np.frombuffer(frame[1], "<f4").shape == (2 * 2 * n,)
    assert frame[0]["generation"] == data[0]["generation"]
    json.dumps([c for c, _ in told.values()], allow_nan=False)
    own.receive({"type": "hello"})  # a second view
    assert [c["type"] for c, _ in own.work()] == ["hello", "state", "data", "frame"]


def test_the_look_is_told_and_written_once() -> None:
    _, _, told = session()
    look = told["hello"][0]["look"]
    assert look["verdicts"]["class"] == {
        "title": "CLASS collapse",
        "explanation": "each class on a point: the mean distance inside a class is below 0.1 of that between classes",
    }
    assert look["colours"] == list(CLASS_COLOURS) and look["markers"] == [m.outline for m in MODE_MARKERS]
    controls = {c["name"]: c for group in look["controls"] for c in group["controls"]}
    assert set(controls) == set(State.model_fields)
    assert controls["margin"] == {
        "name": "margin",
        "label": "margin",
        "kind": "range",
        "low": 0.05,
        "high": 2,
        "step": 0.05,
    }
    assert controls["seed"]["kind"] == "number" and controls["lr"]["numeric"]
    assert controls["compare"]["options"][0] == "" and not controls["compare"]["numeric"]
    front_end = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    texts = [v.explanation for v in VERDICTS.values()] + [v.title for k, v in VERDICTS.items() if k != "diverged"]
    for text in [*texts, *CLASS_COLOURS, *(side.colour for side in SIDES), *filter(None, WORDS.values())]:
        assert text not in front_end


def test_a_verdict_is_put_into_words_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(State(compare=""))
    name = str(engine.metrics(0)["verdict"])
    monkeypatch.setitem(VERDICTS, name, Verdict("as it may be", "so it is"))
    titles: list[str] = []
    set_title = Axes.set_title
    monkeypatch.setattr(
        Axes,
        "set_title",
        lambda self, text, **look: (titles.append(text), set_title(self, text, **look))[1],  # type: ignore[func-returns-value]
    )
    draw(engine)
    assert titles[-1] == "random positives: as it may be"
    _, _, told = session()
    assert told["hello"][0]["look"]["verdicts"][name] == {"title": "as it may be", "explanation": "so it is"}


@pytest.mark.parametrize("query", ["rubbish", "v=9&noise=0.1", "v=1&noise=7"])
def test_a_bad_shared_state_gives_the_default_and_says_so(query: str) -> None:
    _, _, told = session(query)
    assert list(told) == ["hello", "state", "data", "frame", "notice"]
    assert told["notice"][0]["text"].startswith("The shared state can't be used, so this is the default problem. ")
    assert told["state"][0]["state"]["noise"] == 0.0


def test_of_several_changes_the_last_is_done() -> None:
    own, _, _ = session()
    generation = own.engine.generation
    for k, level in enumerate((0.1, 0.2, 0.3)):
        own.receive({"type": "set", "changes": {"noise": level}, "request": k})
    out = [c for c, _ in own.work()]
    assert own.engine.generation == generation + 1 and own.engine.state.noise == 0.3
    assert next(c for c in out if c["type"] == "frame")["request"] == 2
    own.receive({"type": "set", "changes": {"noise": 0.4}, "request": 3})
    own.receive({"type": "set", "changes": {"noise": 5}, "request": 4})
    out = [c for c, _ in own.work()]
    # The refused one is answered, and takes nothing else with it.
    (refused,) = [c for c in out if c["type"] == "notice"]
    assert (refused["field"], refused["request"]) == ("noise", 4) and refused["text"].startswith("noise: got 5")
    assert next(c for c in out if c["type"] == "frame")["request"] == 3 and own.engine.state.noise == 0.4


def test_frames_wait_for_acknowledgements_and_training_stops_without_them() -> None:
    own, clock, _ = session("v=1&per_class=4&compare=")
    frames = [c["frame"] for _ in range(60) for c, _ in own.work() if c["type"] == "frame"]
    assert frames == [2]  # two in flight with the first
    assert own.training and clock.now < 2
    clock.now += 3
    before = own.engine.step_count
    assert not own.training and own.work() == [] and own.engine.step_count == before
    own.receive({"type": "ack", "frame": 2})
    assert own.training
    seen = 2
    for _ in range(600):
        for content, _ in own.work():
            if content["type"] == "frame":
                seen = content["frame"]
                own.receive({"type": "ack", "frame": seen})
    assert seen > 20 and own.engine.step_count > before


def test_a_hidden_tab_and_pause_stop_training() -> None:
    own, _, _ = session()
    for stop, go in (
        ({"type": "visible", "value": False}, {"type": "visible", "value": True}),
        ({"type": "pause"}, {"type": "play"}),
    ):
        own.receive(stop)
        before = own.engine.step_count
        for _ in range(20):
            own.work()
        assert own.engine.step_count == before
        own.receive(go)
        own.work(), own.work()  # the answer, then a step
        assert own.engine.step_count > before


def test_a_pause_shows_the_last_step() -> None:
    own, _, _ = session()
    for _ in range(7):
        own.work()
    own.receive({"type": "pause"})
    out = [c for _ in range(5) for c, _ in own.work()]
    frames = [c for c in out if c["type"] == "frame"]
    assert frames[-1]["step"] == own.engine.step_count
    assert out[-1]["type"] == "metrics" and out[-1]["step"] == own.engine.step_count


def test_step_reset_load_and_metrics() -> None:
    own, _, _ = session()
    own.receive({"type": "step"})
    before = own.engine.step_count
    out = [c for _ in range(5) for c, _ in own.work()]
    assert [c["type"] for c in out] == ["state", "frame", "metrics"]
    assert out[-1]["step"] == before and len(out[-1]["sides"]) == 2
    assert f"--set steps={before}" in out[-1]["cli"][0]
    own.receive({"type": "reset"})
    assert own.engine.step_count == 0
    own.receive({"type": "load", "query": "v=1&loss=margin"})
    assert own.engine.state.loss == "margin"
    own.work()
    own.receive({"type": "load", "query": "v=8"})
    assert [c["field"] for c, _ in own.work() if c["type"] == "notice"] == ["shared state"]
    assert own.engine.state.loss == "margin"


@pytest.mark.parametrize("seconds", [0.001, 0.05, 1.0])
def test_metrics_and_theory_come_whatever_the_load(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a look at the clock takes: at a second a frame is always due."""
    monkeypatch.setattr("sim.explore.state.POINTS", 96)
    own, clock, _ = session("v=1&per_class=4&compare=")
    clock.each = seconds
    own.receive({"type": "ack", "frame": 1})
    told: list[str] = []
    for _ in range(400):
        for content, _ in own.work():
            told.append(content["type"])
            if content["type"] == "frame":
                own.receive({"type": "ack", "frame": content["frame"]})
    assert "theory" in told
    measured = [k for k, kind in enumerate(told) if kind == "metrics"]
    frames_between = [told[a:b].count("frame") for a, b in itertools.pairwise([0, *measured])]
    # A quarter of a second at 30 frames a second, and the frame in whose turn it falls.
    assert max(frames_between) <= 10 and told[measured[-1] :].count("frame") <= 10
    assert told.count("frame") >= len(measured) - 1 > 1


@pytest.mark.parametrize(
    "policies",
    ["loss=margin&positive=easy&compare=all&negative=hard", "loss=triplet&positive=all&negative=all&compare=all"],
)
def test_the_largest_problem_keeps_answering(policies: str) -> None:
    """Every control at its upper end: nothing is done at once that keeps frames and metrics for long."""
    own, clock, _ = session(f"v=1&classes=6&modes=8&noise=0.9&margin=2&per_class=64&lr=0.1&geometry=sphere&{policies}")
    clock.each = 0.01  # a step takes longer than a slice
    own.receive({"type": "ack", "frame": 1})
    told: list[str] = []
    for _ in range(30):
        steps, points = own.engine.step_count, sum(map(len, own.engine.lines.found.values()))
        for content, _ in own.work():
            told.append(content["type"])
            if content["type"] == "frame":
                own.receive({"type": "ack", "frame": content["frame"]})
        # At a time no more than a step and a point of the theory.
        assert own.engine.step_count == steps + 1
        assert sum(map(len, own.engine.lines.found.values())) <= points + 1
    assert "metrics" in told and told.count("frame") > 5


def test_the_theory_is_told_when_it_is_known() -> None:
    own, _, told = session("v=1&loss=margin&per_class=8")
    assert "theory" not in told  # this clock leaves no time for it
    for _ in range(60):
        for content, _ in own.work():
            told[content["type"]] = content, b""
            if content["type"] == "frame":
                own.receive({"type": "ack", "frame": content["frame"]})
    theory = told["theory"][0]
    assert theory["generation"] == own.engine.generation and set(theory["lines"]) == {"random", "easy"}
    assert [len(line) for line in theory["lines"].values()] == [len(theory["levels"])] * 2
    own.receive({"type": "set", "changes": {"loss": "npair"}})
    (theory,) = [c for c, _ in own.work() if c["type"] == "theory"]
    assert theory["levels"] == [] and theory["lines"] == {}


def test_a_loss_that_fails_pauses_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _, _ = session()

    def fails(_: object, __: int) -> None:
        raise ZeroDivisionError("of a loss of one's own")

    with monkeypatch.context() as broken:
        broken.setattr(Trainer, "advance", fails)
        out = [c for _ in range(20) for c, _ in own.work()]
    (notice,) = [c for c in out if c["type"] == "notice"]  # once, not at every look
    assert notice["text"].startswith("explorer: ZeroDivisionError: of a loss of one's own")
    assert not own.playing and not [c for c in out if c["type"] == "state"][-1]["playing"]
    own.receive({"type": "play"})
    before = own.engine.step_count
    own.work(), own.work()
    assert own.engine.step_count > before


def test_every_message_has_somebody_who_takes_it() -> None:
    heard = {name.removeprefix("_on_") for name in vars(Session) if name.startswith("_on_")}
    assert heard == set(MESSAGES)


def test_messages_are_packed_for_the_wire() -> None:
    wire = packed(({"type": "frame", "é": 1}, b"12345678"))
    (length,) = struct.unpack("<I", wire[:4])
    assert length % 4 == 0 and json.loads(wire[4 : 4 + length]) == {"type": "frame", "é": 1}
    assert wire[4 + length :] == b"12345678"


def test_the_widget_trains_and_has_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    from sim.explore.widget import Explorer

    sent: list[str] = []
    own = Explorer(noise=0.2)
    own.send = lambda content, buffers=None: sent.append(content["type"])
    own._receive(None, {"type": "hello"}, None)
    own.advance(5)
    assert own._thread.is_alive()
    for _ in range(SECONDS_TO_HANG * 50):
        if "metrics" in sent:
            break
        own._thread.join(0.02)
    own.close()
    assert sent[:4] == ["hello", "state", "data", "frame"] and "metrics" in sent
    assert not own._thread.is_alive() and own.session.engine.step_count >= 5
    assert own._esm == bundle(STATIC / "explorer.js")
    data, _ = Explorer(geometry="sphere")._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR")
    with pytest.raises(InvalidInput, match="noise"):
        Explorer(noise=3)
    # What the trainer would refuse is refused, too, instead of the default problem.
    with pytest.raises(InvalidInput, match="batch.per_class"):
        Explorer(**UNTRAINABLE)


def test_the_widget_answers_what_it_refuses() -> None:
    pytest.importorskip("anywidget")
    from sim.explore.widget import Explorer

    own = Explorer()
    own.start = lambda: None
    own._receive(None, {"type": "hello"}, None)
    own.session.work()
    own._receive(None, {"type": "set", "changes": {"loss": ["triplet"]}, "request": 1}, None)
    assert [c["field"] for c, _ in own.session.work() if c["type"] == "notice"] == ["loss"]
    own._receive(None, {"type": "set", "changes": {"loss": "margin"}, "request": 2}, None)
    assert next(c for c, _ in own.session.work() if c["type"] == "frame")["request"] == 2
