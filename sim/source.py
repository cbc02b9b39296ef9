"""The code behind what comes from outside: results depend on it as they do on the data."""

from __future__ import annotations

import ast
import functools
import sys
import types
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from sim import plugins
from sim.files import digest

MAIN = "__main__"

UNTOLD = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__"})
"""What a class holds that decides no value."""


def code(module: str, entry: Any) -> str:
    """What decides the values of an entry that a module registered.

    Parameters
    ----------
    module : str
        A plugin's, or ``__main__`` for a script or a notebook.
    entry : object
        What it registered.

    Returns
    -------
    str
        Of a plugin its text, as it was loaded, and that of the modules in its folder that it imports; of a package all its
        files. A script or a notebook holds much that decides nothing: there it is the code of the entry, and of what that uses,
        in Python's bytecode.

    Examples
    --------
    >>> double, twice, triple = (eval(text) for text in ("lambda x: x + x", "lambda x: x + x", "lambda x: 3 * x"))
    >>> code(MAIN, double) == code(MAIN, twice), code(MAIN, double) == code(MAIN, triple)
    (True, False)
    """
    own = {module, getattr(entry, "__module__", module)}
    return _text(module) or "\n".join(_parts(entry, own, {}, _near))


def of_function(function: Callable[..., Any]) -> str:
    """The code of a function and of all that it uses of its own package and of this one, in Python's bytecode; the rest by name.

    Examples
    --------
    >>> double, twice, triple = (eval(text) for text in ("lambda x: x + x", "lambda x: x + x", "lambda x: 3 * x"))
    >>> of_function(double) == of_function(twice), of_function(double) == of_function(triple)
    (True, False)
    """
    return "\n".join(_parts(function, _Packages(function.__module__), {}, lambda module: False))


class _Packages:
    """The names of the modules of the package that a module is in, and of this one."""

    def __init__(self, module: str) -> None:
        self._tops = {name.partition(".")[0] for name in (module, __name__)}

    def __contains__(self, module: object) -> bool:
        return str(module).partition(".")[0] in self._tops


@functools.cache
def _text(module: str) -> str:
    """The files behind a module, as they were when first asked for; nothing for ``__main__`` and what has no files."""
    plugin = plugins.text(module)
    top = sys.modules.get(module.partition(".")[0])
    if module == MAIN or top is None:
        return ""
    if plugin is None and hasattr(top, "__path__"):
        found = sorted(place for folder in top.__path__ for place in Path(folder).rglob("*.py"))
        return "\n".join(_read(place) for place in found)
    place = getattr(sys.modules[module], "__file__", None)
    if place is None:
        return ""
    texts = {Path(place): _read(Path(place)) if plugin is None else plugin}
    waiting = list(texts)
    while waiting:
        of = waiting.pop()
        for near in _imported(of.parent, texts[of]):
            if near not in texts:
                texts[near] = _read(near)
                waiting.append(near)
    return "\n".join(texts[place] for place in sorted(texts))


def _read(place: Path) -> str:
    content = place.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return digest(content)


def _imported(folder: Path, text: str) -> Iterator[Path]:
    """The modules of a folder that a text imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
        for name in names:
            top = folder / name.partition(".")[0]
            if top.with_suffix(".py").is_file():
                yield top.with_suffix(".py")
            elif (top / "__init__.py").is_file():
                yield from sorted(top.rglob("*.py"))


def _parts(
    value: Any, own: Container[str], seen: dict[int, Any], near: Callable[[types.ModuleType], bool]
) -> Iterator[str]:
    """What an object is made of, what of the modules ``own`` it uses, and the text of others that are ``near``."""
    if value is None or isinstance(value, (str, bytes, int, float, complex)):
        yield repr(value)
        return
    if id(value) in seen:
        return
    # Held, lest another object gets its number.
    seen[id(value)] = value

    def inside(*values: Any) -> Iterator[str]:
        for part in values:
            yield from _parts(part, own, seen, near)

    if isinstance(value, types.ModuleType):
        yield value.__name__
        if value.__name__ not in own and near(value):
            yield _text(value.__name__)
    elif isinstance(value, types.CodeType):
        yield value.co_code.hex()
        yield repr(value.co_names)
        yield from inside(*value.co_consts)
    elif isinstance(value, (list, tuple)):
        yield from inside(*value)
    elif isinstance(value, (set, frozenset)):
        yield repr(sorted(map(repr, value)))
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield from inside(key, value[key])
    elif isinstance(value, (types.FunctionType, type)) and value.__module__ not in own:
        yield f"{value.__module__}.{value.__qualname__}"
        yield from inside(sys.modules.get(value.__module__))
    elif isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        names = _names(value.__code__)
        used = {name: value.__globals__[name] for name in names if name in value.__globals__}
        for module in [u for u in used.values() if isinstance(u, types.ModuleType) and u.__name__ in own]:
            used |= {f"{module.__name__}.{name}": vars(module)[name] for name in names if name in vars(module)}
        yield from inside(value.__code__, value.__defaults__, value.__kwdefaults__, cells, used, vars(value))
    elif isinstance(value, type):
        yield value.__qualname__
        yield from inside(value.__bases__, {k: v for k, v in vars(value).items() if k not in UNTOLD})
    elif isinstance(value, (staticmethod, classmethod)):
        yield from inside(value.__func__)
    elif isinstance(value, property):
        yield from inside(value.fget, value.fset)
    elif isinstance(value, functools.partial):
        yield from inside(value.func, value.args, value.keywords)
    elif hasattr(value, "py_func"):  # compiled
        yield from inside(value.py_func)
    elif hasattr(value, "__array__"):
        yield digest(value.__array__().tobytes())
    else:
        yield from inside(type(value), getattr(value, "__dict__", None), getattr(value, "__func__", None))


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _names(compiled: types.CodeType) -> set[str]:
    """The names that a function and those inside it look up."""
    inner = [_names(const) for const in compiled.co_consts if isinstance(const, types.CodeType)]
    return set(compiled.co_names).union(*inner)


def _near(found: types.ModuleType) -> bool:
    """Whether a module lies in the folder of the script that runs, or of the notebook."""
    main = getattr(sys.modules[MAIN], "__file__", None)
    place = getattr(found, "__file__", None)
    folder = Path(main).resolve().parent if main else Path.cwd()
    return place is not None and Path(place).resolve().is_relative_to(folder)
