"""Text files that list images and labels."""

from __future__ import annotations

import re

from realdata.trees import Tree


def lines(tree: Tree, name: str) -> list[str]:
    """The lines of a list that aren't empty; UTF-8, with or without a byte-order mark, and ends of lines of any system.

    Raises
    ------
    InvalidInput
        If it is something else, or isn't there.
    """
    try:
        text = tree.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise tree.refusal(name, f"text in UTF-8 ({error.reason} at byte {error.start})") from None
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def number(text: str) -> int:
    """A number that counts images or labels.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> number("12")
    12
    >>> number("1" * 5000)
    Traceback (most recent call last):
    ValueError: '1111111111'... is no number from 1 to 999999999
    """
    if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        shown = repr(text[:10]) + "..." * (len(text) > 10)
        raise ValueError(f"{shown} is no number from 1 to 999999999")
    return int(text)
