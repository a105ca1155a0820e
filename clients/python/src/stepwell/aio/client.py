"""Enqueue jobs, wait for them, and follow what happens, without blocking the loop."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from typing import Any, AsyncIterator, Dict, Mapping, Optional
from urllib.parse import urlencode

from ..client import Client
from ..errors import StepwellError
from ..following import TRIES, Following
from ..server import Server, Tries, job_path
from ..waiting import Waiting
from .exchange import exchange

Json = Any


class AsyncClient:
    """Talks to a server, over asyncio's own streams: nothing is blocked, and no thread is used.

    Any number of its calls may be under way at once: each has a connection of its own.
    """

    def __init__(
        self,
        server: Optional[str] = None,
        token: Optional[str] = None,
        timeout_s: float = 35.0,
        tries: int = 5,
    ) -> None:
        """``server`` and ``token`` are those of ``STEPWELL_SERVER`` and ``STEPWELL_TOKEN`` unless given."""
        self._server = Server(server, token)
        self._tls = ssl.create_default_context() if self._server.is_secure else None
        self._timeout_s = timeout_s
        self._tries = max(1, tries)
        # The same for threads that are no part of a loop.
        self._blocking = Client(server, token, timeout_s, tries)

    def __repr__(self) -> str:
        return f"AsyncClient({self._server.url!r})"

    async def request(
        self,
        method: str,
        path: str,
        body: Json = None,
        headers: Optional[Mapping[str, str]] = None,
        tries: Optional[int] = None,
    ) -> Json:
        """Asks for ``path`` below ``/api/v1`` and answers with the decoded body.

        A request that did not reach the server, or that it cannot serve now, is sent again: only ask for ``tries``
        above 1 where that does no harm.
        """
        left = Tries(self._tries if tries is None else tries)
        while True:
            try:
                asked = self._server.request(method, path, body, headers)
                return await exchange(self._server, asked, self._tls, self._timeout_s)
            except StepwellError as error:
                await asyncio.sleep(left.after(error))

    async def enqueue(
        self, kind: str, payload: Json = None, *, idempotency_key: Optional[str] = None, **options: Json
    ) -> str:
        """Stores a job and answers with its id. When it answers, the job is on disk.

        ``options`` are those of ``Client.enqueue``. The request counts once, however often it has to be sent.
        """
        new = {"kind": kind, "payload": payload, **options}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return str((await self.request("POST", "/jobs", new, headers))["id"])

    async def job(self, job_id: str) -> Dict[str, Json]:
        """A job as it stands."""
        job: Dict[str, Json] = await self.request("GET", job_path(job_id))
        return job

    async def jobs(self, **filters: Json) -> Dict[str, Json]:
        """A page of jobs: ``data``, and in ``page`` the ``next`` one, and the ``pos`` after which to follow events.

        ``filters`` are those of ``Client.jobs``.
        """
        page: Dict[str, Json] = await self.request("GET", f"/jobs?{urlencode(filters)}")
        return page

    async def wait(self, job_id: str, timeout_s: Optional[float] = None) -> Dict[str, Json]:
        """Waits for the end of a job and answers with it.

        Raises ``JobFailed``, ``JobCancelled``, or ``TimeoutError``.
        """
        waiting = Waiting(job_id, timeout_s)
        while True:
            job: Dict[str, Json] = await self.request("GET", waiting.path())
            if waiting.is_over(job):
                return job

    async def cancel(self, job_id: str) -> str:
        """Stops a job and answers with the state that it is in then."""
        return str((await self.request("POST", f"{job_path(job_id)}/cancel"))["state"])

    async def retry(self, job_id: str, from_start: bool = False) -> None:
        """Gives a failed or cancelled job a fresh set of tries. It is sent once: if it raises, look at the job."""
        await self.request("POST", f"{job_path(job_id)}/retry", {"fromStart": from_start}, tries=1)

    async def events(self, after: Optional[str] = None, **filters: str) -> AsyncIterator[Dict[str, Json]]:
        """Follows what happens, from ``after`` or from now on, over restarts of the server, for ever.

        ``filters``, and what is told of what was missed, are those of ``Client.events``.
        """
        following = Following(after, filters)
        while True:
            for event in following.told(await self.request("GET", following.path(), tries=TRIES)):
                yield event
