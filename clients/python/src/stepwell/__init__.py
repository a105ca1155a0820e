"""A client and a worker for Stepwell, a durable job queue."""

from .client import Client
from .errors import JobCancelled, JobFailed, LeaseLost, Problem, StepwellError, Unreachable
from .webhook import verify
from .wish import Permanent, RetryIn, Snooze
from .worker import Context, Worker

__all__ = [
    "Client",
    "Context",
    "JobCancelled",
    "JobFailed",
    "LeaseLost",
    "Permanent",
    "Problem",
    "RetryIn",
    "Snooze",
    "StepwellError",
    "Unreachable",
    "Worker",
    "verify",
]
