"""Run phases of jobs, as tasks of an event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import socket
import time
import uuid
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Sequence, TypeVar

from ..claim import REPORT_TRIES, Claim, progress_of
from ..errors import LeaseLost, Problem, StepwellError
from ..heartbeat import Heartbeat
from ..outcome import Outcome, completed, raised, refused, released
from ..phases import Phases
from ..server import is_worth_another_try, wished_s
from ..worker import LAST_WORDS_S, PAUSE_S, WAIT_MS, WAIT_SHORT_MS
from .client import AsyncClient

Json = Any
Handler = Callable[["AsyncContext"], Awaitable[Json]]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
log = logging.getLogger("stepwell")

# How long a claim under way may still take once nothing more is wanted. The server answers it within a second.
CLAIM_PATIENCE_S = 2.0


class AsyncContext(Claim):
    """What a phase is given, and what it can say while it runs.

    A phase that should stop is cancelled, as asyncio does it, and ``why`` says why.
    """

    def __init__(self, client: AsyncClient, claim: Mapping[str, Json]) -> None:
        super().__init__(claim)
        self._client = client
        self._task: Optional["asyncio.Future[Json]"] = None

    async def progress(self, done: int, total: int, note: Optional[str] = None) -> None:
        """Says how far the phase has got. What cannot be said now is not said: the phase goes on."""
        try:
            await self._say("progress", progress_of(done, total, note), tries=1)
        except LeaseLost:
            raise
        except StepwellError as error:
            log.warning("progress of %s could not be told: %s", self.job_id, error)

    async def log(self, *lines: str) -> None:
        """Adds lines to the job's log."""
        await self._say("logs", {"lines": list(lines)})

    async def save_checkpoint(self, value: Json) -> None:
        """Stores durably how far the phase has got. The next try is given it as ``checkpoint``."""
        await self._say("checkpoint", {"value": value})
        self.checkpoint = value

    async def _say(self, verb: str, body: Json, tries: int = REPORT_TRIES) -> Json:
        try:
            return await self._client.request("POST", self._path(verb), body, tries=tries)
        except LeaseLost:
            super()._stop("lost")
            raise

    def _stop(self, why: str) -> None:
        is_first = self._why is None
        super()._stop(why)
        if self._task is not None and is_first:
            self._task.cancel()


