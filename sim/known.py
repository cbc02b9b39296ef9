"""What a worker process must load to know what its parent knows: plugins, and what a script or a notebook registered itself."""

from __future__ import annotations

import copyreg
import importlib
import sys
import types
from dataclasses import dataclass

import cloudpickle

from sim import plugins
from sim.errors import InvalidInput
from sim.registry import Registry


@dataclass(frozen=True)
class Known:
    """What goes to a worker.

    Attributes
    ----------
    plugins : tuple of Plugin
        Modules by name, files with their text.
    entries : tuple of (group, name, bytes)
        What was registered by hand, pickled by value.
    """

    plugins: tuple[plugins.Plugin, ...]
    entries: tuple[tuple[str, str, bytes], ...]

    def restore(self) -> None:
        """Load and register all of it.

        Raises
        ------
        InvalidInput
            Naming what can't be loaded here.

        Examples
        --------
        >>> import sim.catalogue
        >>> Known((), (("losses", "mine", b""),)).restore()
        Traceback (most recent call last):
        sim.errors.InvalidInput: loss: got 'mine'; allowed: an entry that workers can load (Ran out of input)
        """
        # A worker may have imported nothing yet that has registries.
        from sim import catalogue  # noqa: F401

        for plugin in self.plugins:
            plugins.load(plugin)
        registries = {registry.group: registry for registry in Registry.every}
        for group, name, pickled in self.entries:
            if group not in registries:
                raise InvalidInput("plugin", f"{group} {name!r}", "entries of registries that workers have, too")
            try:
                entry = cloudpickle.loads(pickled)
            except Exception as error:
                raise InvalidInput(
                    registries[group].field, name, f"an entry that workers can load ({error})"
                ) from error
            # A module that was imported for the entry may have registered it already.
            registries[group].admit(name, entry)


def known() -> Known:
    """What this process knows beyond the built-ins and the entry points, which every process finds by itself.

    Raises
    ------
    InvalidInput
        Naming an entry that can't be sent to another process.

    Examples
    --------
    >>> from sim.catalogue import SCHEDULES
    >>> with SCHEDULES.replaced("mine", abs):
    ...     [(group, name, cloudpickle.loads(entry)) for group, name, entry in known().entries]
    [('schedules', 'mine', <built-in function abs>)]
    """
    named = plugins.loaded()
    _pickle_modules_by_name()
    entries = []
    for registry in Registry.every:
        for name, entry in registry.from_outside().items():
            try:
                entries.append((registry.group, name, cloudpickle.dumps(entry)))
            except Exception as error:
                raise InvalidInput(registry.field, name, f"an entry that can be sent to workers ({error})") from error
    return Known(named, tuple(entries))


def _pickle_modules_by_name() -> None:
    """Let modules of a class of their own (``torch.classes``) be sent as ordinary modules are.

    A function that uses ``torch`` and has any attribute called ``classes`` takes that module along.
    """
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and type(module) is not types.ModuleType:
            copyreg.pickle(type(module), lambda m: (importlib.import_module, (m.__name__,)))
