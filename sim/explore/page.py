"""``collapse explore``: the front end as a page on this machine, one engine for each open page."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from sim.errors import InvalidInput, integer
from sim.explore.measured import Measured
from sim.explore.messages import LARGEST
from sim.explore.session import Message, Session

STATIC = Path(__file__).parent / "static"
FIRST_PORT, PORTS_TRIED = 8765, 50
IDLE_SECONDS = 0.01
"""Between two looks where nothing is trained."""
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What this machine may be called: a page of another name that leads here (DNS rebinding) is served nothing."""
MOST_SESSIONS, MOST_CONNECTIONS = 16, 64
"""Pages open at once; connections that are no sessions, of which the oldest makes way."""
MESSAGES_WAITING = 16
"""Of a page, before no more is read from it."""
LARGEST_FRAME = 16 * LARGEST
"""Bytes of a message from a page beyond which it is cut off; from `LARGEST` characters on it is refused."""
SECONDS_TO_ASK = 10.0
"""For a whole request, and for the next one on the same connection."""
LARGEST_HEADER = 2**14
"""Bytes."""

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
"""Content security policy: own files only; its last part is completed by the websocket's address."""

LOG = logging.getLogger(__name__)


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


class Local(web.RequestHandler):
    """Answers this machine's own pages only, with headers that keep others out."""

    def prepare(self) -> None:
        """Refuse a request to another name, or of another site's page."""
        host, origin = self.request.headers.get("Host", ""), self.request.headers.get("Origin")
        own = {f"{name}:{self.settings['port']}" for name in NAMES}
        if self.settings["port"] == 80:
            own |= set(NAMES)
        if host.lower() not in own:
            raise web.HTTPError(403, reason="Host is not this machine with the explorer's port")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            raise web.HTTPError(403, reason="Origin is not the explorer's own page")
        self.set_header("Content-Security-Policy", f"{POLICY} ws://{host}")

    def set_default_headers(self) -> None:
        """See `tornado.web.RequestHandler`; errors have them, too."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """What isn't UTF-8 is for whoever reads the text to refuse."""
        return value.decode("utf-8", "replace")


class Socket(Local, websocket.WebSocketHandler):
    """A page's link to its own session."""

    task: asyncio.Task[None] | None = None

    def check_origin(self, origin: str) -> bool:
        """`Local.prepare` has looked."""
        return True

    def open(self, *_: str, **__: str) -> None:
        """Start a session with the page's shared state."""
        self.set_nodelay(True)
        self.inbox: asyncio.Queue[str | bytes] = asyncio.Queue(MESSAGES_WAITING)
        sessions = self.settings["sessions"]
        if len(sessions) >= MOST_SESSIONS:
            self.close(1013, f"There are {MOST_SESSIONS} open explorers already: close one and reload this page.")
            return
        sessions.add(self)
        self.task = asyncio.create_task(self._drive())

    async def _drive(self) -> None:
        """Messages in, work, messages out: what a page doesn't take in stops its own session only."""
        try:
            session = Session.at(self.get_query_argument("state", ""), self.settings["measured"])
            while True:
                for _ in range(self.inbox.qsize()):
                    session.receive_text(self.inbox.get_nowait())
                    await asyncio.sleep(0)  # others have their turn
                for message in session.work():
                    await self.write_message(packed(message), binary=True)
                await asyncio.sleep(0 if session.training else IDLE_SECONDS)
        except websocket.WebSocketClosedError:
            pass
        except Exception:
            LOG.exception("an explorer has ended")
            self.close(1011, "The explorer failed; its console says how. Reload this page.")
        finally:
            self.settings["sessions"].discard(self)

    async def on_message(self, message: str | bytes) -> None:
        """Hand a message to the session; the next one is read when there is room."""
        if self.task is not None:
            await self.inbox.put(message)

    def on_close(self) -> None:
        """Stop training with the page."""
        if self.task is not None:
            self.task.cancel()


class Static(Local, web.StaticFileHandler):
    """Files of the front end, never stale."""

    def parse_url_path(self, url_path: str) -> str:
        """There are these names and no others."""
        if url_path and url_path not in {file.name for file in STATIC.iterdir()}:
            raise web.HTTPError(404)
        return url_path


class Server(HTTPServer):
    """Keeps at most `MOST_CONNECTIONS` that have no session: where one more comes, the oldest is closed."""

    def initialize(self, *given: Any, **options: Any) -> None:
        """See `tornado.httpserver.HTTPServer`."""
        super().initialize(*given, **options)
        self.streams: dict[IOStream, None] = {}

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """See `tornado.tcpserver.TCPServer`."""
        self.streams[stream] = None
        super().handle_stream(stream, address)
        if len(self.streams) > MOST_CONNECTIONS:
            next(iter(self.streams)).close()

    def on_close(self, server_conn: Any) -> None:
        """Also when a connection has become a session's."""
        super().on_close(server_conn)
        self.streams.pop(server_conn.stream, None)


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
    why = "in use"
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", integer("port", candidate, 0, 65535)))
            listening.listen(128)
        except (OSError, InvalidInput) as error:
            listening.close()
            if isinstance(error, InvalidInput):
                raise
            why = error.strerror or why
            continue
        listening.setblocking(False)
        return listening
    tried = port if port is not None else f"{FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}"
    raise InvalidInput("port", tried, f"a free port of this machine, or 0 for any ({why.lower()})")


def server_of(listening: socket.socket, measured: Measured) -> Server:
    """The page's server on a listening socket; it serves as soon as there is an event loop."""
    handlers: list[Any] = [
        (r"/socket", Socket),
        (r"/(.*)", Static, {"path": str(STATIC), "default_filename": "index.html"}),
    ]
    application = web.Application(
        handlers,
        port=listening.getsockname()[1],
        measured=measured,
        sessions=set(),
        websocket_max_message_size=LARGEST_FRAME,
    )
    server = Server(
        application,
        idle_connection_timeout=SECONDS_TO_ASK,
        body_timeout=SECONDS_TO_ASK,
        max_header_size=LARGEST_HEADER,
        max_body_size=LARGEST_HEADER,
        max_buffer_size=2 * LARGEST_FRAME,
    )
    server.add_socket(listening)
    return server


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
    listening, measured = free_socket(port), Measured(store)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/" + (f"#{query}" if query else "")

    async def run() -> None:
        server_of(listening, measured)
        on_ready(address)
        if browser:
            # Some browsers keep their caller waiting.
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        await asyncio.Event().wait()

    asyncio.run(run())