class AsyncWorker:
    """Claims phases and runs them as tasks, until it is stopped.

    Heartbeats are sent from a thread: a handler that blocks the loop keeps its lease, although nothing else runs
    meanwhile.
    """

    def __init__(
        self,
        client: Optional[AsyncClient] = None,
        queues: Sequence[str] = ("default",),
        name: Optional[str] = None,
        concurrency: int = 16,
        grace_s: float = 10.0,
    ) -> None:
        self._client = client or AsyncClient()
        self._queues = list(queues)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._concurrency = max(1, concurrency)
        self._grace_s = grace_s
        self._phases: Phases[Handler] = Phases()
        self._is_quiet = False
        # By an operator.
        self._is_held_back = False
        self._end: Optional[str] = None
        self._held: Dict[str, AsyncContext] = {}
        self._flights: "set[asyncio.Task[None]]" = set()
        self._id = ""
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._turn: "Optional[asyncio.Future[None]]" = None
        self._heartbeat = Heartbeat(
            self._client._blocking,
            lambda lease, status: self._in_loop(self._hear, lease, status),
            lambda desired: self._in_loop(self._hear_desired, desired),
            lambda worker_id: self._in_loop(self._hear_unknown, worker_id),
        )

    def phase(self, kind: str, name: str, inputs: Sequence[str] = ()) -> Callable[[AnyHandler], AnyHandler]:
        """Declares a phase of a kind, after those that were declared before.

        Its result is what the coroutine returns.
        """

        def declare(handler: AnyHandler) -> AnyHandler:
            is_coroutine: bool = inspect.iscoroutinefunction(handler)
            if not is_coroutine:
                raise TypeError(f"the handler of {name!r} is no coroutine function; a Worker runs it on a thread")
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

        It is called in the loop; from elsewhere, by its ``call_soon_threadsafe``.
        """
        self._end = self._end or "stop"
        self._change()

    def terminate(self) -> None:
        """Cancels all phases at once, gives back those that do not end, and lets ``run`` end."""
        self._end = "terminate"
        self._change()

    async def run(self, handle_signals: bool = True) -> None:
        """Works until ``stop``, SIGTERM or Ctrl-C. A second signal ends the grace, and so does cancelling it.

        Phases have the grace to end; then they are cancelled, and given back without a try spent.
        """
        self._loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if handle_signals else ()
        for number in signals:
            self._loop.add_signal_handler(number, self._signalled)
        try:
            await self._register()
            try:
                await self._work()
            except asyncio.CancelledError:
                self.terminate()
                raise
            finally:
                self.stop()
                await self._drain()
                await asyncio.get_running_loop().run_in_executor(None, self._heartbeat.end)
                await self._leave()
        finally:
            for number in signals:
                self._loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        if self._is_ending():
            self.terminate()
        else:
            self.stop()

    def _in_loop(self, step: Callable[..., None], *words: str) -> None:
        """Of the heartbeats' thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(step, *words)

    def _change(self) -> None:
        """What is wanted of it is something else."""
        self._heartbeat.say("running" if self._claims() else "quiet")
        self._ring()

    def _claims(self) -> bool:
        return self._end is None and not self._is_quiet and not self._is_held_back

    def _hear_desired(self, desired: str) -> None:
        if desired == "terminate":
            self.stop()
        self._is_held_back = desired == "quiet"
        self._change()

    def _is_ending(self) -> bool:
        return self._end is not None

    def _ring(self) -> None:
        """Something has changed."""
        turn, self._turn = self._turn, None
        if turn is not None and not turn.done():
            turn.set_result(None)

    async def _wait(self, is_so: Callable[[], bool], timeout_s: Optional[float] = None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while not is_so():
            left_s = None if deadline is None else deadline - loop.time()
            if left_s is not None and left_s <= 0:
                return
            self._turn = self._turn or loop.create_future()
            await asyncio.wait([self._turn], timeout=left_s)

    async def _register(self) -> None:
        new = {"name": self._name, "queues": self._queues, "kinds": self._phases.kinds()}
        answer = await self._client.request("POST", "/workers", new)
        self._id = answer["id"]
        self._heartbeat.begin(self._id, answer["heartbeatMs"] / 1000)

    async def _work(self) -> None:
        while not self._is_ending():
            await self._wait(lambda: self._is_ending() or (self._claims() and len(self._flights) < self._concurrency))
            free = self._concurrency - len(self._flights)
            if not self._claims() or free == 0:
                continue
            asked = time.monotonic()
            claims = await self._claimed(free)
            if not claims and time.monotonic() - asked < PAUSE_S:
                # The server does not let it wait, as one that ends does.
                await self._wait(self._is_ending, PAUSE_S)
            for claim in claims:
                cx = self._hold(claim)
                # It may have been on its way when the worker was told to claim nothing more.
                step = self._fly if self._claims() else self._give_back
                flight = asyncio.create_task(step(cx))
                self._flights.add(flight)
                flight.add_done_callback(self._landed)

    async def _claimed(self, slots: int) -> List[Mapping[str, Json]]:
        """What there is to do. Once nothing more is wanted, it is not waited for much longer."""
        claim = asyncio.create_task(self._claim(slots))
        claim.add_done_callback(lambda _: self._ring())
        try:
            await self._wait(lambda: claim.done() or not self._claims())
            await asyncio.wait([claim], timeout=CLAIM_PATIENCE_S)
            return claim.result() if claim.done() else []
        finally:
            claim.cancel()

    async def _claim(self, slots: int) -> List[Mapping[str, Json]]:
        wait_ms = WAIT_MS if slots == self._concurrency else WAIT_SHORT_MS
        key = str(uuid.uuid4())
        while self._claims():
            asked = {"workerId": self._id, "max": slots, "waitMs": wait_ms}
            try:
                answer = await self._client.request("POST", "/claims", asked, {"Idempotency-Key": key}, tries=1)
                claims: List[Mapping[str, Json]] = answer["claims"]
                return claims
            except StepwellError as error:
                if isinstance(error, Problem) and error.code == "not-found":
                    # It was taken for dead, or the server is another one: what it had is not its own any more.
                    self._lose_all()
                    await self._register_again()
                    key = str(uuid.uuid4())
                    continue
                await self._bear_with(error)
        return []

    async def _register_again(self) -> None:
        while self._claims():
            try:
                return await self._register()
            except StepwellError as error:
                await self._bear_with(error)

    async def _bear_with(self, error: StepwellError) -> None:
        """Waits a moment, if the same may succeed later."""
        if not is_worth_another_try(error):
            raise error
        log.warning("%s; trying again", error)
        await self._wait(self._is_ending, max(PAUSE_S, wished_s(error)))

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flights.discard(flight)
        self._ring()

    async def _fly(self, first: AsyncContext) -> None:
        """Runs a phase, and those of the job that follow it here."""
        cx: Optional[AsyncContext] = first
        try:
            while cx is not None:
                cx = await self._run_phase(cx)
        except Exception:
            log.exception("a phase could not be reported on; its job runs again")

    async def _give_back(self, cx: AsyncContext) -> None:
        try:
            await cx._say(*released(), tries=3)
        except StepwellError as error:
            log.warning("%s could not be given back now, and is with the end of the worker: %s", cx.job_id, error)
        finally:
            self._drop(cx)

    async def _run_phase(self, cx: AsyncContext) -> Optional[AsyncContext]:
        """Answers with the next phase of the job, if it is to go on with that."""
        try:
            following = (await self._report(cx, await self._outcome(cx)))["next"]
            return None if following is None else self._hold(following)
        except LeaseLost:
            log.warning("the lease of %s was lost; it runs elsewhere", cx.job_id)
            return None
        finally:
            self._drop(cx)

    async def _outcome(self, cx: AsyncContext) -> Outcome:
        # A task of its own, so that it can be cancelled without what reports on it.
        cx._task = asyncio.ensure_future(self._phases.handler(cx.kind, cx.phase)(cx))
        if cx.why is not None:
            cx._task.cancel()
        try:
            return completed(cx, await cx._task, self._claims())
        except asyncio.CancelledError as error:
            if not cx._task.cancelled():
                raise
            return raised(cx, error)
        except Exception as error:
            return raised(cx, error)

    async def _report(self, cx: AsyncContext, outcome: Outcome) -> Json:
        try:
            return await cx._say(*outcome)
        except Problem as problem:
            return await cx._say(*refused(outcome, problem))

    def _hold(self, claim: Mapping[str, Json]) -> AsyncContext:
        cx = AsyncContext(self._client, claim)
        self._held[cx._lease] = cx
        self._heartbeat.hold(cx._lease)
        return cx

    def _drop(self, cx: AsyncContext) -> None:
        self._held.pop(cx._lease, None)
        self._heartbeat.drop(cx._lease)

    def _lose(self, cx: AsyncContext) -> None:
        """Stops what is not this worker's any more, and names it no more."""
        cx._stop("lost")
        self._heartbeat.drop(cx._lease)

    def _lose_all(self) -> None:
        for cx in list(self._held.values()):
            self._lose(cx)

    def _hear(self, lease: str, status: str) -> None:
        cx = self._held.get(lease)
        if cx is not None and status == "cancel":
            cx._stop("cancelled")
        elif cx is not None:
            self._lose(cx)

    def _hear_unknown(self, worker_id: str) -> None:
        if worker_id == self._id:
            self._lose_all()
            # What an operator wanted is as unknown: its next claim has it registered anew.
            self._is_held_back = False
            self._change()

    async def _drain(self) -> None:
        await self._wait(lambda: not self._flights or self._end == "terminate", self._grace_s)
        for cx in list(self._held.values()):
            cx._stop("ending")
        # Those that listen say so themselves; the others are given back with the end of the worker.
        await self._wait(lambda: not self._flights, LAST_WORDS_S)

    async def _leave(self) -> None:
        try:
            await self._client.request("DELETE", f"/workers/{self._id}", tries=3)
        except StepwellError as error:
            # Said before, with an answer that was lost, it is known no more.
            if not (isinstance(error, Problem) and error.code == "not-found"):
                log.warning("the worker could not say that it ends: %s", error)
