"""What is said at the end of a phase."""

from __future__ import annotations

import json
import traceback
from typing import Any, Dict, NamedTuple

from .claim import Claim
from .errors import LeaseLost, Problem
from .wish import Permanent, RetryIn, Snooze

Json = Any


class Outcome(NamedTuple):
    """A report."""

    verb: str
    body: Json


def completed(cx: Claim, output: Json, claim_next: bool) -> Outcome:
    """Raises ``Permanent`` if the output is no JSON."""
    try:
        json.dumps(output, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Permanent(f"the result of {cx.phase!r} is no JSON: {error}") from error
    return Outcome("complete", {"output": output, "claimNext": claim_next})


def raised(cx: Claim, error: BaseException) -> Outcome:
    """What has come of a phase that has raised this. A lost lease is raised again: there is nothing to say."""
    if isinstance(error, LeaseLost):
        raise error
    if cx.why is not None:
        # It stopped because it was asked to.
        return released()
    if isinstance(error, Snooze):
        return Outcome("snooze", {"delayMs": int(error.delay_s * 1000)})
    stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    failed: Dict[str, Json] = {"error": {"type": type(error).__name__, "message": str(error), "stack": stack}}
    if isinstance(error, Permanent):
        failed["retry"] = "never"
    if isinstance(error, RetryIn):
        failed["afterMs"] = int(error.delay_s * 1000)
    return Outcome("fail", failed)


def released() -> Outcome:
    return Outcome("release", {})


def refused(outcome: Outcome, problem: Problem) -> Outcome:
    """What is said instead. What the server cannot keep is the phase's mistake, and every further try would make it."""
    if outcome.verb == "fail" or isinstance(problem, LeaseLost):
        raise problem
    return Outcome("fail", {"error": {"type": "Problem", "message": str(problem)}, "retry": "never"})
