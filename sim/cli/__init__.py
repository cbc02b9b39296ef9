"""The command line: one file a command, beside the code it calls; `main` puts them together and is the one place where errors end.

A command is a function under ``@COMMANDS.register("name")`` in `sim.commands`, `realdata.commands`, `figures.commands`, or in an
installed package with an entry point of the group ``class_collapse.commands``. It imports what is heavy when it runs: a list, or
help, doesn't wait for PyTorch.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import typer.main

from sim import plugins
from sim.catalogue import COMMANDS
from sim.cli.signals import INTERRUPTED, TERMINATED, Terminated, listen
from sim.errors import InvalidInput, one_line

HELP = "Class collapse in metric learning under label noise, and easy positive sampling: theory-validation simulations."

MOST_OF_A_USAGE_ERROR = 300
"""Characters: the parser repeats what was written, whole."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The common base of what the command line parser refuses; it has no public name of its own in Typer."""


def _use(names: list[str] | None) -> list[str]:
    plugins.use(names or ())
    return names or []


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        is_eager=True,
        callback=_use,
        metavar="MODULE|FILE",
        help=f"A module or file with losses, samplers, data sets ... of your own; repeatable; as {plugins.VARIABLE}.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("class-collapse"))
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options of the command line as a whole."""


def application() -> Any:
    """The command line with all commands there are, each with ``--plugin``; those called ``data list`` make a group ``data``."""
    app = typer.Typer(
        add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP, rich_markup_mode=None
    )
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for name in COMMANDS:
        command = _with_plugins(COMMANDS[name])
        group, _, inner = name.rpartition(" ")
        if group and group not in groups:
            help_text = sys.modules[COMMANDS[name].__module__].__doc__
            groups[group] = typer.Typer(no_args_is_help=True, help=help_text, rich_markup_mode=None)
            app.add_typer(groups[group], name=group)
        # Said here, as the parser would cut it to half a line.
        (groups[group] if group else app).command(inner, short_help=inspect.getdoc(command))(command)
    return typer.main.get_command(app)


def _with_plugins(function: Callable[..., None]) -> Callable[..., None]:
    """A command with the option ``--plugin``, which is done before the others are read."""

    @functools.wraps(function)
    def command(plugin: list[str] | None = None, **options: Any) -> None:
        function(**options)

    own = inspect.signature(function, eval_str=True)
    added = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Plugins)
    signature = own.replace(parameters=[*own.parameters.values(), added])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    del command.__wrapped__
    return command


def failure(error: BaseException) -> str | None:
    """What to say of an error that the user, or the user's machine, caused; None for an error of this program.

    Examples
    --------
    >>> failure(InvalidInput("noise", 2, "0 <= noise < 1"))
    'noise: got 2; allowed: 0 <= noise < 1'
    >>> failure(OSError(28, "No space left on device", "results/rows.csv"))
    'results/rows.csv: No space left on device'
    >>> failure(RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"))
    'workers: a process that reads images died; the same command goes on from the last checkpoint (DataLoader worker (pid(s) 7) exited unexpectedly)'
    >>> failure(ZeroDivisionError()) is None
    True
    """
    if isinstance(error, InvalidInput):
        return str(error)
    import sqlite3

    import yaml

    text = one_line(str(error))
    if isinstance(error, USAGE_ERROR):
        context = getattr(error, "ctx", None)
        where = f" ({context.command_path} --help shows what there is)" if context is not None else ""
        return f"{one_line(error.format_message(), MOST_OF_A_USAGE_ERROR)}{where}"  # type: ignore[attr-defined]
    if isinstance(error, OSError):
        return one_line(f"{error.filename}: {error.strerror}") if error.filename else error.strerror or text
    # What Python says, whatever was to be done with the path.
    if isinstance(error, ValueError) and text.startswith("embedded null"):
        return "a path has a null character in it, which no file's name has"
    if isinstance(error, sqlite3.Error):
        return f"the results' index can't be used: {text}"
    if isinstance(error, (yaml.YAMLError, UnicodeError)):
        return f"a file can't be read: {text}"
    # PyTorch's own class would have to be imported; its message is stable.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in text):
        return f"out of memory: fewer runs, samples or a smaller batch need less ({text or type(error).__name__})"
    if isinstance(error, RuntimeError) and text.startswith("DataLoader worker"):
        return f"workers: a process that reads images died; the same command goes on from the last checkpoint ({text})"
    return None


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C or SIGTERM is behind an error: one that came while compiled code was called is told as a ``SystemError``."""
    while isinstance(error, SystemError):
        error = error.__cause__
    return isinstance(error, KeyboardInterrupt)


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and give its exit code: 2 for what the user caused, said in one line."""
    try:
        code = application().main(args=list(arguments), prog_name="collapse", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return 2
        said = failure(error)
        if _interrupted(error):
            code = INTERRUPTED
        elif said is None:
            raise
        else:
            print(f"error: {said}", file=sys.stderr)
            return 2
    if code == INTERRUPTED:
        # The parser doesn't say what interrupted it.
        code = TERMINATED if Terminated.came else INTERRUPTED
        print("interrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr)
    return code if isinstance(code, int) else 0


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a line, without the place in the code that raised it."""
    print(f"warning: {one_line(str(message))}", file=sys.stderr)


def main() -> None:
    """The console script ``collapse``."""
    warnings.showwarning = show_warning
    for stream in (sys.stdout, sys.stderr):
        # A name that isn't in the terminal's encoding is shown, escaped, rather than the end of the command.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    listen()
    sys.exit(run(sys.argv[1:]))
