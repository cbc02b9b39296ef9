"""Whatever a front end says: it is answered, the field is named, and the session goes on."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sim.explore import state
from sim.explore.session import LONGEST_NOTICE, Session

VALID: list[dict[str, Any]] = [
    {"type": "hello"},
    {"type": "set", "changes": {"noise": 0.2, "loss": "margin", "positive": "all"}, "carry": True, "request": 1},
    {"type": "set", "changes": {"generator": "rings", "classes": 3, "modes": 2, "seed": 5}, "request": 1},
    {"type": "set", "changes": {"geometry": "sphere", "compare": "", "lr": 0.01, "margin": 1.0, "per_class": 8}},
    {"type": "play"},
    {"type": "pause"},
    {"type": "step"},
    {"type": "reset"},
    {"type": "load", "query": "v=1&noise=0.3&per_class=8&negative=hard"},
    {"type": "ack", "frame": 1},
    {"type": "visible", "value": True},
]

ATOMS: list[Any] = [
    None, True, -1, 0, 2**70, 10**400, 0.5, float("nan"), float("inf"), "", "k_easy:²", "k_easy:99999999999999999999",
    "semihard", "memory", "matrix", "pml", "\x00", "\ud800", "é" * 300, "x" * 5000, [], ["triplet"], {}, {"type": "hello"},
]  # fmt: skip


SMALL = "v=1&per_class=4&compare="


@pytest.fixture(scope="module", autouse=True)
def right() -> Iterator[tuple[bytes, Any]]:
    """With few points, what a session shows that was told nothing else."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(state, "POINTS", 96)
        yield shown(opened())


def opened(query: str = SMALL) -> Session:
    own = Session.at(query)
    own.receive({"type": "hello"})
    own.work()
    return own


def shown(own: Session, request: int = 7) -> tuple[bytes, Any]:
    """A valid change is answered: its frame, and what is measured of it."""
    own.receive({"type": "pause"})
    own.receive({"type": "set", "changes": {**state.read(SMALL).model_dump(), "noise": 0.1}, "request": request})
    told = {content["type"]: (content, buffer) for content, buffer in [*own.work(), *own.work()]}
    (frame, buffer), (metrics, _) = told["frame"], told["metrics"]
    assert (frame["request"], frame["step"], frame["diverged"]) == (request, 0, [])
    assert metrics["generation"] == frame["generation"] == own.engine.generation
    return buffer, metrics["sides"]


