"""The page's server: this machine's own pages only, whatever else connects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from sim.explore import page
from sim.explore import session as sessions
from sim.explore.measured import Measured
from sim.explore.page import free_socket, server_of
from sim.explore.session import Session

SECONDS_TO_HANG = 120
"""After which something that is waited for doesn't come: machines may be slow."""


def served(test: Callable[[int], Awaitable[None]]) -> None:
    """Run a test against a server in the same event loop; it is told the port."""

    async def run() -> None:
        listening = free_socket(0)
        server = server_of(listening, Measured(None))
        await test(listening.getsockname()[1])
        server.stop()

    asyncio.run(asyncio.wait_for(run(), SECONDS_TO_HANG))


async def raw(port: int, request: bytes) -> bytes:
    """What a connection answers, until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    await gone(writer)
    return answer


async def gone(writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    head, _, body = (await raw(port, "\r\n".join([*lines, "", ""]).encode())).partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


async def opened(port: int, **headers: str) -> WebSocketClientConnection:
    return await websocket_connect(
        HTTPRequest(f"ws://127.0.0.1:{port}/socket?state=v%3D1%26compare%3D", headers=headers)
    )


async def say(link: WebSocketClientConnection, **message: Any) -> None:
    await link.write_message(json.dumps(message))


async def told(link: WebSocketClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message = await link.read_message()
        assert isinstance(message, bytes), "closed"
        content = json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])
        if content["type"] == kind:
            return dict(content)


async def goes_on(link: WebSocketClientConnection, request: int = 9) -> None:
    await say(link, type="hello")
    await say(link, type="set", changes={"noise": 0.1}, request=request)
    while (await told(link, "frame"))["request"] != request:
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_is_served(host: str) -> None:
    async def test(port: int) -> None:
        status, headers, body = await get(port, "/", Host=f"{host}:{port}")
        assert status == 200 and b"Class collapse explorer" in body
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-cache"
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        status, _, _ = await get(port, "/page.js", Host=f"{host}:{port}", Origin=f"http://{host.lower()}:{port}")
        assert status == 200
        link = await opened(port, Host=f"{host}:{port}", Origin=f"http://{host}:{port}")
        await goes_on(link)
        link.close()

    served(test)


@pytest.mark.parametrize("path", ["/", "/page.js", "/nowhere", "/socket"])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("evil.example:{port}", None),
        ("evil.example:{port}", "http://evil.example:{port}"),
        ("127.0.0.1", None),
        ("127.0.0.1:{other}", None),
        ("127.0.0.1.evil.example:{port}", None),
        ("0.0.0.0:{port}", None),
        ("127.0.0.1:{port}", "http://evil.example"),
        ("127.0.0.1:{port}", "http://localhost:{port}"),
        ("127.0.0.1:{port}", "https://127.0.0.1:{port}"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{other}"),
        ("127.0.0.1:{port}", "null"),
        ("127.0.0.1:{port}", ""),
    ],
)
def test_others_are_not(path: str, host: str, origin: str | None) -> None:
    async def test(port: int) -> None:
        numbers = {"port": port, "other": port - 1}
        headers = {"Host": host.format(**numbers)}
        if origin is not None:
            headers["Origin"] = origin.format(**numbers)
        if path == "/socket":
            headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
        status, answered, body = await get(port, path, **headers)
        assert status == 403 and (b"Host is not" if origin is None or "evil" in host else b"Origin is not") in body
        assert answered["X-Content-Type-Options"] == "nosniff"

    served(test)


@pytest.mark.parametrize(
    "path",
    [
        "/../session.py", "/%2e%2e/session.py", "/..%2fsession.py", "//etc/passwd", "/%2fetc/passwd", "/..\\session.py",
        "/%00", "/page.js%00", "/" + "x" * 5000, "/%ff", "/static/", "/.", "/socket/../../session.py",
    ],
)  # fmt: skip
def test_nothing_but_the_front_end_is_served(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test(port: int) -> None:
        status, _, body = await get(port, path, Host=f"127.0.0.1:{port}")
        assert status in (400, 404)
        assert b"import" not in body and b"root:" not in body

    served(test)
    assert "Traceback" not in caplog.text


def test_strange_requests_are_refused_and_others_served(caplog: pytest.LogCaptureFixture) -> None:
    async def test(port: int) -> None:
        own = f"Host: 127.0.0.1:{port}\r\n".encode()
        for request in (
            b"GET / HTTP/1.1\r\n" + own + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + own + b"\r\n",
            b"POST / HTTP/1.1\r\n" + own + b"Content-Length: 99999999999\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + own + own + b"Connection: close\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"\x00\xff" * 100 + b"\r\n\r\n",
        ):
            assert b"200 OK" not in await raw(port, request)
        link = await opened(port)
        await goes_on(link)
        link.close()

    served(test)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("message", "binary"),
    [("[" * 60_000, False), ("x" * 200_000, False), (b"\x00" * 10, True), ('{"type": "set", "changes": {"loss": {}}}', False)],
)  # fmt: skip
def test_a_refused_message_is_answered_on_the_wire(message: str | bytes, binary: bool) -> None:
    async def test(port: int) -> None:
        link = await opened(port)
        await link.write_message(message, binary=binary)
        assert (await told(link, "notice"))["field"] in ("message", "loss")
        await goes_on(link)
        link.close()

    served(test)


async def bare(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket without a client that keeps its rules; it reads no more than it must."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=own, limit=1024)
    asked = f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{asked}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n\r\n".encode())
    assert b"101" in await reader.readline()
    return reader, writer


def frame_head(length: int) -> bytes:
    """A masked text frame's first bytes."""
    return b"\x81" + bytes([0x80 | 127]) + length.to_bytes(8, "big") + b"\x00" * 4


