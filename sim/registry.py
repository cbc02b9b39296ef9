"""Named entries: one mechanism for losses, samplers, nets, generators' kin. Adding one is one decorated definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sim.errors import InvalidInput

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary from names to entries that explains itself when a name is unknown.

    Parameters
    ----------
    field : str
        What the entries are, as the user calls it (``loss``, ``positive``); used in error messages.
    """

    def __init__(self, field: str) -> None:
        self.field = field
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: enter the decorated object under ``name``."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.field} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise InvalidInput(self.field, name, "one of " + self.names())
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def names(self) -> str:
        """All names, for a message."""
        return ", ".join(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
