"""Run phases of jobs, with heartbeats on a thread of their own."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

from .client import Client
from .errors import LeaseLost, Problem, StepwellError, Unreachable

Json = Any
Handler = Callable[["Context"], Json]
log = logging.getLogger("stepwell")

# How long a claim waits for something to do.
WAIT_MS = 20_000
# A report must arrive: it is sent again for as long as the lease can hold, and longer does no harm.
REPORT_TRIES = 40
# How long a phase that was told to stop has to say so before the worker ends.
LISTEN_S = 1.0


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


class Context:
    """What a phase is given, and what it can say while it runs."""

    def __init__(self, client: Client, claim: Mapping[str, Json]) -> None:
        self._client = client
        self._lease = str(claim["lease"])
        job, phase = claim["job"], claim["phase"]
        self.job_id: str = job["id"]
        self.kind: str = job["kind"]
        self.queue: str = job["queue"]
        self.run: int = job["run"]
        self.payload: Json = job["payload"]
        self.phase: str = phase["name"]
        self.attempt: int = phase["attempt"]
        self.interrupted: bool = phase["interrupted"]
        self.checkpoint: Json = phase["checkpoint"]
        self.idempotency_key: str = phase["idempotencyKey"]
        self.outputs: Dict[str, Json] = phase["outputs"]
        self.cancelled = threading.Event()
        # Nothing more is said about what was lost, and what is given back has not failed.
        self._lost = False
        self._given_back = False

    def progress(self, done: int, total: int, note: Optional[str] = None) -> None:
        """Says how far the phase has got. What cannot be said now is not said: the phase goes on."""
        try:
            self._say("progress", {"done": done, "total": total, **({"note": note} if note else {})}, tries=1)
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
            return self._client.request("POST", f"/claims/{quote(self._lease, safe='')}/{verb}", body, tries=tries)
        except LeaseLost:
            self._lose()
            raise

    def _lose(self) -> None:
        self._lost = True
        self.cancelled.set()

    def _give_back(self) -> None:
        self._given_back = True
        self.cancelled.set()


class Worker:
    """Claims phases and runs them, until it is stopped."""

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
        self._handlers: Dict[str, Dict[str, Handler]] = {}
        self._inputs: Dict[str, Dict[str, List[str]]] = {}
        self._running: Dict[str, Context] = {}
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self._concurrency)
        self._stopping = threading.Event()
        self._terminated = threading.Event()
        self._ended = threading.Event()
        self._id = ""
        self._heartbeat_s = 10.0

    def phase(self, kind: str, name: str, inputs: Sequence[str] = ()) -> Callable[[Handler], Handler]:
        """Declares a phase of a kind, after those that were declared before. Its result is what the function returns."""

        def declare(handler: Handler) -> Handler:
            if name in self._handlers.setdefault(kind, {}):
                raise ValueError(f"the phase {name!r} of {kind!r} is declared twice")
            self._handlers[kind][name] = handler
            self._inputs.setdefault(kind, {})[name] = list(inputs)
            return handler

        return declare

    def stop(self) -> None:
        """Claims nothing more, and lets ``run`` end once the phases have. May be called from a signal handler."""
        self._stopping.set()

    def run(self, handle_signals: bool = True) -> None:
        """Works until ``stop``, SIGTERM or Ctrl-C. Phases have the grace to end; then they are given back."""
        if handle_signals and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        self._register()
        beats = threading.Thread(target=self._beat, name="stepwell-heartbeat", daemon=True)
        beats.start()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="stepwell-phase")
        try:
            self._work(pool)
        finally:
            self._drain()
            pool.shutdown(wait=False)
            self._ended.set()
            beats.join(self._heartbeat_s)
            self._leave()

    def _register(self) -> None:
        kinds = [
            {"kind": kind, "phases": [{"name": name, "inputs": self._inputs[kind][name]} for name in phases]}
            for kind, phases in self._handlers.items()
        ]
        new = {"name": self._name, "queues": self._queues, "kinds": kinds}
        answer = self._client.request("POST", "/workers", new)
        self._heartbeat_s = answer["heartbeatMs"] / 1000
        self._id = answer["id"]

    def _work(self, pool: ThreadPoolExecutor) -> None:
        while not self._stopping.is_set():
            if not self._free.acquire(timeout=0.2):
                continue
            slots = 1
            while slots < self._concurrency and self._free.acquire(blocking=False):
                slots += 1
            claims = self._claim(slots)
            for _ in range(slots - len(claims)):
                self._free.release()
            for claim in claims:
                cx = Context(self._client, claim)
                if self._stopping.is_set():
                    # It was on its way when the worker was stopped.
                    self._hand_back(cx)
                    continue
                self._track(cx)
                pool.submit(self._fly, cx)

    def _claim(self, slots: int) -> List[Mapping[str, Json]]:
        # While slots are taken, a short wait: one of them may become free, and with it more can be claimed.
        wait_ms = WAIT_MS if slots == self._concurrency else 1_000
        asked = {"workerId": self._id, "max": slots, "waitMs": wait_ms}
        key = str(uuid.uuid4())
        while not self._stopping.is_set():
            try:
                return self._client.request("POST", "/claims", asked, {"Idempotency-Key": key}, tries=1)["claims"]
            except Problem as problem:
                if problem.code == "not-found":
                    # It was taken for dead, or the server is another one: what it had is not its own any more.
                    self._give_up(self._held())
                    self._again(self._register)
                    asked["workerId"] = self._id
                    key = str(uuid.uuid4())
                elif problem.retryable:
                    self._stopping.wait(max(0.2, problem.body.get("retryAfterMs", 0) / 1000))
                else:
                    raise
            except Unreachable as error:
                log.warning("%s; trying again", error)
                self._stopping.wait(0.5)
        return []

    def _hand_back(self, cx: Context) -> None:
        try:
            cx._say("release", {}, tries=3)
        except StepwellError as error:
            log.warning("%s could not be given back now, and is with the end of the worker: %s", cx.job_id, error)
        finally:
            self._free.release()

    def _again(self, step: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                return step()
            except Unreachable as error:
                log.warning("%s; trying again", error)
            except Problem as problem:
                if not problem.retryable:
                    raise
            self._stopping.wait(0.5)

    def _fly(self, first: Context) -> None:
        cx: Optional[Context] = first
        try:
            while cx is not None:
                cx = self._phase(cx)
        except Exception:
            log.exception("a phase could not be reported on; its job runs again")
        finally:
            self._free.release()

    def _phase(self, cx: Context) -> Optional[Context]:
        """Runs one phase, and answers with the next one of the job if it is to go on with that."""
        try:
            verb, body = self._outcome(cx)
            if cx._lost:
                return None
            reported = self._report(cx, verb, body)
        except LeaseLost:
            log.warning("the lease of %s was lost; it runs elsewhere", cx.job_id)
            return None
        finally:
            self._untrack(cx)
        following = reported.get("next")
        if following is None:
            return None
        then = Context(self._client, following)
        self._track(then)
        return then

    def _report(self, cx: Context, verb: str, body: Json) -> Json:
        try:
            return cx._say(verb, body)
        except LeaseLost:
            raise
        except Problem as problem:
            if verb == "fail":
                raise
            # What the server cannot keep is the phase's mistake, and every further try would make it.
            failed = {"error": {"type": "Problem", "message": str(problem)}, "retry": "never"}
            return cx._say("fail", failed)

    def _outcome(self, cx: Context) -> "tuple[str, Json]":
        try:
            output = self._handlers[cx.kind][cx.phase](cx)
            try:
                json.dumps(output, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise Permanent(f"the result of {cx.phase!r} is no JSON: {error}") from error
            return "complete", {"output": output, "claimNext": not self._stopping.is_set()}
        except LeaseLost:
            raise
        except Snooze as snooze:
            return "snooze", {"delayMs": int(snooze.delay_s * 1000)}
        except Exception as error:
            if cx._given_back:
                return "release", {}
            failed: Dict[str, Json] = {
                "error": {"type": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
            }
            if isinstance(error, Permanent):
                failed["retry"] = "never"
            if isinstance(error, RetryIn):
                failed["afterMs"] = int(error.delay_s * 1000)
            return "fail", failed

    def _track(self, cx: Context) -> None:
        with self._lock:
            self._running[cx._lease] = cx

    def _untrack(self, cx: Context) -> None:
        with self._lock:
            self._running.pop(cx._lease, None)

    def _held(self) -> Dict[str, Context]:
        with self._lock:
            return dict(self._running)

    def _give_up(self, held: Mapping[str, Context]) -> None:
        """Stops what is not this worker's any more. Nobody is told of it again."""
        for cx in held.values():
            cx._lose()
            self._untrack(cx)

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            held = self._held()
            state = "quiet" if self._stopping.is_set() else "running"
            try:
                path = f"/workers/{self._id}/heartbeat"
                answer = self._client.request("POST", path, {"state": state, "leases": list(held)}, tries=1)
            except Problem as problem:
                if problem.code == "not-found":
                    self._give_up(held)
                log.warning("a heartbeat was refused: %s", problem)
                continue
            except StepwellError as error:
                log.warning("a heartbeat did not arrive: %s", error)
                continue
            self._obey(held, answer)

    def _obey(self, held: Mapping[str, Context], answer: Json) -> None:
        self._give_up({lease: held[lease] for lease in _standing(answer, "lost") if lease in held})
        for lease in _standing(answer, "cancel"):
            if lease in held:
                held[lease].cancelled.set()
        if answer["desired"] == "terminate":
            self._terminated.set()
        if answer["desired"] != "run":
            self.stop()

    def _drain(self) -> None:
        deadline = time.monotonic() + self._grace_s
        while self._held() and time.monotonic() < deadline and not self._terminated.is_set():
            time.sleep(0.02)
        for cx in self._held().values():
            cx._give_back()
        # Those that listen say so themselves; the others are given back with the end of the worker.
        deadline = time.monotonic() + LISTEN_S
        while self._held() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _leave(self) -> None:
        try:
            # What it still has is given back with that.
            self._client.request("DELETE", f"/workers/{self._id}", tries=3)
        except StepwellError as error:
            log.warning("the worker could not say that it ends: %s", error)


def _standing(answer: Json, status: str) -> List[str]:
    return [lease["lease"] for lease in answer["leases"] if lease["status"] == status]
