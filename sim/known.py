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
    entries : bytes
        What was registered by hand, pickled by value: a list of (group, name, entry).
    """

    plugins: tuple[plugins.Plugin, ...]
    entries: bytes

    def restore(self) -> None:
        """Load and register all of it.

        Raises
        ------
        InvalidInput
            Naming what can't be loaded here.

        Examples
        --------
        >>> Known((), b"").restore()
        Traceback (most recent call last):
        sim.errors.InvalidInput: plugin: got 'of the main program'; allowed: what workers can load (Ran out of input)
        """
        for plugin in self.plugins:
            plugins.load(plugin)
        try:
            entries = cloudpickle.loads(self.entries)
        except Exception as error:
            raise InvalidInput("plugin", "of the main program", f"what workers can load ({error})") from error
        registries = {registry.group: registry for registry in Registry.every}
        for group, name, entry in entries:
            if group not in registries:
                raise InvalidInput("plugin", f"{group} {name!r}", "entries of registries that workers have, too")
            # A script's own module may have been run again here, and have registered it already.
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
    ...     entries = cloudpickle.loads(known().entries)
    >>> ("schedules", "mine", abs) in entries
    True
    """
    named = plugins.loaded()
    _pickle_modules_by_name()
    entries = []
    for registry in Registry.every:
        for name, entry in registry.from_outside().items():
            try:
                cloudpickle.dumps(entry)
            except Exception as error:
                raise InvalidInput(registry.field, name, f"an entry that can be sent to workers ({error})") from error
            entries.append((registry.group, name, entry))
    return Known(named, cloudpickle.dumps(entries))


def _pickle_modules_by_name() -> None:
    """Let modules of a class of their own (``torch.classes``) be sent as ordinary modules are.

    A function that uses ``torch`` and has any attribute called ``classes`` takes that module along.
    """
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and type(module) is not types.ModuleType:
            copyreg.pickle(type(module), lambda m: (importlib.import_module, (m.__name__,)))
