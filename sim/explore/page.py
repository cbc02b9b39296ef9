"""``collapse explore``: the front end as a page on this machine, one engine for each open page."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tornado import web, websocket
from tornado.httpserver import HTTPServer

from sim.errors import InvalidInput
from sim.explore.session import Message, Session

STATIC = Path(__file__).parent / "static"
FIRST_PORT, PORTS_TRIED = 8765, 50
IDLE_SECONDS = 0.01
"""Between two looks where nothing is trained."""


def packed(message: Message) -> bytes:
    """A message for the wire: length of the JSON (uint32, little-endian), the JSON padded to a multiple of four bytes, the buffer.

    Examples
    --------
    >>> packed(({"type": "state"}, b"1234"))
    b'\\x14\\x00\\x00\\x00{"type": "state"}   1234'
    """
    content = json.dumps(message[0], allow_nan=False).encode()
    content += b" " * (-len(content) % 4)
    return struct.pack("<I", len(content)) + content + message[1]


class Socket(websocket.WebSocketHandler):
    """A page's link to its own session."""

    def initialize(self, store: Path | None) -> None:
        """See `tornado.web.RequestHandler`."""
        self.store = store

    def open(self, *_: str, **__: str) -> None:
        """Start a session with the page's shared state."""
        self.set_nodelay(True)
        self.session = Session(self.get_query_argument("state", ""), self.store)
        self.task = asyncio.ensure_future(self._drive(self.session))

    async def _drive(self, session: Session) -> None:
        try:
            while True:
                for message in session.work():
                    await self.write_message(packed(message), binary=True)
                await asyncio.sleep(0 if session.training else IDLE_SECONDS)
        except websocket.WebSocketClosedError:
            pass

    def on_message(self, message: str | bytes) -> None:
        """Hand a message to the session."""
        try:
            self.session.receive(json.loads(message))
        except ValueError:
            self.session.receive(None)

    def on_close(self) -> None:
        """Stop training with the page."""
        self.task.cancel()


class Static(web.StaticFileHandler):
    """Files of the front end, never stale."""

    def set_extra_headers(self, path: str) -> None:
        """See `tornado.web.StaticFileHandler`."""
        self.set_header("Cache-Control", "no-cache")


def free_socket(port: int | None) -> socket.socket:
    """A listening socket on 127.0.0.1: on ``port``, else on the first free one from `FIRST_PORT` on.

    Raises
    ------
    InvalidInput
        If the port asked for, or all those tried, are in use.

    Examples
    --------
    >>> with free_socket(0) as listening:
    ...     listening.getsockname()[0]
    '127.0.0.1'
    """
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", candidate))
        except (OSError, OverflowError):
            listening.close()
            continue
        listening.listen(128)
        listening.setblocking(False)
        return listening
    tried = port if port is not None else f"{FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}"
    raise InvalidInput("port", tried, "a free port of this machine (0: any)")


def application(store: Path | None) -> web.Application:
    """The page's handlers."""
    return web.Application(
        [
            (r"/socket", Socket, {"store": store}),
            (r"/(.*)", Static, {"path": str(STATIC), "default_filename": "index.html"}),
        ]
    )


def serve(
    store: Path | None = None,
    *,
    port: int | None = None,
    query: str = "",
    browser: bool = True,
    on_ready: Callable[[str], Any] = lambda address: None,
) -> None:
    """Serve the explorer until interrupted.

    Parameters
    ----------
    store : Path, optional
        A results folder whose runs are shown beside the live one.
    port : int, optional
        See `free_socket`.
    query : str
        A state, see `sim.explore.state.State.query`.
    browser : bool
        Open the page.
    on_ready : callable
        Told the address.
    """
    # One busy core trains faster than two that wait for each other.
    torch.set_num_threads(1)
    listening = free_socket(port)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/" + (f"#{query}" if query else "")

    async def run() -> None:
        server = HTTPServer(application(store))
        server.add_socket(listening)
        on_ready(address)
        if browser:
            webbrowser.open(address)
        await asyncio.Event().wait()

    asyncio.run(run())
