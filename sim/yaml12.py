"""YAML as this project reads it: the core schema of YAML 1.2, without anchors.

PyYAML reads YAML 1.1, to which ``5e-1``, ``on``, ``010``, ``1_000`` and ``1:30`` are not what they look like. In the core schema
(YAML 1.2.2, section 10.3) numbers are ``10``, ``0o17``, ``0x1F``, ``.5``, ``5e-1``, ``.inf``, ``.nan``; truth values ``true`` and
``false``; ``null`` and ``~`` are nothing; all else is text. A key stands once in a mapping. Anchors and aliases are refused, as a few
of them expand to more than memory holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from sim.errors import InvalidInput, one_line

MOST_CHARACTERS = 200_000
"""Of a text; more is taken for a mistake."""

MOST_LEVELS = 20
"""Of lists and mappings in each other."""

MOST_DIGITS = 400
"""Of an integer."""

_CORE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": (r"null|Null|NULL|~|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": (
        r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        lambda text: int(text[2:], {"o": 8, "x": 16}[text[1]]) if text[1:2] in ("o", "x") else int(text),
    ),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        lambda text: float(text.replace(".", "") if text[-1:].isalpha() else text),
    ),
}
"""For each kind of scalar what it looks like, and how it is read; of several the first."""

_TAG = "tag:yaml.org,2002:"


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema's scalars, bounded in depth, and without anchors."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        None: [(_TAG + kind, re.compile(rf"({pattern})\Z")) for kind, (pattern, _) in _CORE.items()]
    }
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node, unless it is an alias, has an anchor, or is nested too deeply."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ComposerError(None, None, "anchors and aliases (& and *) are not read", event.start_mark)
        if self.levels > MOST_LEVELS:
            raise ComposerError(None, None, f"more than {MOST_LEVELS} levels of lists and mappings", event.start_mark)
        self.levels += 1
        node = super().compose_node(parent, index)
        self.levels -= 1
        return node

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        """A dictionary; a key that is there twice, or can't be one, is refused."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "expected a mapping", node.start_mark)
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConstructorError(None, None, "a key that is a list or a mapping", key_node.start_mark)
            if key in found:
                raise ConstructorError(None, None, f"{key!r} stands twice in a mapping", key_node.start_mark)
            found[key] = self.construct_object(value_node, deep=True)
        return found


def _scalar(kind: str) -> Callable[[Loader, yaml.Node], Any]:
    pattern, read_text = _CORE[kind]

    def construct(loader: Loader, node: yaml.Node) -> Any:
        text: str = loader.construct_scalar(node)  # type: ignore[arg-type]
        # An explicit tag, as in !!int x, may stand before anything.
        if not re.fullmatch(pattern, text):
            raise ConstructorError(None, None, f"not of the kind {kind}", node.start_mark)
        if kind == "int" and len(text) > MOST_DIGITS:
            raise ConstructorError(None, None, f"an integer of more than {MOST_DIGITS} digits", node.start_mark)
        return read_text(text)

    return construct


def _unknown(loader: Loader, node: yaml.Node) -> Any:
    raise ConstructorError(None, None, f"the tag {node.tag} is not read", node.start_mark)


Loader.yaml_constructors.update({_TAG + kind: _scalar(kind) for kind in _CORE})
Loader.yaml_constructors[_TAG + "str"] = Loader.construct_scalar
Loader.yaml_constructors[_TAG + "seq"] = lambda loader, node: loader.construct_sequence(node, deep=True)
Loader.yaml_constructors[_TAG + "map"] = lambda loader, node: loader.construct_mapping(node, deep=True)
Loader.yaml_constructors[None] = _unknown


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text with their places; None if it is empty.

    Raises
    ------
    yaml.YAMLError

    Examples
    --------
    >>> plain(compose("[5e-1, on, 010, 0o10, 1_000]"))
    [0.5, 'on', 10, 8, '1_000']
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"more than {MOST_CHARACTERS} characters")
    loader = Loader(text)
    node: yaml.Node | None = loader.get_single_node()
    return node


def plain(node: yaml.Node) -> Any:
    """The value of a node: None, numbers, truth values, texts, lists and dictionaries.

    Raises
    ------
    yaml.YAMLError
    """
    return Loader("").construct_document(node)


def problem(error: yaml.YAMLError) -> str:
    """What is wrong with a text, without the text.

    Examples
    --------
    >>> try:
    ...     compose("{a: 1")
    ... except yaml.YAMLError as error:
    ...     problem(error)
    "while parsing a flow mapping expected ',' or '}', but got '<stream end>'"
    """
    said = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    return one_line(said or str(error))


def read(field: str, text: str, name: str | None = None) -> Any:
    """The value of a text that the user wrote in a field, or in a file of that name.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> read("optimizer.lr", "1e-3"), read("noise.exact", "true"), read("noise.exact", "yes")
    (0.001, True, 'yes')
    >>> read("data.params", "{a: 1, a: 2}")
    Traceback (most recent call last):
    sim.errors.InvalidInput: data.params: got '{a: 1, a: 2}'; allowed: a value in YAML ('a' stands twice in a mapping)
    """
    try:
        node = compose(text)
        return None if node is None else plain(node)
    except yaml.YAMLError as error:
        raise InvalidInput(field, text if name is None else name, f"a value in YAML ({problem(error)})") from None


def text_of(field: str, place: str | Path, instead: str = "") -> str:
    """The text of a file, cut where `compose` refuses it anyway.

    Raises
    ------
    InvalidInput
        If it can't be read, or isn't UTF-8.
    """
    try:
        with open(place, encoding="utf-8") as file:
            return file.read(MOST_CHARACTERS + 1)
    # A ValueError: not UTF-8, or a name that no file can have.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(field, str(place), f"a readable YAML file ({reason}){instead}") from None
