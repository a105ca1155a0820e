"""Waiting for the end of a job, one request after the other."""

from __future__ import annotations

import time
from typing import Any, Mapping, Optional

from .errors import JobCancelled, JobFailed
from .server import job_path

# The longest that one request waits. The server allows 30 s.
WAIT_MS = 25_000


class Waiting:
    """What to ask next, and whether that was the end."""

    def __init__(self, job_id: str, timeout_s: Optional[float]) -> None:
        self._job_id = job_id
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def path(self) -> str:
        left_ms = WAIT_MS if self._deadline is None else int((self._deadline - time.monotonic()) * 1000)
        return f"{job_path(self._job_id)}?waitMs={max(0, min(WAIT_MS, left_ms))}"

    def is_over(self, job: Mapping[str, Any]) -> bool:
        """Raises ``JobFailed``, ``JobCancelled``, or ``TimeoutError``."""
        if job["state"] == "failed":
            raise JobFailed(job)
        if job["state"] == "cancelled":
            raise JobCancelled(job)
        if job["state"] == "completed":
            return True
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimeoutError(f"job {self._job_id} has not ended after {self._timeout_s} s")
        return False
