"""The controls' state: checked, shared by an address, and the same run as the command line's."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from sim.catalogue import LOSSES, NEGATIVES, NOISE_KINDS, PRESETS
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput
from sim.explore.state import State, allowed, choices, read


@pytest.mark.parametrize("preset", list(PRESETS))
def test_an_address_holds_the_state(preset: str) -> None:
    state = State().with_(PRESETS[preset])
    assert read(state.query()) == state
    assert read("#" + state.query()) == state
    for positive in state.positives:
        assert state.config(positive).positive == positive


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "shared state: got 'nonsense'; allowed: name=value pairs"),
        ("v=2&noise=0.1", "shared state: got 'version 2'; allowed: version 1"),
        ("noise=0.1", "shared state: got 'version None'"),
        ("v=1&noise=2", "noise: got 2"),
        ("v=1&noise=[1", "shared state, noise: got '[1'"),
        ("v=1&colour=red", "colour: got 'red'; allowed: no such field"),
        ("v=1&loss=hinge", "loss"),
        ("v=1&positive=semihard&negative=all", "negative: got 'all'"),
        ("v=1&classes=2.5", "classes"),
        ("v=1&noise=nan", "noise: got nan"),
        ("v=1&noise=1e999", "noise: got inf"),
        ("v=1&noise=²", "shared state, noise: got '²'; allowed: a number"),
        ("v=1&noise=true", "shared state, noise: got 'true'"),
        ("v=1&noise=[*a, *a]", "shared state, noise"),
        ("v=1&noise=!!python/object:os.system", "shared state, noise"),
        ("v=1&seed=" + "9" * 1900, "seed: got an integer of 1900 digits"),
        ("v=1&margin=" + "9" * 1900, "margin: got an integer of 1900 digits"),
        ("v=1&loss=" + "x" * 1900, "loss: got 'xxx"),
        ("v=1&loss=%00", "loss: got '\\x00'"),
        ("v=1&loss=%ff", "loss"),
        ("v=1&compare=%0a%1b[2J", "positive: got '\\n\\x1b[2J'"),
        ("v=1&" + "noise=0.1&" * 300, "shared state: got '3004 characters'; allowed: at most 2000 characters"),
        ("v=1&&", "shared state"),
        ("v=1&__class__=x", "__class__"),
    ],
)
def test_bad_addresses_are_named(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read(text)
    assert message in str(error.value)


def _from_command(text: str) -> RunConfig:
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:2] == ["collapse", "train"]
    fields: dict[str, Any] = {}
    for flag, value in zip(words[2::2], words[3::2], strict=True):
        if flag == "--set":
            name, _, given = value.partition("=")
            fields[name] = yaml.safe_load(given)
        else:
            fields["seed"] = int(value)
    return parse(RunConfig, dotted(fields)).check()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_command_and_the_python_text_are_the_run(preset: str) -> None:
    state = State(seed=3).with_(PRESETS[preset])
    for positive in state.positives:
        config = state.config(positive, 40)
        assert _from_command(state.command(positive, 40)) == config
        scope: dict[str, Any] = {}
        exec(state.python(positive, 40).split("result =")[0], scope)
        assert scope["config"] == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise", "0.2"),
        ("modes", True),
        ("classes", 3.0),
        ("loss", ["triplet"]),
        ("loss", {}),
        ("compare", None),
        ("geometry", {}),
    ],
)
def test_a_value_of_another_type_is_not_taken_for_one(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: got "):
        State().with_({name: value})


def test_a_new_loss_brings_policies_that_fit() -> None:
    state = State().with_({"loss": "softmax"})
    assert (state.positive, state.negative, state.compare) == ("all", "all", "")
    assert state.with_({"loss": "margin"}).positive == State().positive
    assert State().with_({"negative": "distance_weighted"}).geometry == "circle"
    assert allowed(State())["margin"] == ["margin"]
    assert allowed(State().with_({"loss": "softmax"})) == {
        "positive": ["all"],
        "compare": ["", "all"],
        "negative": ["all"],
        "margin": [],
    }


def test_what_needs_more_than_a_control_is_left_out() -> None:
    found = choices()
    assert set(LOSSES) - set(found["loss"]) == {"pml"}
    assert set(NOISE_KINDS) - set(found["noise_kind"]) == {"matrix"}
    assert set(NEGATIVES) - set(found["negative"]) == {"memory"}

    def needy(*, weight: float) -> None:
        """Stands for a loss with a parameter that has no default."""

    with LOSSES.replaced("needy", needy):  # type: ignore[arg-type]
        assert "needy" not in choices()["loss"]


def test_every_choice_can_be_chosen() -> None:
    for name, values in choices().items():
        for value in values:
            changes = {name: value}
            if name == "positive" and value == "semihard":
                changes["negative"] = "hard"
            state = State().with_(changes)
            assert getattr(state, name) == value
