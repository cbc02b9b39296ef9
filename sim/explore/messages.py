"""What a front end may say: the one place where its messages are read and checked."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sim.config import parse
from sim.errors import InvalidInput, choice
from sim.explore.state import LONGEST_QUERY

LARGEST = 2**16
"""Characters of a message that is read; the front end's own have a few hundred."""

LARGEST_NUMBER = 2**53 - 1
"""Of what counts requests and frames: the largest integer that JavaScript counts to."""


class Bare(BaseModel):
    """A message that is only its type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Set(Bare):
    """Change controls; ``request`` comes back with the first frame that shows the change, or with the refusal."""

    changes: dict[str, Any]
    carry: bool = False
    request: int = Field(0, ge=0, le=LARGEST_NUMBER)


class Load(Bare):
    """Take a shared state."""

    query: str = Field(max_length=LONGEST_QUERY)


class Ack(Bare):
    """This frame was seen."""

    frame: int = Field(ge=0, le=LARGEST_NUMBER)


class Visible(Bare):
    """Whether anybody looks."""

    value: bool


MESSAGES: dict[str, type[Bare]] = {
    "hello": Bare,
    "set": Set,
    "play": Bare,
    "pause": Bare,
    "step": Bare,
    "reset": Bare,
    "load": Load,
    "ack": Ack,
    "visible": Visible,
}
"""What a front end says, by ``type``, and the other fields that it has then; ``hello``: tell me all anew."""


def decoded(text: str | bytes) -> Any:
    """The content of a message on the wire.

    Raises
    ------
    InvalidInput
        If it is binary, too large, no JSON, or nested too deeply.

    Examples
    --------
    >>> decoded('{"type": "play"}')
    {'type': 'play'}
    >>> decoded(b"\\x00")
    Traceback (most recent call last):
    sim.errors.InvalidInput: message: got '1 bytes'; allowed: text, not binary data
    """
    if isinstance(text, bytes):
        raise InvalidInput("message", f"{len(text)} bytes", "text, not binary data")
    if len(text) > LARGEST:
        raise InvalidInput("message", f"{len(text)} characters", f"at most {LARGEST} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("message", text[:80], f"JSON ({type(error).__name__}: {error})") from None


def understood(content: Any) -> tuple[str, Any]:
    """A message's type, and the rest of it checked, as one of `MESSAGES`.

    Raises
    ------
    InvalidInput
        Naming the field.

    Examples
    --------
    >>> understood({"type": "ack", "frame": 3})
    ('ack', Ack(frame=3))
    >>> understood({"type": "set", "changes": {}, "request": float("nan")})
    Traceback (most recent call last):
    sim.errors.InvalidInput: request: got nan; allowed: input should be a valid integer
    """
    if not isinstance(content, dict):
        raise InvalidInput("message", content, "an object with a type")
    kind = content.get("type")
    choice("type", kind, MESSAGES)
    return str(kind), parse(MESSAGES[str(kind)], {name: value for name, value in content.items() if name != "type"})
