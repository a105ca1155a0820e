"""Run phases of jobs, on threads."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, TypeVar

from .claim import REPORT_TRIES, Claim, progress_of
from .client import Client
from .errors import LeaseLost, Problem, StepwellError
from .heartbeat import Heartbeat
from .outcome import Outcome, completed, raised, refused, released
from .phases import Phases
from .server import is_worth_another_try, wished_s

Json = Any
Handler = Callable[["Context"], Json]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
log = logging.getLogger("stepwell")

# How long a claim waits for something to do; and the same while phases run, of which one may end and leave room for
# more.
WAIT_MS = 20_000
WAIT_SHORT_MS = 1_000
# Between two tries of something that the server cannot do now.
PAUSE_S = 0.5
# How often somebody who waits looks for himself. A signal may come in the moment before he waits.
LOOK_S = 0.2
# What phases have to say after they were told to stop.
LAST_WORDS_S = 1.0


class Context(Claim):
    """What a phase is given, and what it can say while it runs.

    ``cancelled`` is set when the phase should stop, and ``why`` says why.
    """

    def __init__(self, client: Client, claim: Mapping[str, Json]) -> None:
        super().__init__(claim)
        self._client = client
        self.cancelled = threading.Event()

    def progress(self, done: int, total: int, note: Optional[str] = None) -> None:
        """Says how far the phase has got. What cannot be said now is not said: the phase goes on."""
        try:
            self._say("progress", progress_of(done, total, note), tries=1)
        except LeaseLost:
            raise
        except StepwellError as error:
            log.warning("progress of %s could not be told: %s", self.job_id, error)

    def log(self, *lines: str) -> None:
        """Adds lines to the job's log."""
        self._say("logs", {"lines": list(lines)})

    def save_checkpoint(self, value: Json) -> None:
        """Stores durably how far the phase has got. The next try is given it as ``checkpoint``."""
        self._say("checkpoint", {"value": value})
        self.checkpoint = value

    def _say(self, verb: str, body: Json, tries: int = REPORT_TRIES) -> Json:
        try:
            return self._client.request("POST", self._path(verb), body, tries=tries)
        except LeaseLost:
            self._stop("lost")
            raise

    def _stop(self, why: str) -> None:
        super()._stop(why)
        self.cancelled.set()


