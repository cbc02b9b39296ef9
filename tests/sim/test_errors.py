"""Messages about huge, deep and strange values; numbers that are none; sizes beyond the memory."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sim import errors
from sim.catalogue import POSITIVES
from sim.config import RunConfig, dotted, parse
from sim.errors import LARGEST, InvalidInput, choice, integer, number, shown
from sim.nets import MLP
from sim.noise import empirical_transition
from sim.sweeps.grid import grid


def laughs(levels: int) -> list[Any]:
    """9 to the power of ``levels`` entries, in a few objects."""
    inner: list[Any] = ["x" * 1000] * 9
    for _ in range(levels):
        inner = [inner] * 9
    return inner


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError


def deep(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**400, "an integer of 400 digits"),
        pytest.param(-(10**5000), "an integer of 5000 digits", id="huge"),
        ({"b": 1, "a": [0.5, (1,)]}, "{'b': 1, 'a': [0.5, (1,)]}"),
        (deep(500), "[[[[...]]]]"),
        ("x" * 10**6, "'" + "x" * 116 + "..."),
        ("a\nb \x1b[1m", r"'a\nb \x1b[1m'"),
        (np.float64(0.5), "np.float64(0.5)"),
    ],
)
def test_a_value_is_shown_by_its_beginning(value: Any, text: str) -> None:
    assert shown(value) == text


def test_any_value_makes_a_message() -> None:
    for value in (
        laughs(9),
        Silent(),
        {Silent(): laughs(9)},
        Fraction(10**5000, 7),
        np.zeros(10**6),
        "\ud800",
        range(10**9),
    ):
        error = InvalidInput("field\nname", value, "nothing\nof it")
        assert (
            str(error).startswith("field name: got ")
            and str(error).endswith("; allowed: nothing of it")
            and len(str(error)) < 200
        )
    assert str(pickle.loads(pickle.dumps(InvalidInput("a", 1, "b")))) == "a: got 1; allowed: b"


@pytest.mark.parametrize(
    "value", [10**400, 2**63, -1, True, 1.0, "1", None, float("nan"), np.bool_(True), np.array([1]), [1]]
)
def test_what_is_no_integer(value: Any) -> None:
    with pytest.raises(InvalidInput, match="n: got .*; allowed: an integer"):
        integer("n", value, 0)


def test_integers_of_numpy_are_integers() -> None:
    assert integer("n", np.int64(3), 0) == 3 and integer("n", np.uint64(LARGEST), 0) == LARGEST
    assert type(integer("n", np.int64(3), 0)) is int


@pytest.mark.parametrize(
    "value",
    [
        10**400,
        Fraction(10**400),
        float("inf"),
        float("nan"),
        True,
        "1",
        1j,
        np.float64("nan"),
        np.bool_(False),
        np.ones(1),
    ],
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(InvalidInput, match="a: got .*; allowed: a number"):
        number("a", value, "a number", lambda _: True)


def test_choices_of_what_cannot_be_one() -> None:
    for value in ([], {}, np.array(["easy"]), None, 1):
        with pytest.raises(InvalidInput, match="one of easy, hard"):
            choice("positive", value, ["easy", "hard"])


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("steps", 10**400, "an integer of at most 64 bits"),
        ("steps", True, "an integer"),
        ("steps", "10", "an integer"),
        ("steps", 1e20, "an integer"),
        ("steps", 1.5, "integer"),
        ("steps", 2 * 10**9, "less than or equal to 1000000000"),
        ("checkpoints", 10**9, "less than or equal to 10000"),
        ("seed", 2**63, "an integer of at most 64 bits"),
        ("seed", -1, "greater than or equal to 0"),
        ("net.dim", 10**9, "less than or equal to 65536"),
        ("batch.per_class", 10**9, "less than or equal to 1000000"),
        ("batch.per_class", 10**6, "less: [0-9,.]+ GiB would be needed, this machine has"),
        ("optimizer.lr", 10**400, "a finite number"),
        ("optimizer.lr", float("nan"), "finite number"),
        ("optimizer.lr", "1e-3", "a finite number"),
        ("noise.exact", "on", "true or false"),
        ("noise.exact", 1, "true or false"),
        ("evaluate", ["test", "test"], "each once"),
        ("loss.params.alpha", 10**400, "finite numbers of at most 64 bits"),
        ("loss.params.alpha", float("inf"), "finite numbers"),
        ("loss.params", {"alpha": deep(12)}, "at most 10 in each other"),
        ("loss.params", {"alpha": object()}, "texts .of Unicode., truth values"),
        ("loss.params", {1: 2}, "valid string|texts"),
        ("positive", "k_easy:²", "k_easy:K with an integer K >= 1"),
        ("positive", "k_easy:٣", "k_easy:K with"),
        ("positive", "k_easy:03", "k_easy:K with"),
        ("positive", "k_easy:" + "9" * 5000, "k_easy:K with"),
        ("positive", "easy_within:1_0", "easy_within:D with a number D > 0"),
        ("positive", "easy_within:1e999", "easy_within:D with"),
        (".".join("abcdefghijklm"), 1, "at most 10 dots"),
    ],
)  # fmt: skip
def test_a_field_of_a_run_is_refused_by_name(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(InvalidInput, match=allowed) as error:
        parse(RunConfig, dotted({field: value})).check()
    assert len(str(error.value)) < 700 and "\n" not in str(error.value)


def test_numpy_scalars_and_arrays_are_the_same_run() -> None:
    plain = {
        "steps": 3,
        "optimizer.lr": 0.5,
        "noise.exact": False,
        "noise.kind": "matrix",
        "noise.params": {"matrix": [[1.0, 0.0], [0.0, 1.0]]},
    }
    arrays = {**plain, "steps": np.int64(3), "optimizer.lr": np.float32(0.5), "noise.exact": np.bool_(False)}
    arrays["noise.params"] = {"matrix": np.eye(2)}
    assert parse(RunConfig, dotted(arrays)).key() == parse(RunConfig, dotted(plain)).key()


def test_what_is_no_mapping_of_fields() -> None:
    for values in ([], None, 3, "x"):
        with pytest.raises(InvalidInput, match="RunConfig: got .*; allowed: a mapping"):
            parse(RunConfig, values)
    with pytest.raises(InvalidInput, match="field: got 1; allowed: a field's name"):
        dotted({1: 2})  # type: ignore[dict-item]


def test_a_mapping_given_whole_stays_the_callers() -> None:
    whole = {"alpha": deep(2000)}
    nested = dotted({"loss": {"params": whole}, "loss.params.beta": 1})
    assert nested["loss"]["params"]["beta"] == 1 and list(whole) == ["alpha"]
    with pytest.raises(InvalidInput, match="loss.params: got .*at most 10"):
        parse(RunConfig, nested)


def test_axes_that_do_not_fit() -> None:
    with pytest.raises(InvalidInput, match="axes: got '1000000000 runs'"):
        grid({}, {"seed": range(10**9)})
    with pytest.raises(InvalidInput, match="loss.name,steps: got .*; allowed: a tuple of 2 values"):
        grid({}, {"loss.name,steps": [("triplet",)]})


def test_a_net_beyond_the_memory_is_refused_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "memory", lambda: 10_000)
    with pytest.raises(InvalidInput, match=r"net \(weight 0\): got \(2, 4000\); allowed: less: 0.0 GiB"):
        MLP([0], (2,), width=4000)


def test_the_largest_k_is_still_a_policy() -> None:
    assert POSITIVES["k_easy:999999999"].title == "999999999 easiest"


@pytest.mark.parametrize("t", [0, -1, float("nan"), 10**400, 2**62, "2", None])
def test_a_number_of_classes_that_is_none(t: Any) -> None:
    with pytest.raises(InvalidInput, match="t: got "):
        empirical_transition(np.array([0, 1]), np.array([0, 1]), t)
