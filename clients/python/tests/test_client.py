"""The client and the worker against a real server, whose address is in STEPWELL_SERVER."""

from __future__ import annotations

import base64
import hashlib
import hmac
import signal
import subprocess
import sys
import threading
import time
import unittest
import uuid

from passage import SERVER, Passage, unique, until
from stepwell import Client, JobCancelled, JobFailed, Permanent, Problem, RetryIn, Snooze, Unreachable, Worker, verify


class Running:
    """A worker on a thread."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.thread = threading.Thread(target=worker.run, kwargs={"handle_signals": False})

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.thread.join(60)
        assert not self.thread.is_alive(), "the worker ends"


class Clients(unittest.TestCase):
    def test_a_job_is_enqueued_once_however_often_it_is_asked_for(self) -> None:
        client, key = Client(SERVER), unique("key")
        first = client.enqueue("demo.steps", {}, idempotency_key=key)
        self.assertEqual(client.enqueue("demo.steps", {}, idempotency_key=key), first)
        self.assertEqual(client.wait(first, 60)["state"], "completed")
        with self.assertRaises(Problem) as refused:
            client.enqueue("demo.steps", {"other": 1}, idempotency_key=key)
        self.assertEqual(refused.exception.code, "idempotency-mismatch")

    def test_failures_are_exceptions(self) -> None:
        client = Client(SERVER)
        with self.assertRaises(JobFailed) as failed:
            client.wait(client.enqueue("demo.steps", {"fails": True}), 60)
        self.assertIn("told to fail", str(failed.exception))
        job = client.enqueue("demo.steps", {}, delayMs=3_600_000)
        with self.assertRaises(TimeoutError):
            client.wait(job, 0.1)
        self.assertEqual(client.cancel(job), "cancelled")
        with self.assertRaises(JobCancelled):
            client.wait(job, 60)
        with self.assertRaises(Problem):
            client.job(str(uuid.uuid4()))
        with self.assertRaises(Unreachable):
            Client("http://127.0.0.1:9", tries=2).job(job)

    def test_events_come_in_order_and_go_on_where_they_stood(self) -> None:
        client, kind = Client(SERVER), unique("kind")
        job = client.enqueue(kind, {})
        client.cancel(job)
        following = client.events(after="0", kind=kind)
        events = [next(following), next(following)]
        self.assertEqual([event["type"] for event in events], ["job:enqueued", "job:cancelled"])
        later = client.enqueue(kind, {})
        self.assertEqual(next(following)["jobId"], later)
        self.assertEqual(next(client.events(after=events[0]["place"], kind=kind)), events[1])
        self.assertEqual(next(client.events(after="another-log-7"))["type"], "stream:reset")

    def test_lists_come_in_pages(self) -> None:
        client, queue = Client(SERVER), unique("queue")
        jobs = [client.enqueue("nobody's", n, queue=queue) for n in range(3)]
        first = client.jobs(queue=queue, limit=2, order="asc")
        rest = client.jobs(queue=queue, limit=2, order="asc", cursor=first["page"]["next"])
        self.assertEqual([job["id"] for job in first["data"] + rest["data"]], jobs)

    def test_webhooks_are_verified(self) -> None:
        key = base64.b64encode(b"0123456789abcdef01234567").decode()
        body, now = b'{"a":1}', 1_000_000
        mac = hmac.new(base64.b64decode(key), b"m1.1000000." + body, hashlib.sha256).digest()
        headers = {
            "Webhook-Id": "m1",
            "Webhook-Timestamp": "1000000",
            "Webhook-Signature": "v1,wrong v1," + base64.b64encode(mac).decode(),
        }
        self.assertTrue(verify(f"whsec_{key}", headers, body, now))
        self.assertFalse(verify(f"whsec_{key}", headers, body + b" ", now))
        self.assertFalse(verify(f"whsec_{key}", headers, body, now + 301))
        self.assertFalse(verify(f"whsec_{key}", {}, body, now))
        self.assertTrue(verify(f"whsec_{key}", headers, body, now + 301, tolerance_s=600))

    def test_an_empty_secret_verifies_nothing_whoever_has_signed_with_it(self) -> None:
        mac = base64.b64encode(hmac.new(b"", b"m1.1000000.{}", hashlib.sha256).digest()).decode()
        headers = {"webhook-id": "m1", "webhook-timestamp": "1000000", "webhook-signature": f"v1,{mac}"}
        for secret in ("", "whsec_"):
            self.assertFalse(verify(secret, headers, b"{}", 1_000_000))


class Workers(unittest.TestCase):
    def setUp(self) -> None:
        self.client, self.queue, self.kind = Client(SERVER), unique("queue"), unique("kind")
        self.worker = Worker(self.client, queues=[self.queue], grace_s=5)

    def enqueue(self, payload: object = None) -> str:
        return self.client.enqueue(self.kind, payload, queue=self.queue)

    def test_a_job_goes_through_its_phases_with_a_checkpoint_in_between(self) -> None:
        @self.worker.phase(self.kind, "fetch")
        def fetch(cx):
            if cx.attempt == 1:
                cx.progress(1, 2, "half")
                cx.log("one", "two")
                cx.save_checkpoint({"page": 3})
                raise RetryIn(0.01, "not yet")
            return {"from": cx.checkpoint, "key": len(cx.idempotency_key) > 0}

        @self.worker.phase(self.kind, "count", inputs=["fetch"])
        def count(cx):
            return {"payload": cx.payload, "fetched": cx.outputs["fetch"]}

        with Running(self.worker):
            job = self.client.wait(self.enqueue({"n": 1}), 60)
        self.assertEqual(job["result"], {"payload": {"n": 1}, "fetched": {"from": {"page": 3}, "key": True}})
        self.assertEqual([phase["tries"] for phase in job["phases"]], [2, 1])

    def test_what_a_phase_raises_decides(self) -> None:
        @self.worker.phase(self.kind, "only")
        def only(cx):
            if cx.payload == "snooze" and not cx.checkpoint:
                cx.save_checkpoint(True)
                raise Snooze(0.01)
            if cx.payload == "permanent":
                raise Permanent("never again")
            if cx.payload == "no json":
                return {1, 2}
            return cx.attempt

        with Running(self.worker):
            self.assertEqual(self.client.wait(self.enqueue("snooze"), 60)["result"], 1)
            for payload, words in (("permanent", "never again"), ("no json", "is no JSON")):
                with self.assertRaises(JobFailed) as failed:
                    self.client.wait(self.enqueue(payload), 60)
                self.assertIn(words, str(failed.exception))

    def test_a_stopped_worker_ends_its_phase_and_takes_no_other(self) -> None:
        begun, may_end = threading.Event(), threading.Event()

        @self.worker.phase(self.kind, "only")
        def only(cx):
            begun.set()
            may_end.wait(60)
            return "done"

        with Running(self.worker) as running:
            first = self.enqueue()
            begun.wait(60)
            running.worker.stop()
            second = self.enqueue()
            may_end.set()
        self.assertEqual(self.client.wait(first, 60)["result"], "done")
        self.assertEqual(self.client.job(second)["state"], "pending")

    def test_over_a_network_that_loses_answers_every_phase_is_recorded_once(self) -> None:
        lossy = Passage(lose_every=3)
        self.addCleanup(lossy.close)
        worker = Worker(Client(lossy.url), queues=[self.queue], concurrency=3, grace_s=5)
        ran = []

        @worker.phase(self.kind, "one")
        def one(cx):
            ran.append((cx.job_id, "one", cx.attempt))
            return cx.payload

        @worker.phase(self.kind, "two", inputs=["one"])
        def two(cx):
            ran.append((cx.job_id, "two", cx.attempt))
            return cx.outputs["one"] * 2

        with Running(worker):
            jobs = [self.enqueue(n) for n in range(12)]
            for n, job in enumerate(jobs):
                self.assertEqual(self.client.wait(job, 120)["result"], n * 2)
        self.assertGreater(lossy.lost, 5, "answers were lost: else this proves nothing")
        self.assertEqual(len(ran), len(set(ran)))
        completed = [
            (event["jobId"], event["phase"]) for event in self.history() if event["type"] == "job:phase:completed"
        ]
        self.assertEqual(len(completed), 24)
        self.assertEqual(len(set(completed)), 24)

    def history(self):
        place, events = "0", []
        while True:
            page = self.client.request("GET", f"/events?after={place}&kind={self.kind}")
            if not page["events"] and page["next"] == place:
                return events
            events, place = events + page["events"], page["next"]

    def test_a_worker_that_is_told_to_be_quiet_claims_nothing_until_it_is_told_to_and_ends_when_it_is_told_to(
        self,
    ) -> None:
        workers = []
        passage = Passage(heartbeat_ms=50, on_heartbeat=lambda worker, body: workers.append((worker, body)))
        self.addCleanup(passage.close)
        worker, begun = Worker(Client(passage.url), queues=[self.queue], grace_s=0.2), threading.Event()

        @worker.phase(self.kind, "only")
        def only(cx):
            if cx.payload == "short":
                return "done"
            begun.set()
            cx.cancelled.wait(60)
            raise RuntimeError(cx.why)

        with Running(worker) as running:
            first = self.enqueue()
            begun.wait(60)
            until(lambda: workers)
            self.client.request("POST", f"/workers/{workers[0][0]}/quiet")
            until(lambda: workers[-1][1]["state"] == "quiet")
            second = self.enqueue("short")
            seen = len(workers)
            until(lambda: len(workers) > seen + 2)
            self.assertEqual([self.client.job(job)["state"] for job in (first, second)], ["running", "pending"])
            self.client.request("POST", f"/workers/{workers[0][0]}/resume")
            self.assertEqual(self.client.wait(second, 60)["result"], "done")
            self.client.request("POST", f"/workers/{workers[0][0]}/terminate")
            running.thread.join(60)
        self.assertEqual(self.client.job(first)["state"], "pending")
        self.assertEqual(self.client.job(first)["phases"][0]["tries"], 0)

    def test_a_job_that_is_cancelled_stops_its_phase(self) -> None:
        passage = Passage(heartbeat_ms=50)
        self.addCleanup(passage.close)
        worker, begun, whys = Worker(Client(passage.url), queues=[self.queue]), threading.Event(), []

        @worker.phase(self.kind, "only")
        def only(cx):
            begun.set()
            cx.cancelled.wait(60)
            whys.append(cx.why)

        with Running(worker):
            job = self.enqueue()
            begun.wait(60)
            self.client.cancel(job)
            until(lambda: whys)
        self.assertEqual(whys, ["cancelled"])

    def test_a_worker_whose_claims_are_not_let_wait_does_not_ask_without_pause(self) -> None:
        claims = []
        passage = Passage(on_claim=lambda _: claims.append(time.monotonic()), waits=False)
        self.addCleanup(passage.close)
        worker = Worker(Client(passage.url), queues=[self.queue])
        worker.phase(self.kind, "only")(lambda cx: None)
        with Running(worker):
            until(lambda: len(claims) >= 3)
        self.assertGreaterEqual(claims[2] - claims[0], 0.9)

    def test_sigterm_ends_a_worker_in_order(self) -> None:
        program = (
            "from stepwell import Worker\n"
            f"worker = Worker(queues=[{self.queue!r}])\n"
            f"@worker.phase({self.kind!r}, 'only')\n"
            "def only(cx):\n"
            "    cx.progress(1, 2)\n"
            "    cx.cancelled.wait(1)\n"
            "    return 'ended'\n"
            "worker.run()\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program])
        job = self.enqueue()
        while self.client.job(job).get("progress") is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60), 0)
        self.assertEqual(self.client.wait(job, 60)["result"], "ended")


if __name__ == "__main__":
    unittest.main()
