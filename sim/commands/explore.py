"""``collapse explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.catalogue import COMMANDS, PRESETS
from sim.cli.options import DEFAULT_OUT, Out, written
from sim.cli.output import say
from sim.errors import InvalidInput, choice


@COMMANDS.register("explore")
def explore(
    port: Annotated[
        int | None, typer.Option("--port", help="Port on this machine; if not given, the first free one from 8765 on.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Start with a preset; --preset list shows them.")] = "",
    state: Annotated[str, typer.Option("--state", help="Start with a shared state (the address after #).")] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    animation: Annotated[
        Path | None,
        typer.Option(
            "--animation", callback=written, help="No page: film a run of 1,380 steps to this GIF or WebP file."
        ),
    ] = None,
    out: Out = DEFAULT_OUT,
) -> None:
    """Explore noise levels live: a page on this machine, beside what the theory says and what --out holds."""
    if preset == "list":
        for name in PRESETS:
            say(name)
        return

    from sim.explore.engine import Engine
    from sim.explore.page import serve
    from sim.explore.picture import animate
    from sim.explore.state import State, read

    if preset and state:
        raise InvalidInput("preset", preset, "either --preset or --state")
    chosen = read(state)
    if preset:
        choice("preset", preset, PRESETS)
        chosen = State().with_(PRESETS[preset])
    engine = Engine(chosen)  # what can't be trained is refused here, not on the page
    if animation is not None:
        animate(engine, animation)
        say(str(animation))
        return
    try:
        serve(
            out / "store",
            port=port,
            query=chosen.query(),
            browser=browser,
            on_ready=lambda address: say(f"explorer: {address}  (Ctrl-C ends it)"),
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
