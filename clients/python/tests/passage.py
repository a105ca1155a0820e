"""The real server, whose address is in STEPWELL_SERVER, and a way to it on which things happen."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from typing import Any, Callable, Optional, Set

SERVER = os.environ["STEPWELL_SERVER"]


def unique(word: str) -> str:
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def until(look: Callable[[], Any]) -> Any:
    """Waits until something is so, by looking again and again."""
    while True:
        found = look()
        if found:
            return found
        time.sleep(0.01)


class Passage:
    """A way to the server.

    Every so many answers one is lost after the server has given it; workers are told to send heartbeats at another
    pace; heartbeats and claims are told of, and claims may be answered at once with nothing; and workers may be said to
    be unknown.
    """

    def __init__(
        self,
        lose_every: Optional[int] = None,
        heartbeat_ms: Optional[int] = None,
        on_heartbeat: Callable[[str, Any], None] = lambda worker, body: None,
        on_claim: Callable[[Any], None] = lambda body: None,
        waits: bool = True,
    ) -> None:
        self._lose_every, self._heartbeat_ms = lose_every, heartbeat_ms
        self._on_heartbeat, self._on_claim, self._waits = on_heartbeat, on_claim, waits
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = SERVER.split("//", 1)[1].split(":")
        self._server = (host, int(port))
        self._lock = threading.Lock()
        self.passed = self.lost = 0
        self.forgotten: Set[str] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            head, body = _request(client)
            if head.startswith(b"POST /api/v1/claims HTTP"):
                self._on_claim(json.loads(body))
                if not self._waits:
                    client.sendall(_answer(b"200 OK", b'{"claims":[]}'))
                    return
            if any(worker.encode() in head + body for worker in self.forgotten):
                self._tell(head, body)
                problem = b'{"status":404,"code":"not-found","detail":"there is no such worker here"}'
                client.sendall(_answer(b"404 Not Found", problem))
                return
            answer = self._ask(head, body)
            self._tell(head, body)
            if (
                self._heartbeat_ms is not None
                and head.startswith(b"POST /api/v1/workers HTTP")
                and b" 201 " in answer[:20]
            ):
                registered = json.loads(answer.split(b"\r\n\r\n", 1)[1])
                registered["heartbeatMs"] = self._heartbeat_ms
                answer = _answer(b"201 Created", json.dumps(registered).encode())
            if not self._is_lost():
                client.sendall(answer)

    def _tell(self, head: bytes, body: bytes) -> None:
        """Once it is answered."""
        beat = re.match(rb"POST /api/v1/workers/([^/]+)/heartbeat", head)
        if beat:
            self._on_heartbeat(beat[1].decode(), json.loads(body))

    def _ask(self, head: bytes, body: bytes) -> bytes:
        lines = [line for line in head.split(b"\r\n") if not re.match(rb"(?i)(host|connection):", line)]
        lines += [f"host: {self._server[0]}:{self._server[1]}".encode(), b"connection: close"]
        with socket.create_connection(self._server) as server:
            server.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            return b"".join(iter(lambda: server.recv(65536), b""))

    def _is_lost(self) -> bool:
        with self._lock:
            self.passed += 1
            is_lost = self._lose_every is not None and self.passed % self._lose_every == 0
            self.lost += is_lost
            return is_lost


def _request(client: socket.socket) -> "tuple[bytes, bytes]":
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(65536)
    head, body = request.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(65536)
    return head, body


def _answer(status: bytes, body: bytes) -> bytes:
    length = str(len(body)).encode()
    return (
        b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: " + length + b"\r\n\r\n" + body
    )