def change(name: str, value: Any) -> str:
    return json.dumps({"type": "set", "changes": {name: value}, "request": 3})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "message"),
        ("[" * 100_000, "message"),
        ("[" * 60_000, "message"),
        ("[" * 900 + "]" * 900, "message"),
        ('{"type":' * 5000, "message"),
        ("9" * 5000, "message"),
        (b'{"type": "play"}', "message"),
        (b"\xff\xfe", "message"),
        (" " * 70_000 + '{"type": "play"}', "message"),
        ("null", "message"),
        ("3", "message"),
        ("NaN", "message"),
        ('"hello"', "message"),
        ("{}", "type"),
        ('{"type": "dance"}', "type"),
        ('{"type": ["set"]}', "type"),
        ('{"type": {}}', "type"),
        ('{"type": NaN}', "type"),
        ('{"type": "__init__"}', "type"),
        ('{"type": "play", "now": 1}', "now"),
        ('{"type": "set"}', "changes"),
        ('{"type": "set", "changes": null}', "changes"),
        ('{"type": "set", "changes": [["noise", 1]]}', "changes"),
        ('{"type": "set", "changes": {}, "request": NaN}', "request"),
        ('{"type": "set", "changes": {}, "request": Infinity}', "request"),
        ('{"type": "set", "changes": {}, "request": 1e999}', "request"),
        ('{"type": "set", "changes": {}, "request": 1' + "0" * 400 + "}", "request"),
        ('{"type": "set", "changes": {}, "request": {}}', "request"),
        ('{"type": "set", "changes": {}, "request": true}', "request"),
        ('{"type": "set", "changes": {}, "carry": 1}', "carry"),
        ('{"type": "ack"}', "frame"),
        ('{"type": "ack", "frame": "x"}', "frame"),
        ('{"type": "ack", "frame": NaN}', "frame"),
        ('{"type": "ack", "frame": 1.5}', "frame"),
        ('{"type": "ack", "frame": -1}', "frame"),
        ('{"type": "visible"}', "value"),
        ('{"type": "visible", "value": "no"}', "value"),
        ('{"type": "load"}', "query"),
        ('{"type": "load", "query": 3}', "query"),
        ('{"type": "load", "query": "' + "x" * 3000 + '"}', "query"),
        ('{"type": "load", "query": "rubbish"}', "shared state"),
        ('{"type": "load", "query": "v=1&noise=nan"}', "noise"),
        ('{"type": "load", "query": "v=1&classes=1e3"}', "classes"),
        ('{"type": "set", "changes": {"noise": ' + "[" * 900 + "]" * 900 + "}}", "noise"),
        (change("loss", ["triplet"]), "loss"),
        (change("loss", {}), "loss"),
        (change("loss", "hinge"), "loss"),
        (change("loss", "x" * 60_000), "loss"),
        (change("loss", "pml"), None),
        (change("generator", None), "generator"),
        (change("generator", "\x00"), None),
        (change("positive", "k_easy:²"), None),
        (change("positive", ["easy"]), "positive"),
        (change("compare", 0), "compare"),
        (change("negative", {"a": 1}), "negative"),
        (change("negative", "memory"), "memory.size"),
        (change("noise_kind", True), "noise_kind"),
        (change("noise_kind", "matrix"), None),
        (change("noise_mode", []), "noise_mode"),
        (change("geometry", {}), "geometry"),
        (change("noise", float("nan")), "noise"),
        (change("noise", "0.2"), "noise"),
        (change("noise", 10**400), "noise"),
        (change("classes", True), "classes"),
        (change("modes", True), "modes"),
        (change("classes", 2.5), "classes"),
        (change("seed", 10**400), "seed"),
        (change("seed", -1), "seed"),
        (change("margin", 0), "margin"),
        (change("margin", float("inf")), "margin"),
        (change("lr", float("-inf")), "lr"),
        (change("per_class", [64]), "per_class"),
        (change("colour", "red"), "colour"),
        (change("__class__", "red"), "__class__"),
        (change("\ud800", 1), None),
        (change("x" * 5000, 1), "x" * LONGEST_NOTICE),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_refused_message_is_answered_and_the_session_goes_on(
    text: str | bytes, field: str | None, right: tuple[bytes, Any]
) -> None:
    own = opened()
    before = (own.engine.state, own.engine.generation, own.engine.trainers)
    own.receive_text(text)
    out = [content for content, _ in own.work()]
    notices = [content for content in out if content["type"] == "notice"]
    assert len(notices) == 1
    assert field is None or notices[0]["field"] == field
    assert notices[0]["text"] and len(notices[0]["text"]) <= LONGEST_NOTICE
    assert (own.engine.state, own.engine.generation, own.engine.trainers) == before
    json.dumps(out, allow_nan=False).encode()
    assert shown(own) == right
    own.receive({"type": "step"})
    assert next(content for content, _ in own.work() if content["type"] == "frame")["step"] == 1


def test_what_only_the_trainer_refuses_is_answered_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "POINTS", 600)
    own = opened("v=1&noise_kind=instance&noise=0.9&classes=6&modes=8&per_class=64")
    own.receive({"type": "set", "changes": {"modes": 1}, "request": 5})
    told = {content["type"]: content for content, _ in own.work()}
    assert (told["notice"]["field"], told["notice"]["request"]) == ("batch.per_class", 5)
    assert told["state"]["state"]["modes"] == 8 and "frame" not in told
    shown(own)


def mutated(draw: random.Random) -> Any:
    """A valid message in which up to three values, at any depth, have been replaced, removed, or put under another name."""
    message = copy.deepcopy(draw.choice(VALID))
    for _ in range(draw.randint(1, 3)):
        places = [message, *(own for own in message.values() if isinstance(own, dict))]
        place = draw.choice(places)
        if not place:
            continue
        name = draw.choice(list(place))
        action = draw.randrange(4)
        value = place.pop(name)
        if action == 0:
            place[draw.choice([*state.State.model_fields, "request", "frame", "value", "é"])] = value
        elif action < 3:
            place[name] = copy.deepcopy(draw.choice(ATOMS))
    return message


def cut(text: str, draw: random.Random) -> str:
    """Half a message, or one with a character too many."""
    place = draw.randrange(len(text))
    return text[:place] if draw.random() < 0.5 else text[:place] + draw.choice('"{}[],:\\0\x00é') + text[place:]


@pytest.mark.parametrize("block", range(6))
@pytest.mark.filterwarnings("ignore:batch.per_class")
def test_mutated_messages_leave_a_session_that_goes_on(block: int, right: tuple[bytes, Any]) -> None:
    draw = random.Random(block)
    own = opened()
    for _ in range(50):
        text = json.dumps(mutated(draw))
        text = cut(text, draw) if draw.random() < 0.2 else text
        own.receive_text(text)
        out = [content for content, _ in own.work()]
        json.dumps(out, allow_nan=False).encode()
        assert shown(own) == right
