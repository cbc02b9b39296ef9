"""Named entries: one mechanism for losses, samplers, data sets, figures, commands. Adding one is one decorated definition.

A registry fills itself at the first look-up: with the built-ins of its homes (packages whose modules register themselves), then
with what installed packages offer under its entry point group, then with the modules and files that the user names
(`sim.plugins`). Nothing has to be imported for its side effect.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from sim import plugins, source
from sim.errors import InvalidInput

T = TypeVar("T")

LOCK = threading.RLock()
"""Held while a registry fills itself: another thread waits instead of seeing half of it."""


@dataclass(frozen=True)
class Origin:
    """Where an entry came from: the module that registered it, and what was being loaded then (see `sim.plugins.loading`)."""

    module: str
    loaded_as: str | None


class Registry(Generic[T]):
    """A dictionary from names to entries that fills itself, and explains itself when a name is unknown.

    Parameters
    ----------
    field : str
        What the entries are, as the user calls it (``loss``, ``positive``); used in error messages.
    group : str
        Installed packages add entries under the entry point group ``class_collapse.<group>``.
    *homes : str
        Modules that hold the built-ins, in the order in which these are listed. Of a package every module directly in it is imported.

    Examples
    --------
    >>> shapes = Registry("shape", "shapes")
    >>> @shapes.register("square")
    ... def area(side):
    ...     return side**2
    >>> shapes["square"](3), "circle" in shapes, list(shapes)
    (9, False, ['square'])
    >>> shapes["circle"]
    Traceback (most recent call last):
    sim.errors.InvalidInput: shape: got 'circle'; allowed: one of square
    """

    every: ClassVar[list[Registry[Any]]] = []
    """All registries there are, in the order in which they were made."""

    def __init__(self, field: str, group: str, *homes: str) -> None:
        self.field, self.group, self.homes = field, group, homes
        self._entries: dict[str, T] = {}
        self._origins: dict[str, Origin] = {}
        self._filled = self._filling = False
        Registry.every.append(self)

    def register(self, name: str, *, module: str | None = None) -> Callable[[T], T]:
        """Decorator: enter the decorated object under ``name``.

        Parameters
        ----------
        name : str
        module : str, optional
            Who registers it; the calling module if not given. For decorators that call this one.

        Raises
        ------
        InvalidInput
            If another module has registered the name; a cell of a notebook that runs again may replace its own.
        """
        origin = Origin(module or sys._getframe(1).f_globals["__name__"], plugins.loading())

        def enter(entry: T) -> T:
            self._claim(name, origin)
            self._entries[name] = entry
            return entry

        return enter

    def _claim(self, name: str, origin: Origin) -> None:
        before = self._origins.get(name)
        if before is not None and not origin.module == before.module == "__main__":
            # A plugin may have come first: the built-in that follows isn't to blame.
            guilty, other = (before, origin) if self._built_in(origin) else (origin, before)
            raise InvalidInput(
                f"plugin {guilty.loaded_as or guilty.module}",
                f"{self.field} {name!r}",
                f"a name that is free ({other.loaded_as or other.module} registers it, too)",
            )
        self._origins[name] = origin

    def _built_in(self, origin: Origin) -> bool:
        return self._home(origin.module) is not None

    def _home(self, module: str) -> int | None:
        """Which home holds a module; of several, the first."""
        return next((k for k, home in enumerate(self.homes) if f"{module}.".startswith(f"{home}.")), None)

    def _fill(self) -> None:
        if self._filled:
            return
        with LOCK:
            if self._filled or self._filling:
                return
            self._filling = True
            try:
                for home in self.homes:
                    _import_home(home)
                self._sort_built_ins()
                plugins.load_entry_points(self.group)
                plugins.load_named()
                self._filled = True
            finally:
                self._filling = False

    def _sort_built_ins(self) -> None:
        """Built-ins by home and module, then what came from outside: whoever was imported first plays no part."""

        def place(name: str) -> tuple[int, list[tuple[int, str]]]:
            module = self._origins[name].module
            home = self._home(module)
            return (len(self.homes), []) if home is None else (home, natural(module))

        self._entries = {name: self._entries[name] for name in sorted(self._entries, key=place)}

    def __getitem__(self, name: str) -> T:
        self._fill()
        if name not in self._entries:
            raise InvalidInput(self.field, name, "one of " + self.names())
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def names(self) -> str:
        """All names, for a message."""
        return ", ".join(self)

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._entries

    def source(self, name: str) -> str:
        """The code of an entry from outside: what decides its values beside its arguments; ``""`` for what is built in.

        A plugin file's or a module's text, with those of its own package or folder that it imports; for an entry of a script or
        notebook see `sim.source.code`.

        Raises
        ------
        InvalidInput
            For an unknown name.

        Examples
        --------
        >>> shapes = Registry("shape", "shapes", "sim.generators")
        >>> with shapes.replaced("square", lambda side: side**2):
        ...     shapes.source("square") == ""
        False
        """
        self[name]
        family = name.partition(":")[0]
        known = name if name in self._origins else next(n for n in self._origins if n.partition(":")[0] == family)
        origin = self._origins[known]
        if self._built_in(origin):
            return ""
        return source.code(origin.module, self._get(name))

    def from_outside(self) -> dict[str, Any]:
        """What a process that loads the same built-ins and plugins would not have: what a script or notebook registered."""
        return {
            name: self._get(name)
            for name, origin in self._origins.items()
            if origin.loaded_as is None and not self._built_in(origin)
        }

    def admit(self, name: str, entry: Any) -> None:
        """Enter what `from_outside` gave in another process, unless it is here already."""
        self._fill()
        if name not in self._origins:
            self._origins[name] = Origin("__main__", None)
            self._put(name, entry)

    def _get(self, name: str) -> Any:
        return self._entries[name]

    def _put(self, name: str, entry: Any) -> None:
        self._entries[name] = entry

    @contextmanager
    def replaced(self, name: str, entry: T) -> Iterator[None]:
        """Have ``entry`` under ``name`` for the length of a ``with`` block, whatever was there before.

        Examples
        --------
        >>> sizes = Registry("size", "sizes")
        >>> with sizes.replaced("small", 1):
        ...     sizes["small"]
        1
        >>> list(sizes)
        []
        """
        self._fill()
        entries, origins = dict(self._entries), dict(self._origins)
        self._entries[name] = entry
        self._origins[name] = Origin(sys._getframe(2).f_globals["__name__"], None)
        try:
            yield
        finally:
            self._entries, self._origins = entries, origins


class Families(Registry[T]):
    """A registry with families of entries: entered as ``name:X``, asked for with a value in the place of X."""

    def __init__(self, field: str, group: str, *homes: str) -> None:
        super().__init__(field, group, *homes)
        self._families: dict[str, tuple[str, Callable[[str, str], T]]] = {}

    def family(self, name: str, value: str) -> Callable[[Callable[[str, str], T]], Callable[[str, str], T]]:
        """Decorator: enter a function (field, text after the colon) -> entry as ``name:value``."""
        origin = Origin(sys._getframe(1).f_globals["__name__"], plugins.loading())

        def enter(make: Callable[[str, str], T]) -> Callable[[str, str], T]:
            self._claim(f"{name}:{value}", origin)
            self._families[name] = (value, make)
            return make

        return enter

    def _get(self, name: str) -> Any:
        return self._families[name.partition(":")[0]] if name not in self._entries else self._entries[name]

    def _put(self, name: str, entry: Any) -> None:
        if ":" in name:
            self._families[name.partition(":")[0]] = entry
        else:
            self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        self._fill()
        family, colon, value = str(name).partition(":")
        if colon and family in self._families:
            return self._families[family][1](self.field, value)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        family, colon, _ = str(name).partition(":")
        return super().__contains__(name) or bool(colon and family in self._families)

    def names(self) -> str:
        """All names, for a message."""
        return ", ".join([super().names(), *(f"{name}:{value}" for name, (value, _) in self._families.items())])


def natural(text: str) -> list[tuple[int, str]]:
    """Sorting key that takes numbers for numbers.

    Examples
    --------
    >>> sorted(["c10", "c2", "base"], key=natural)
    ['base', 'c2', 'c10']
    """
    return [(int(part), "") if "0" <= part[0] <= "9" else (-1, part) for part in re.split(r"([0-9]+)", text) if part]


def _import_home(home: str) -> None:
    module = importlib.import_module(home)
    inside = pkgutil.iter_modules(getattr(module, "__path__", []))
    for name in sorted((m.name for m in inside if not m.ispkg and not m.name.startswith("_")), key=natural):
        importlib.import_module(f"{home}.{name}")
