"""What can go wrong, as classes."""

from __future__ import annotations

from typing import Any, Mapping


class StepwellError(Exception):
    """Whatever goes wrong between here and the server."""


class Unreachable(StepwellError):
    """The server did not answer. What was asked may have been done or not: ask again."""


class Problem(StepwellError):
    """The server refused (RFC 9457). ``code`` is for programs, ``detail`` for people."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = dict(body)
        self.status: int = int(body.get("status", 0))
        self.code: str = str(body.get("code", ""))
        self.detail: str = str(body.get("detail") or body.get("title") or "")
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return bool(self.body.get("retryable"))


class LeaseLost(Problem):
    """The phase is not this worker's any more: stop it, and say nothing more about it."""


class JobFailed(StepwellError):
    """A job that was waited for has failed."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = dict(job)
        failure = job.get("failure") or {}
        super().__init__(str(failure.get("message", "the job has failed")))


class JobCancelled(StepwellError):
    """A job that was waited for was cancelled."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = dict(job)
        super().__init__("the job was cancelled")
