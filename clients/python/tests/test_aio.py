"""The client and the worker for asyncio against a real server, whose address is in STEPWELL_SERVER."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path
from typing import Any, AsyncIterator, Callable

from passage import SERVER, Passage, unique
from stepwell import Client, JobCancelled, JobFailed, Permanent, Problem, RetryIn, Snooze, Unreachable
from stepwell.aio import AsyncClient, AsyncWorker


@contextlib.asynccontextmanager
async def running(worker: AsyncWorker) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(worker.run(handle_signals=False))
    try:
        yield task
    finally:
        worker.stop()
        await asyncio.wait_for(task, 60)


async def until(look: Callable[[], Any]) -> None:
    """Waits until something is so, by looking again and again."""
    while not look():
        await asyncio.sleep(0.01)


class AsyncClients(unittest.IsolatedAsyncioTestCase):
    async def test_a_job_is_enqueued_once_however_often_it_is_asked_for(self) -> None:
        client, key = AsyncClient(SERVER), unique("key")
        first = await client.enqueue("demo.steps", {}, idempotency_key=key)
        self.assertEqual(await client.enqueue("demo.steps", {}, idempotency_key=key), first)
        self.assertEqual((await client.wait(first, 60))["state"], "completed")
        with self.assertRaises(Problem) as refused:
            await client.enqueue("demo.steps", {"other": 1}, idempotency_key=key)
        self.assertEqual(refused.exception.code, "idempotency-mismatch")

    async def test_failures_are_exceptions(self) -> None:
        client = AsyncClient(SERVER)
        failed = await client.enqueue("demo.steps", {"fails": True})
        with self.assertRaisesRegex(JobFailed, "told to fail"):
            await client.wait(failed, 60)
        await client.retry(failed, from_start=True)
        with self.assertRaises(JobFailed):
            await client.wait(failed, 60)
        self.assertEqual((await client.job(failed))["run"], 2)
        job = await client.enqueue("demo.steps", {}, delayMs=3_600_000)
        with self.assertRaises(TimeoutError):
            await client.wait(job, 0.1)
        self.assertEqual(await client.cancel(job), "cancelled")
        with self.assertRaises(JobCancelled):
            await client.wait(job, 60)
        with self.assertRaises(Problem):
            await client.job(str(uuid.uuid4()))
        with self.assertRaises(Unreachable):
            await AsyncClient("http://127.0.0.1:9", tries=2).job(job)
        with self.assertRaises(ValueError):
            await client.enqueue("demo.steps", {}, idempotency_key="a\r\nhost: elsewhere")

    async def test_events_come_in_order_and_go_on_where_they_stood(self) -> None:
        client, kind = AsyncClient(SERVER), unique("kind")
        await client.cancel(await client.enqueue(kind, {}))
        following = client.events(after="0", kind=kind)
        events = [await following.__anext__(), await following.__anext__()]
        self.assertEqual([event["type"] for event in events], ["job:enqueued", "job:cancelled"])
        later = await client.enqueue(kind, {})
        self.assertEqual((await following.__anext__())["jobId"], later)
        async for event in client.events(after=events[0]["place"], kind=kind):
            self.assertEqual(event, events[1])
            break
        async for event in client.events(after="another-log-7"):
            self.assertEqual(event["type"], "stream:reset")
            break

    async def test_many_wait_at_once_and_hold_nobody_up(self) -> None:
        client, queue = AsyncClient(SERVER), unique("queue")
        jobs = [await client.enqueue("nobody's", n, queue=queue) for n in range(60)]
        waits = [asyncio.create_task(client.wait(job)) for job in jobs]
        for job in jobs:
            await client.cancel(job)
        ends = await asyncio.gather(*waits, return_exceptions=True)
        self.assertTrue(all(isinstance(end, JobCancelled) for end in ends), ends)
        page = await client.jobs(queue=queue, state="cancelled", limit=100)
        self.assertEqual(len(page["data"]), 60)


class AsyncWorkers(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.client, self.queue, self.kind = AsyncClient(SERVER), unique("queue"), unique("kind")

    def worker(self, server: str = SERVER, **options: Any) -> AsyncWorker:
        return AsyncWorker(AsyncClient(server), queues=[self.queue], **{"grace_s": 5, **options})

    def passage(self, **options: Any) -> Passage:
        passage = Passage(**options)
        self.addCleanup(passage.close)
        return passage

    async def enqueue(self, payload: object = None) -> str:
        return await self.client.enqueue(self.kind, payload, queue=self.queue)

    async def test_a_job_goes_through_its_phases_with_a_checkpoint_in_between(self) -> None:
        worker = self.worker()

        @worker.phase(self.kind, "fetch")
        async def fetch(cx):
            if cx.attempt == 1:
                await cx.progress(1, 2, "half")
                await cx.log("one", "two")
                await cx.save_checkpoint({"page": 3})
                raise RetryIn(0.01, "not yet")
            return {"from": cx.checkpoint, "key": len(cx.idempotency_key) > 0}

        @worker.phase(self.kind, "count", inputs=["fetch"])
        async def count(cx):
            return {"payload": cx.payload, "fetched": cx.outputs["fetch"]}

        async with running(worker):
            job = await self.client.wait(await self.enqueue({"n": 1}), 60)
        self.assertEqual(job["result"], {"payload": {"n": 1}, "fetched": {"from": {"page": 3}, "key": True}})
        self.assertEqual([phase["tries"] for phase in job["phases"]], [2, 1])

    async def test_what_a_phase_raises_decides(self) -> None:
        worker = self.worker()

        @worker.phase(self.kind, "only")
        async def only(cx):
            if cx.payload == "snooze" and not cx.checkpoint:
                await cx.save_checkpoint(True)
                raise Snooze(0.01)
            if cx.payload == "permanent":
                raise Permanent("never again")
            if cx.payload == "no json":
                return {1, 2}
            return cx.attempt

        with self.assertRaises(TypeError):
            worker.phase(self.kind, "no coroutine")(lambda cx: None)
        async with running(worker):
            self.assertEqual((await self.client.wait(await self.enqueue("snooze"), 60))["result"], 1)
            for payload, words in (("permanent", "never again"), ("no json", "is no JSON")):
                with self.assertRaisesRegex(JobFailed, words):
                    await self.client.wait(await self.enqueue(payload), 60)

    async def test_a_stopped_worker_ends_its_phase_and_takes_no_other(self) -> None:
        worker, begun, may_end = self.worker(), asyncio.Event(), asyncio.Event()

        @worker.phase(self.kind, "only")
        async def only(cx):
            begun.set()
            await may_end.wait()
            return "done"

        async with running(worker):
            first = await self.enqueue()
            await begun.wait()
            worker.stop()
            second = await self.enqueue()
            may_end.set()
        self.assertEqual((await self.client.wait(first, 60))["result"], "done")
        self.assertEqual((await self.client.job(second))["state"], "pending")

    async def test_after_the_grace_a_phase_is_cancelled_and_given_back_without_a_try_spent(self) -> None:
        worker, begun, whys = self.worker(grace_s=0), asyncio.Event(), []

        @worker.phase(self.kind, "only")
        async def only(cx):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                whys.append(cx.why)

        async with running(worker):
            job = await self.enqueue()
            await begun.wait()
        self.assertEqual(whys, ["ending"])
        phase = (await self.client.job(job))["phases"][0]
        self.assertEqual((phase["state"], phase["tries"], phase["interrupted"]), ("pending", 0, True))

    async def test_a_worker_whose_claims_are_not_let_wait_does_not_ask_without_pause(self) -> None:
        claims = []
        passage = self.passage(on_claim=lambda _: claims.append(time.monotonic()), waits=False)
        worker = self.worker(passage.url)

        @worker.phase(self.kind, "only")
        async def only(cx):
            return None

        async with running(worker):
            await until(lambda: len(claims) >= 3)
        self.assertGreaterEqual(claims[2] - claims[0], 0.9)

    async def test_a_run_that_is_cancelled_gives_its_phases_back(self) -> None:
        worker, begun = self.worker(grace_s=60), asyncio.Event()

        @worker.phase(self.kind, "only")
        async def only(cx):
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(worker.run(handle_signals=False))
        job = await self.enqueue()
        await begun.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual((await self.client.job(job))["state"], "pending")

    async def test_a_job_that_is_cancelled_cancels_its_phase(self) -> None:
        passage = self.passage(heartbeat_ms=50)
        worker, begun, whys = self.worker(passage.url), asyncio.Event(), []

        @worker.phase(self.kind, "only")
        async def only(cx):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                whys.append(cx.why)

        async with running(worker):
            job = await self.enqueue()
            await begun.wait()
            self.assertEqual(await self.client.cancel(job), "cancelling")
            with self.assertRaises(JobCancelled):
                await self.client.wait(job, 60)
        self.assertEqual(whys, ["cancelled"])

    async def test_a_worker_that_the_server_does_not_know_any_more_registers_anew(self) -> None:
        beats, whys, begun = [], [], asyncio.Event()
        passage = self.passage(heartbeat_ms=50, on_heartbeat=lambda worker, _: beats.append(worker))
        worker = self.worker(passage.url)

        @worker.phase(self.kind, "only")
        async def only(cx):
            begun.set()
            if cx.interrupted:
                return "again"
            try:
                await asyncio.Event().wait()
            finally:
                whys.append(cx.why)

        async with running(worker):
            job = await self.enqueue()
            await begun.wait()
            await until(lambda: beats)
            passage.forgotten.add(beats[0])
            # One that was on its way would be told to terminate, as the worker is when it is deleted.
            seen = len(beats)
            await until(lambda: len(beats) > seen)
            await self.client.request("DELETE", f"/workers/{beats[0]}")
            self.assertEqual((await self.client.wait(job, 60))["result"], "again")
        self.assertEqual(whys, ["lost"])

    async def test_over_a_network_that_loses_answers_every_phase_is_recorded_once(self) -> None:
        passage, ran = self.passage(lose_every=3), []
        worker = self.worker(passage.url, concurrency=3)

        @worker.phase(self.kind, "one")
        async def one(cx):
            ran.append((cx.job_id, "one", cx.attempt))
            return cx.payload

        @worker.phase(self.kind, "two", inputs=["one"])
        async def two(cx):
            ran.append((cx.job_id, "two", cx.attempt))
            return cx.outputs["one"] * 2

        async with running(worker):
            jobs = [await self.enqueue(n) for n in range(12)]
            for n, job in enumerate(jobs):
                self.assertEqual((await self.client.wait(job, 120))["result"], n * 2)
        self.assertGreater(passage.lost, 5, "answers were lost: else this proves nothing")
        self.assertEqual(len(ran), len(set(ran)))
        events = Client(SERVER).events(after="0", kind=self.kind)
        ends = [next(events) for _ in range(len(jobs))]
        while sum(event["type"] == "job:completed" for event in ends) < len(jobs):
            ends.append(next(events))
        completed = [(event["jobId"], event["phase"]) for event in ends if event["type"] == "job:phase:completed"]
        self.assertEqual((len(completed), len(set(completed))), (24, 24))

    async def test_a_handler_that_blocks_the_loop_keeps_its_lease_and_sigterm_ends_in_order(self) -> None:
        beats = []
        passage = self.passage(heartbeat_ms=50, on_heartbeat=lambda _, body: beats.append(body["leases"]))
        with tempfile.TemporaryDirectory() as place:
            blocks, may_end = Path(place, "blocks"), Path(place, "may-end")
            program = (
                "import asyncio, pathlib, time\n"
                "from stepwell.aio import AsyncClient, AsyncWorker\n"
                f"worker = AsyncWorker(AsyncClient({passage.url!r}), queues=[{self.queue!r}])\n"
                f"@worker.phase({self.kind!r}, 'only')\n"
                "async def only(cx):\n"
                f"    pathlib.Path({str(blocks)!r}).touch()\n"
                f"    while not pathlib.Path({str(may_end)!r}).exists():\n"
                "        time.sleep(0.01)\n"
                "    return 'kept'\n"
                "asyncio.run(worker.run())\n"
            )
            child = subprocess.Popen([sys.executable, "-c", program])
            job = await self.enqueue()
            await until(blocks.exists)
            seen = len(beats)
            await until(lambda: len(beats) > seen + 5)
            self.assertTrue(all(len(leases) == 1 for leases in beats[seen + 1 :]), beats)
            child.send_signal(signal.SIGTERM)
            may_end.touch()
            self.assertEqual(await asyncio.to_thread(child.wait, 60), 0)
        ended = await self.client.wait(job, 60)
        self.assertEqual((ended["result"], ended["attempt"]), ("kept", 1))


if __name__ == "__main__":
    unittest.main()
