"""Enqueue jobs, wait for them, and follow what happens."""

from __future__ import annotations

import json
import os
import time
import uuid
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Dict, Iterator, Mapping, Optional
from urllib.parse import quote, urlencode, urlsplit

from .errors import JobCancelled, JobFailed, LeaseLost, Problem, StepwellError, Unreachable

Json = Any
ENDED = frozenset(["completed", "failed", "cancelled"])
# The longest that one request waits for an end. The server allows 30 s.
WAIT_MS = 25_000


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
        self._server = (server or os.environ.get("STEPWELL_SERVER") or "http://127.0.0.1:7717").rstrip("/")
        self._token = token or os.environ.get("STEPWELL_TOKEN") or ""
        self._timeout_s = timeout_s
        self._tries = max(1, tries)
        if urlsplit(self._server).scheme not in ("http", "https"):
            raise StepwellError(f"the server {self._server!r} is no http:// or https:// address")

    def __repr__(self) -> str:
        return f"Client({self._server!r})"

    def request(
        self,
        method: str,
        path: str,
        body: Json = None,
        headers: Optional[Mapping[str, str]] = None,
        tries: Optional[int] = None,
    ) -> Json:
        """Asks for ``path`` below ``/api/v1`` and answers with the decoded body.

        A request that did not reach the server, or that it cannot serve now, is sent again: only ask for ``tries`` above
        1 where that does no harm.
        """
        left = self._tries if tries is None else max(1, tries)
        pause_s = 0.1
        while True:
            left -= 1
            try:
                return self._once(method, path, body, headers)
            except Unreachable:
                if left == 0:
                    raise
                time.sleep(pause_s)
            except Problem as problem:
                if left == 0 or not problem.retryable:
                    raise
                time.sleep(max(pause_s, float(problem.body.get("retryAfterMs", 0)) / 1000))
            pause_s = min(pause_s * 2, 2.0)

    def enqueue(
        self, kind: str, payload: Json = None, *, idempotency_key: Optional[str] = None, **options: Json
    ) -> str:
        """Stores a job and answers with its id. When it answers, the job is on disk.

        ``options`` are the members of the request as the API names them: ``queue``, ``priority``, ``delayMs``,
        ``runAt``, ``uniqueKey``, ``tags``, ``attributes``, ``webhook``. The request counts once, however often it has
        to be sent.
        """
        new = {"kind": kind, "payload": payload, **options}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return str(self.request("POST", "/jobs", new, headers)["id"])

    def job(self, job_id: str) -> Dict[str, Json]:
        """A job as it stands."""
        return self.request("GET", f"/jobs/{quote(job_id, safe='')}")

    def wait(self, job_id: str, timeout_s: Optional[float] = None) -> Dict[str, Json]:
        """Waits for the end of a job and answers with it.

        Raises ``JobFailed``, ``JobCancelled``, or ``TimeoutError``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_ms = WAIT_MS if deadline is None else int((deadline - time.monotonic()) * 1000)
            wait_ms = max(0, min(WAIT_MS, left_ms))
            job = self.request("GET", f"/jobs/{quote(job_id, safe='')}?waitMs={wait_ms}")
            if job["state"] == "failed":
                raise JobFailed(job)
            if job["state"] == "cancelled":
                raise JobCancelled(job)
            if job["state"] in ENDED:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {job_id} has not ended after {timeout_s} s")

    def cancel(self, job_id: str) -> str:
        """Stops a job and answers with the state that it is in then."""
        return str(self.request("POST", f"/jobs/{quote(job_id, safe='')}/cancel")["state"])

    def retry(self, job_id: str, from_start: bool = False) -> None:
        """Gives a failed or cancelled job a fresh set of tries."""
        self.request("POST", f"/jobs/{quote(job_id, safe='')}/retry", {"fromStart": from_start}, tries=1)

    def events(self, after: Optional[str] = None, **filters: str) -> Iterator[Dict[str, Json]]:
        """Follows what happens, from ``after`` or from now on, over restarts of the server, for ever.

        ``filters`` are ``job``, ``kind``, ``queue``, ``type`` and ``tag``. Each event has its place in ``pos``. An event
        of the type ``stream:gap`` says that events are no longer kept, ``stream:reset`` that the log is another one.
        """
        place = after
        while True:
            asked = {**filters, "waitMs": str(WAIT_MS), **({"after": place} if place is not None else {})}
            page = self.request("GET", f"/events?{urlencode(asked)}", tries=1_000_000)
            for word in ("reset", "gap"):
                if page.get(word) is not None:
                    yield {"type": f"stream:{word}", "data": page[word]}
            yield from page["events"]
            place = page["next"]

    def _once(self, method: str, path: str, body: Json, headers: Optional[Mapping[str, str]]) -> Json:
        parts = urlsplit(self._server)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = connect(parts.netloc, timeout=self._timeout_s)
        sent = {"Accept": "application/json", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, f"{parts.path}/api/v1{path}", data, sent)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{self._server} did not answer: {error}") from error
        finally:
            connection.close()
        return _read(response.status, response.reason, text, response.getheader("Retry-After"))


def _read(status: int, reason: str, text: bytes, retry_after: Optional[str]) -> Json:
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = None
    if status < 400:
        return body
    if not isinstance(body, dict):
        # Something between here and the server has answered.
        body = {"status": status, "code": "", "detail": reason, "retryable": status in (429, 502, 503, 504)}
        if retry_after is not None and retry_after.isdigit():
            body["retryAfterMs"] = int(retry_after) * 1000
    raise (LeaseLost if body.get("code") == "lease-lost" else Problem)(body)
