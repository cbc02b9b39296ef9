"""Code from outside that registers things: installed packages by their entry points, modules and files by their names.

Files and modules are named on the command line (``--plugin``, repeatable) or in the variable ``COLLAPSE_PLUGINS``, separated as in
``PATH``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import linecache
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

from sim.errors import InvalidInput

VARIABLE = "COLLAPSE_PLUGINS"
"""Environment variable: modules and files, separated as in ``PATH``."""

PREFIX = "class_collapse"
"""Of the entry point groups."""


@dataclass(frozen=True)
class Plugin:
    """A module or file that the user named.

    Attributes
    ----------
    name : str
        As the user wrote it.
    module : str
        What it is called among the loaded modules.
    source : str or None
        A file's text, so that a worker on another machine can load it; None: a module that can be imported by its name.
    """

    name: str
    module: str
    source: str | None = None


_named: list[str] = []
_loaded: dict[str, Plugin] = {}
_entry_points: set[str] = set()
_now: list[str] = []


def use(names: Iterable[str]) -> None:
    """Load modules and files now, beside those of `VARIABLE`.

    Raises
    ------
    InvalidInput
        Naming the plugin that can't be imported, or that registers a name which is taken.
    """
    for name in names:
        _named.append(name)
        try:
            load_named()
        except InvalidInput:
            # Said once: later look-ups in this process aren't to stumble over it again.
            _named.remove(name)
            raise


def loading() -> str | None:
    """The plugin, or entry point, that is being loaded.

    Examples
    --------
    >>> loading() is None  # outside a plugin
    True
    """
    return _now[-1] if _now else None


@contextmanager
def _loading(name: str) -> Iterator[None]:
    _now.append(name)
    try:
        yield
    finally:
        _now.pop()


def load_named() -> None:
    """Load what the variable and `use` name and isn't loaded yet."""
    for name in [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), *_named]:
        plugin = _find(name)
        if name not in _now:
            load(plugin)


def load_entry_points(group: str) -> None:
    """Load the modules that installed packages offer for one kind of entry."""
    for point in _offered(tuple(sys.path))(group=f"{PREFIX}.{group}"):
        name = f"{point.value} ({group})"
        if name not in _entry_points and name not in _now:
            with _loading(name):
                try:
                    point.load()
                except Exception as error:
                    raise _unusable(name, error) from error
            _entry_points.add(name)


@functools.cache
def _offered(path: tuple[str, ...]) -> Callable[..., EntryPoints]:
    """What the packages in ``sys.path`` offer; asked once, as it takes a look at each of them."""
    return entry_points().select


def _find(name: str) -> Plugin:
    """A plugin by what the user wrote: a file if it looks like one, else a module."""
    try:
        path = Path(name).expanduser()
        if path.suffix != ".py" and not path.is_file():
            return Plugin(name, name)
        place = str(path.resolve())
    # A RuntimeError: ~ of nobody; a ValueError: a character that no path has.
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput("plugin", name, f"a module, or a Python file that can be read ({error})") from None
    module = f"collapse_plugin_{path.stem}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    if module in _loaded:
        return _loaded[module]
    try:
        return Plugin(name, module, path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("plugin", name, f"a Python file that can be read ({error})") from None


def loaded() -> tuple[Plugin, ...]:
    """The plugins that are named, loaded now if they weren't."""
    load_named()
    return tuple(_loaded.values())


def text(module: str) -> str | None:
    """The text of the file that a plugin's module was loaded from; None for what is no such module."""
    plugin = _loaded.get(module)
    return None if plugin is None else plugin.source


def load(plugin: Plugin) -> None:
    """Load a plugin, unless it is loaded.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> load(Plugin("no_such_module", "no_such_module"))
    Traceback (most recent call last):
    sim.errors.InvalidInput: plugin: got 'no_such_module'; allowed: a module or file that can be imported (ModuleNotFoundError: No module named 'no_such_module')
    >>> load(Plugin("broken.py", "broken_plugin", source="1 / 0"))
    Traceback (most recent call last):
    sim.errors.InvalidInput: plugin: got 'broken.py'; allowed: a module or file that can be imported (ZeroDivisionError: division by zero)
    """
    if plugin.module in _loaded:
        return
    with _loading(plugin.name):
        try:
            if plugin.source is None:
                importlib.import_module(plugin.module)
            else:
                _run(plugin)
        # Whatever a stranger's module raises, SystemExit too, is to end in one line.
        except (Exception, SystemExit) as error:
            sys.modules.pop(plugin.module, None)
            raise _unusable(plugin.name, error) from error
    _loaded[plugin.module] = plugin


def _run(plugin: Plugin) -> None:
    """Make a module of a file's text; the text is kept for tracebacks where the file isn't."""
    assert plugin.source is not None
    place = str(Path(plugin.name).expanduser().resolve())
    module = types.ModuleType(plugin.module)
    module.__file__ = place
    linecache.cache[place] = (len(plugin.source), None, plugin.source.splitlines(keepends=True), place)
    sys.modules[plugin.module] = module
    exec(compile(plugin.source, place, "exec"), module.__dict__)


def _unusable(name: str, error: BaseException) -> InvalidInput:
    reason = " ".join(str(error).split())
    if not isinstance(error, InvalidInput):
        reason = f"{type(error).__name__}: {reason}"
    return InvalidInput("plugin", name, f"a module or file that can be imported ({reason})")
