"""Enqueue jobs, wait for them, and follow what happens."""

from __future__ import annotations

import time
import uuid
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Dict, Iterator, Mapping, Optional
from urllib.parse import urlencode

from .errors import StepwellError
from .following import TRIES, Following
from .server import Server, Tries, job_path, read
from .waiting import Waiting

Json = Any


class Client:
    """Talks to a server. Safe to share between threads: each request has a connection of its own."""

    def __init__(
        self,
        server: Optional[str] = None,
        token: Optional[str] = None,
        timeout_s: float = 35.0,
        tries: int = 5,
    ) -> None:
        """``server`` and ``token`` are those of ``STEPWELL_SERVER`` and ``STEPWELL_TOKEN`` unless given."""
        self._server = Server(server, token)
        self._timeout_s = timeout_s
        self._tries = max(1, tries)

    def __repr__(self) -> str:
        return f"Client({self._server.url!r})"

    def request(
        self,
        method: str,
        path: str,
        body: Json = None,
        headers: Optional[Mapping[str, str]] = None,
        tries: Optional[int] = None,
        timeout_s: Optional[float] = None,
    ) -> Json:
        """Asks for ``path`` below ``/api/v1`` and answers with the decoded body.

        A request that did not reach the server, or that it cannot serve now, is sent again: only ask for ``tries``
        above 1 where that does no harm.
        """
        left = Tries(self._tries if tries is None else tries)
        while True:
            try:
                return self._once(method, path, body, headers, timeout_s or self._timeout_s)
            except StepwellError as error:
                time.sleep(left.after(error))

    def enqueue(
        self, kind: str, payload: Json = None, *, idempotency_key: Optional[str] = None, **options: Json
    ) -> str:
        """Stores a job and answers with its id. When it answers, the job is on disk.

        ``options`` are the members of the request as the API names them: ``queue``, ``priority``, ``delayMs``,
        ``runAt``, ``uniqueKey``, ``uniqueWithinMs``, ``onConflict``, ``tags``, ``attributes``, ``expiresAt``,
        ``webhook``. The request counts once, however often it has to be sent.
        """
        new = {"kind": kind, "payload": payload, **options}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return str(self.request("POST", "/jobs", new, headers)["id"])

    def job(self, job_id: str) -> Dict[str, Json]:
        """A job as it stands."""
        job: Dict[str, Json] = self.request("GET", job_path(job_id))
        return job

    def jobs(self, **filters: Json) -> Dict[str, Json]:
        """A page of jobs: ``data``, and in ``page`` the ``next`` one, and the ``pos`` after which to follow events.

        ``filters`` are ``state``, ``kind``, ``queue``, ``tag``, ``uniqueKey``, ``order``, ``limit`` and ``cursor``.
        """
        page: Dict[str, Json] = self.request("GET", f"/jobs?{urlencode(filters)}")
        return page

    def wait(self, job_id: str, timeout_s: Optional[float] = None) -> Dict[str, Json]:
        """Waits for the end of a job and answers with it.

        Raises ``JobFailed``, ``JobCancelled``, or ``TimeoutError``.
        """
        waiting = Waiting(job_id, timeout_s)
        while True:
            job: Dict[str, Json] = self.request("GET", waiting.path())
            if waiting.is_over(job):
                return job

    def cancel(self, job_id: str) -> str:
        """Stops a job and answers with the state that it is in then."""
        return str(self.request("POST", f"{job_path(job_id)}/cancel")["state"])

    def retry(self, job_id: str, from_start: bool = False) -> None:
        """Gives a failed or cancelled job a fresh set of tries. It is sent once: if it raises, look at the job."""
        self.request("POST", f"{job_path(job_id)}/retry", {"fromStart": from_start}, tries=1)

    def events(self, after: Optional[str] = None, **filters: str) -> Iterator[Dict[str, Json]]:
        """Follows what happens, from ``after`` or from now on, over restarts of the server, for ever.

        ``filters`` are ``job``, ``kind``, ``queue``, ``type`` and ``tag``. Each event has its ``place``, from which to
        go on. An event of the type ``stream:gap`` says that events are no longer kept, ``stream:reset`` that the log is
        another one.
        """
        following = Following(after, filters)
        while True:
            yield from following.told(self.request("GET", following.path(), tries=TRIES))

    def _once(self, method: str, path: str, body: Json, headers: Optional[Mapping[str, str]], timeout_s: float) -> Json:
        asked = self._server.request(method, path, body, headers)
        connect = HTTPSConnection if self._server.is_secure else HTTPConnection
        connection = connect(self._server.netloc, timeout=timeout_s)
        try:
            connection.request(*asked)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            raise self._server.unreachable(error) from error
        finally:
            connection.close()
        return read(response.status, response.reason, text, response.getheader("Retry-After"))
