"""One request and its answer, over asyncio's own streams. ``http.client`` writes the one and reads the other."""

from __future__ import annotations

import asyncio
import io
import ssl
from http.client import HTTPConnection, HTTPException
from typing import Any, Optional

from ..server import Request, Server, read

Json = Any


class _Wire:
    """A socket in memory."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.answer = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self.answer)

    def close(self) -> None:
        pass


async def exchange(server: Server, asked: Request, tls: Optional[ssl.SSLContext], timeout_s: float) -> Json:
    """Raises ``Unreachable`` if there is no answer, and ``Problem`` if it is a refusal."""
    connection, wire = HTTPConnection(server.netloc), _Wire()
    connection.sock = wire
    connection.request(asked.method, asked.target, asked.data, {**asked.headers, "Connection": "close"})
    try:
        wire.answer = await asyncio.wait_for(_carry(server, bytes(wire.sent), tls), timeout_s)
        response = connection.getresponse()
        text = response.read()
    except asyncio.TimeoutError as error:
        raise server.unreachable(f"no answer within {timeout_s} s") from error
    except (OSError, HTTPException) as error:
        raise server.unreachable(error) from error
    return read(response.status, response.reason, text, response.getheader("Retry-After"))


async def _carry(server: Server, data: bytes, tls: Optional[ssl.SSLContext]) -> bytes:
    reader, writer = await asyncio.open_connection(server.host, server.port, ssl=tls)
    try:
        writer.write(data)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
