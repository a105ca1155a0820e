"""What a handler raises to say how its phase goes on."""

from __future__ import annotations


class Permanent(Exception):
    """Raise it where no further try can help."""


class RetryIn(Exception):
    """Raise it to be tried again after so many seconds."""

    def __init__(self, delay_s: float, message: str = "") -> None:
        super().__init__(message or f"to be tried again in {delay_s} s")
        self.delay_s = delay_s


class Snooze(Exception):
    """Raise it to run later, which is no failure."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"snoozed for {delay_s} s")
        self.delay_s = delay_s