class Worker:
    """Claims phases and runs them on threads, until it is stopped."""

    def __init__(
        self,
        client: Optional[Client] = None,
        queues: Sequence[str] = ("default",),
        name: Optional[str] = None,
        concurrency: int = 4,
        grace_s: float = 10.0,
    ) -> None:
        self._client = client or Client()
        self._queues = list(queues)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._concurrency = max(1, concurrency)
        self._grace_s = grace_s
        self._phases: Phases[Handler] = Phases()
        # Its lock may be taken twice by one thread: a signal's handler may come in between.
        self._turn = threading.Condition()
        self._is_quiet = False
        # By an operator.
        self._is_held_back = False
        self._end: Optional[str] = None
        self._held: Dict[str, Context] = {}
        self._flying = 0
        self._id = ""
        self._heartbeat = Heartbeat(self._client, self._hear, self._hear_desired, self._hear_unknown)

    def phase(self, kind: str, name: str, inputs: Sequence[str] = ()) -> Callable[[AnyHandler], AnyHandler]:
        """Declares a phase of a kind, after those that were declared before.

        Its result is what the function returns.
        """

        def declare(handler: AnyHandler) -> AnyHandler:
            self._phases.declare(kind, name, inputs, handler)
            return handler

        return declare

    def quiet(self) -> None:
        """Claims nothing more, until ``resume``. Phases go on to their ends, and the worker stays."""
        self._is_quiet = True
        self._change()

    def resume(self) -> None:
        """Claims again, unless an operator wants it to be quiet, or it was stopped."""
        self._is_quiet = False
        self._change()

    def stop(self) -> None:
        """Claims nothing more, gives phases the grace to end, and lets ``run`` end.

        It may be called by a signal's handler.
        """
        self._end = self._end or "stop"
        self._change()

    def terminate(self) -> None:
        """Tells all phases to stop at once, gives back those that do not, and lets ``run`` end."""
        self._end = "terminate"
        self._change()

    def run(self, handle_signals: bool = True) -> None:
        """Works until ``stop``, SIGTERM or Ctrl-C. A second signal ends the grace.

        Phases have the grace to end; then they are told to stop, and given back without a try spent.
        """
        if handle_signals and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.terminate() if self._is_ending() else self.stop())
        self._register()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="stepwell-phase")
        try:
            self._work(pool)
        finally:
            self.stop()
            self._drain()
            pool.shutdown(wait=False)
            self._heartbeat.end()
            self._leave()

    def _change(self) -> None:
        """What is wanted of it is something else."""
        self._heartbeat.say("running" if self._claims() else "quiet")
        with self._turn:
            self._turn.notify_all()

    def _claims(self) -> bool:
        return self._end is None and not self._is_quiet and not self._is_held_back

    def _hear_desired(self, desired: str) -> None:
        if desired == "terminate":
            self.stop()
        self._is_held_back = desired == "quiet"
        self._change()

    def _is_ending(self) -> bool:
        return self._end is not None

    def _wait(self, is_so: Callable[[], bool], timeout_s: Optional[float] = None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._turn:
            while not is_so() and (deadline is None or time.monotonic() < deadline):
                self._turn.wait(LOOK_S if deadline is None else min(LOOK_S, max(0.0, deadline - time.monotonic())))

    def _register(self) -> None:
        new = {"name": self._name, "queues": self._queues, "kinds": self._phases.kinds()}
        answer = self._client.request("POST", "/workers", new)
        self._id = answer["id"]
        self._heartbeat.begin(self._id, answer["heartbeatMs"] / 1000)

    def _work(self, pool: ThreadPoolExecutor) -> None:
        while not self._is_ending():
            self._wait(lambda: self._is_ending() or (self._claims() and self._flying < self._concurrency))
            free = self._concurrency - self._flying
            if not self._claims() or free == 0:
                continue
            asked = time.monotonic()
            claims = self._claim(free)
            if not claims and time.monotonic() - asked < PAUSE_S:
                # The server does not let it wait, as one that ends does.
                self._wait(self._is_ending, PAUSE_S)
            for claim in claims:
                cx = self._hold(claim)
                with self._turn:
                    self._flying += 1
                # It may have been on its way when the worker was told to claim nothing more.
                pool.submit(self._fly if self._claims() else self._give_back, cx)

    def _claim(self, slots: int) -> List[Mapping[str, Json]]:
        wait_ms = WAIT_MS if slots == self._concurrency else WAIT_SHORT_MS
        key = str(uuid.uuid4())
        while self._claims():
            asked = {"workerId": self._id, "max": slots, "waitMs": wait_ms}
            try:
                answer = self._client.request("POST", "/claims", asked, {"Idempotency-Key": key}, tries=1)
                claims: List[Mapping[str, Json]] = answer["claims"]
                return claims
            except StepwellError as error:
                if isinstance(error, Problem) and error.code == "not-found":
                    # It was taken for dead, or the server is another one: what it had is not its own any more.
                    self._lose_all()
                    self._register_again()
                    key = str(uuid.uuid4())
                    continue
                self._bear_with(error)
        return []

    def _register_again(self) -> None:
        while self._claims():
            try:
                return self._register()
            except StepwellError as error:
                self._bear_with(error)

    def _bear_with(self, error: StepwellError) -> None:
        """Waits a moment, if the same may succeed later."""
        if not is_worth_another_try(error):
            raise error
        log.warning("%s; trying again", error)
        self._wait(self._is_ending, max(PAUSE_S, wished_s(error)))

    def _fly(self, first: Context) -> None:
        """Runs a phase, and those of the job that follow it here."""
        cx: Optional[Context] = first
        try:
            while cx is not None:
                cx = self._run_phase(cx)
        except Exception:
            log.exception("a phase could not be reported on; its job runs again")
        finally:
            self._land()

    def _give_back(self, cx: Context) -> None:
        try:
            cx._say(*released(), tries=3)
        except StepwellError as error:
            log.warning("%s could not be given back now, and is with the end of the worker: %s", cx.job_id, error)
        finally:
            self._drop(cx)
            self._land()

    def _land(self) -> None:
        with self._turn:
            self._flying -= 1
            self._turn.notify_all()

    def _run_phase(self, cx: Context) -> Optional[Context]:
        """Answers with the next phase of the job, if it is to go on with that."""
        try:
            following = self._report(cx, self._outcome(cx))["next"]
            return None if following is None else self._hold(following)
        except LeaseLost:
            log.warning("the lease of %s was lost; it runs elsewhere", cx.job_id)
            return None
        finally:
            self._drop(cx)

    def _outcome(self, cx: Context) -> Outcome:
        try:
            output = self._phases.handler(cx.kind, cx.phase)(cx)
            return completed(cx, output, self._claims())
        except Exception as error:
            return raised(cx, error)

    def _report(self, cx: Context, outcome: Outcome) -> Json:
        try:
            return cx._say(*outcome)
        except Problem as problem:
            return cx._say(*refused(outcome, problem))

    def _hold(self, claim: Mapping[str, Json]) -> Context:
        cx = Context(self._client, claim)
        with self._turn:
            self._held[cx._lease] = cx
        self._heartbeat.hold(cx._lease)
        return cx

    def _drop(self, cx: Context) -> None:
        with self._turn:
            self._held.pop(cx._lease, None)
        self._heartbeat.drop(cx._lease)

    def _all_held(self) -> List[Context]:
        with self._turn:
            return list(self._held.values())

    def _lose(self, cx: Context) -> None:
        """Stops what is not this worker's any more, and names it no more."""
        cx._stop("lost")
        self._heartbeat.drop(cx._lease)

    def _lose_all(self) -> None:
        for cx in self._all_held():
            self._lose(cx)

    def _hear(self, lease: str, status: str) -> None:
        with self._turn:
            cx = self._held.get(lease)
        if cx is None:
            return
        if status == "cancel":
            cx._stop("cancelled")
        else:
            self._lose(cx)

    def _hear_unknown(self, worker_id: str) -> None:
        if worker_id == self._id:
            self._lose_all()
            # What an operator wanted is as unknown: its next claim has it registered anew.
            self._is_held_back = False
            self._change()

    def _drain(self) -> None:
        self._wait(lambda: self._flying == 0 or self._end == "terminate", self._grace_s)
        for cx in self._all_held():
            cx._stop("ending")
        # Those that listen say so themselves; the others are given back with the end of the worker.
        self._wait(lambda: self._flying == 0, LAST_WORDS_S)

    def _leave(self) -> None:
        try:
            self._client.request("DELETE", f"/workers/{self._id}", tries=3)
        except StepwellError as error:
            # Said before, with an answer that was lost, it is known no more.
            if not (isinstance(error, Problem) and error.code == "not-found"):
                log.warning("the worker could not say that it ends: %s", error)