@pytest.mark.parametrize(
    "frame", [frame_head(1000) + b"half", frame_head(10**12), b"\x81", b"\xff\xff\xff", frame_head(2) + b"\xff\xff"]
)
def test_a_broken_connection_disturbs_nobody(frame: bytes) -> None:
    """Half a frame, one that is too large, no frame at all, no UTF-8: the page beside goes on, and so does the next one."""

    async def test(port: int) -> None:
        beside = await opened(port)
        _, writer = await bare(port)
        writer.write(frame)
        await writer.drain()
        await goes_on(beside)
        await gone(writer)
        await goes_on(beside, 10)
        following = await opened(port)
        await goes_on(following)
        for link in (following, beside):
            link.close()

    served(test)


def test_a_page_that_does_not_read_stops_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for more than it takes in, and is gone in the middle of a send."""
    made = watched(monkeypatch)

    async def test(port: int) -> None:
        _, writer = await bare(port)
        for message in (b'{"type": "hello"}', *[b'{"type": "reset"}'] * 2000):
            writer.write(b"\x81" + bytes([0x80 | len(message)]) + b"\x00" * 4 + message)
        beside = await opened(port)
        before = -1
        while made[0].engine.generation > before:  # until no more of it is done
            before = made[0].engine.generation
            for _ in range(5):
                await goes_on(beside)
        assert before < 2000 and len(made[0]._out) <= 4 * page.MESSAGES_WAITING
        await gone(writer)
        await goes_on(beside, 10)
        beside.close()

    served(test)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that are made from now on."""
    made: list[Session] = []

    class Watched(Session):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            made.append(self)

    monkeypatch.setattr(page, "Session", Watched)
    return made


def test_one_page_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_SESSIONS", 2)

    async def test(port: int) -> None:
        first, second, third = [await opened(port) for _ in range(3)]
        assert await third.read_message() is None
        assert third.close_code == 1013 and "close one and reload" in (third.close_reason or "")
        for link in (first, second):
            await goes_on(link)
        first.close()
        while True:  # its place is free again
            fourth = await opened(port)
            await say(fourth, type="hello")
            if await fourth.read_message() is not None:
                break
        for link in (fourth, second):
            link.close()

    served(test)


def test_slow_connections_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_CONNECTIONS", 5)

    async def test(port: int) -> None:
        link = await opened(port)  # a session's connection isn't counted
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in slow:
            writer.write(b"GET / HT")
        status, _, _ = await get(port, "/", Host=f"127.0.0.1:{port}")
        assert status == 200
        for reader, _ in slow[:15]:
            assert await reader.read() == b""
        await goes_on(link)
        link.close()
        for _, writer in slow:
            await gone(writer)

    served(test)


def test_a_page_that_is_closed_stops_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing but the closing may stop it.
    monkeypatch.setattr(sessions, "SECONDS_WITHOUT_ACKNOWLEDGEMENT", float("inf"))
    made = watched(monkeypatch)

    async def turns_without_training() -> bool:
        """Whether the event loop turns round some times and nothing is trained."""
        before = made[0].engine.step_count
        for _ in range(50):
            await asyncio.sleep(0)
        return made[0].engine.step_count == before

    async def test(port: int) -> None:
        own = await opened(port)
        await say(own, type="hello")
        await told(own, "frame")
        assert not await turns_without_training()
        own.close()
        while not await turns_without_training():
            await asyncio.sleep(0.01)

    served(test)


def test_an_error_of_the_program_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(Session, "work", lambda _: 1 / 0)

    async def test(port: int) -> None:
        link = await opened(port)
        assert await link.read_message() is None
        assert link.close_code == 1011 and "console" in (link.close_reason or "")

    served(test)
    assert "ZeroDivisionError" in caplog.text
