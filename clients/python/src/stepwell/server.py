"""Where the server is, and what requests and answers look like. Nothing here talks to it."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Optional
from urllib.parse import quote, urlsplit

from .errors import LeaseLost, Problem, StepwellError, Unreachable

Json = Any
PAUSE_S = 0.1
PAUSE_LONGEST_S = 2.0


class Request(NamedTuple):
    """A request as it goes out."""

    method: str
    target: str
    data: Optional[bytes]
    headers: Dict[str, str]


class Server:
    """A server, and what it is shown."""

    def __init__(self, url: Optional[str], token: Optional[str]) -> None:
        """They are those of ``STEPWELL_SERVER`` and ``STEPWELL_TOKEN`` unless given."""
        self.url = (url or os.environ.get("STEPWELL_SERVER") or "http://127.0.0.1:7717").rstrip("/")
        self._token = token or os.environ.get("STEPWELL_TOKEN") or ""
        self._parts = urlsplit(self.url)
        if self._parts.scheme not in ("http", "https"):
            raise StepwellError(f"the server {self.url!r} is no http:// or https:// address")

    @property
    def is_secure(self) -> bool:
        return self._parts.scheme == "https"

    @property
    def netloc(self) -> str:
        return self._parts.netloc

    @property
    def host(self) -> str:
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        return self._parts.port or (443 if self.is_secure else 80)

    def request(self, method: str, path: str, body: Json, headers: Optional[Mapping[str, str]]) -> Request:
        """A request for ``path`` below ``/api/v1``."""
        sent = {"Accept": "application/json", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            sent["Content-Type"] = "application/json"
        return Request(method, f"{self._parts.path}/api/v1{path}", data, sent)

    def unreachable(self, error: object) -> Unreachable:
        return Unreachable(f"{self.url} did not answer: {error}")


def read(status: int, reason: str, text: bytes, retry_after: Optional[str]) -> Json:
    """What an answer says. Raises ``Problem`` if it is a refusal."""
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


def job_path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


class Tries:
    """How often something is asked, and how long to wait in between."""

    def __init__(self, tries: int) -> None:
        self._left = max(1, tries)
        self._pause_s = PAUSE_S

    def after(self, error: StepwellError) -> float:
        """How many seconds to wait before asking again. Raises the error if that is of no use."""
        self._left -= 1
        if self._left == 0 or not is_worth_another_try(error):
            raise error
        pause_s = max(self._pause_s, wished_s(error))
        self._pause_s = min(self._pause_s * 2, PAUSE_LONGEST_S)
        return pause_s


def is_worth_another_try(error: StepwellError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, Unreachable) or (isinstance(error, Problem) and error.retryable)


def wished_s(error: StepwellError) -> float:
    """How long the server wants to be left alone."""
    return float(error.body.get("retryAfterMs", 0)) / 1000 if isinstance(error, Problem) else 0.0
