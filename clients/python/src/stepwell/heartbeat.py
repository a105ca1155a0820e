"""Heartbeats, on a thread of their own: whatever the handlers do, their leases are kept."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Optional, Set

from .client import Client
from .errors import Problem, StepwellError

Json = Any
log = logging.getLogger("stepwell")

# After one that did not arrive the next comes so much sooner: the lease ends with the third that is missing.
SOONER = 4


class Heartbeat:
    """Names the leases of everything that runs, again and again, and tells what the server says about them.

    ``on_lease`` is called with a lease and ``cancel`` or ``lost``, ``on_desired`` with ``run``, ``quiet`` or
    ``terminate`` when that is something else than before, and ``on_unknown`` with the id of a worker that the server
    does not know: all on this thread.
    """

    def __init__(
        self,
        client: Client,
        on_lease: Callable[[str, str], None],
        on_desired: Callable[[str], None],
        on_unknown: Callable[[str], None],
    ) -> None:
        self._client = client
        self._on_lease, self._on_desired, self._on_unknown = on_lease, on_desired, on_unknown
        # Its lock may be taken twice by one thread: a signal's handler may come in between.
        self._turn = threading.Condition()
        self._leases: Set[str] = set()
        self._worker_id: Optional[str] = None
        self._every_s = 10.0
        self._state = "running"
        self._desired: Optional[str] = None
        self._is_due = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="stepwell-heartbeat", daemon=True)

    def begin(self, worker_id: str, every_s: float) -> None:
        """Keeps this worker alive from now on, in place of the one before."""
        with self._turn:
            self._worker_id, self._every_s = worker_id, every_s
            self._desired = None
            self._wake()
            if not self._thread.ident:
                self._thread.start()

    def hold(self, lease: str) -> None:
        """A phase runs under this lease from now on."""
        with self._turn:
            self._leases.add(lease)

    def drop(self, lease: str) -> None:
        """It runs no more."""
        with self._turn:
            self._leases.discard(lease)

    def say(self, state: str) -> None:
        """Whether anything is claimed: ``running`` or ``quiet``.

        The server is told at once, so that a claim which waits is answered.
        """
        with self._turn:
            if state != self._state:
                self._state = state
                self._wake()

    def end(self) -> None:
        with self._turn:
            self._ended = True
            self._wake()
        if self._thread.ident:
            self._thread.join(self._every_s)

    def _wake(self) -> None:
        self._is_due = True
        self._turn.notify_all()

    def _run(self) -> None:
        after_s = 0.0
        while self._is_next(after_s):
            arrived = self._beat()
            after_s = self._every_s if arrived else self._every_s / SOONER

    def _is_next(self, after_s: float) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._is_due or self._ended, after_s)
            self._is_due = False
            return not self._ended

    def _beat(self) -> bool:
        """Answers whether it arrived."""
        with self._turn:
            worker_id, body = self._worker_id, {"state": self._state, "leases": list(self._leases)}
        if worker_id is None:
            return True
        try:
            path = f"/workers/{worker_id}/heartbeat"
            answer = self._client.request("POST", path, body, tries=1, timeout_s=self._every_s)
        except StepwellError as error:
            if isinstance(error, Problem) and error.code == "not-found":
                # It cannot come back: the worker registers anew.
                with self._turn:
                    self._worker_id = None if self._worker_id == worker_id else self._worker_id
                self._on_unknown(worker_id)
                return True
            log.warning("a heartbeat did not arrive: %s", error)
            return False
        for lease in answer["leases"]:
            if lease["status"] != "held":
                self._on_lease(lease["lease"], lease["status"])
        with self._turn:
            is_news = self._worker_id == worker_id and answer["desired"] != self._desired
            self._desired = answer["desired"] if is_news else self._desired
        if is_news:
            self._on_desired(answer["desired"])
        return True
