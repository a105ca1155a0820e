"""A worker without a library. As it is, it keeps every rule; FAULT has it break one, which the kit has to find."""

import json
import os
import signal
import sys
import threading
import time
import uuid
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

FAULT = os.environ.get("FAULT", "")
SERVER = urlsplit(os.environ["STEPWELL_SERVER"])
TOKEN = os.environ["STEPWELL_TOKEN"]
QUEUE = os.environ["STEPWELL_QUEUE"]
GRACE_S = int(os.environ["STEPWELL_GRACE_MS"]) / 1000
CONCURRENCY = 2

KINDS = {
    "conformance.echo": {"echo": []},
    "conformance.steps": {"one": [], "two": ["one"], "three": ["one", "two"]},
    "conformance.checkpoint": {"count": []},
    "conformance.fail": {"fail": []},
    "conformance.snooze": {"snooze": []},
    "conformance.say": {"say": []},
    "conformance.wait": {"wait": []},
    "conformance.block": {"block": []},
    "conformance.large": {"large": []},
}


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body.get('code', '')}")
        self.status, self.code = status, body.get("code", "")


class Lost(Exception):
    """The phase is not ours any more."""


class Fail(Exception):
    def __init__(self, message, retry="default", after_ms=None):
        super().__init__(message)
        self.body = {"error": {"type": "Fail", "message": message}, "retry": retry}
        if after_ms is not None:
            self.body["afterMs"] = after_ms


class Snooze(Exception):
    pass


def once(method, path, body, headers):
    sent = {"Authorization": f"Bearer {TOKEN}", **headers}
    if FAULT == "no token for reports" and path.startswith("/claims/"):
        del sent["Authorization"]
    data = None
    if body is not None:
        text = json.dumps(body)
        if FAULT == "drops unicode":
            text = json.dumps(body, ensure_ascii=False).encode("ascii", "ignore").decode()
        data = text.encode()
        sent["Content-Type"] = "text/plain" if FAULT == "wrong content type" else "application/json"
    connection = HTTPConnection(SERVER.netloc, timeout=60)
    try:
        connection.request(method, f"/api/v1{path}", data, sent)
        response = connection.getresponse()
        text = response.read()
        after_s = float(response.headers.get("Retry-After", 0))
    finally:
        connection.close()
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        answer = {}
    if FAULT == "knows every member" and "addedLater" in answer:
        raise KeyError("addedLater")
    return response.status, answer, after_s


def ask(method, path, body=None, headers={}, tries=100):
    """Asks until there is an answer that counts."""
    while True:
        tries -= 1
        try:
            status, answer, after_s = once(method, path, body, headers)
        except (OSError, HTTPException):
            if tries == 0 or (FAULT == "says nothing again" and path.startswith("/claims/")):
                raise Lost()
            time.sleep(0.1)
            if FAULT == "claims anew" and path == "/claims":
                raise Lost()
            if FAULT == "runs again" and path.endswith("/complete"):
                raise Again()
            continue
        if status in (429, 502, 503, 504) and tries > 0:
            if FAULT == "gives up at 503":
                raise Lost()
            time.sleep(0.05 if FAULT == "comes back at once" else max(after_s, 0.1))
            continue
        if status >= 400:
            raise Refused(status, answer)
        return answer


class Again(Exception):
    """The phase is run again, which is a fault."""


class Phase:
    def __init__(self, claim):
        self.claim, self.lease = claim, claim["lease"]
        self.stop, self.lost, self.back = threading.Event(), threading.Event(), threading.Event()

    def say(self, verb, body, tries=100):
        if self.lost.is_set() and FAULT not in ("speaks of the lost", "repeats after 409"):
            raise Lost()
        while True:
            try:
                return ask("POST", f"/claims/{self.lease}/{verb}", body, tries=tries)
            except Refused as refused:
                if refused.code != "lease-lost":
                    raise
                if FAULT == "repeats after 409":
                    time.sleep(0.3)
                    continue
                if FAULT == "dies of a refusal":
                    os._exit(1)
                self.lost.set()
                raise Lost() from None


class Worker:
    def __init__(self):
        self.ending, self.ended = threading.Event(), threading.Event()
        self.running, self.lock = {}, threading.Lock()
        self.register()

    def register(self):
        kinds = [
            {"kind": kind, "phases": [{"name": name, "inputs": inputs} for name, inputs in phases.items()]}
            for kind, phases in KINDS.items()
        ]
        if FAULT == "forgets a phase":
            kinds[1]["phases"].pop()
        answer = ask("POST", "/workers", {"name": f"bare:{os.getpid()}", "queues": [QUEUE], "kinds": kinds})
        self.id, self.beat_s = answer["id"], answer["heartbeatMs"] / 1000

    def held(self):
        with self.lock:
            return dict(self.running)

    def beat(self):
        while not self.ended.wait(self.beat_s * {"beats rarely": 2.8, "beats wildly": 0.02}.get(FAULT, 1)):
            if FAULT == "beats between phases" and self.held():
                continue
            held = self.held()
            quiet = self.ending.is_set() and FAULT != "is never quiet"
            named = [] if FAULT == "names nothing" else list(held)
            if FAULT == "stops beating at the end" and quiet:
                continue
            body = {"state": "quiet" if quiet else "running", "leases": named}
            try:
                answer = ask("POST", f"/workers/{self.id}/heartbeat", body, tries=1)
            except Refused as refused:
                if refused.status == 404:
                    self.forget(held)
                    if FAULT != "never registers anew":
                        self.register()
                continue
            except Lost:
                continue
            self.obey(held, answer)

    def forget(self, held):
        if FAULT == "speaks of what it had":
            return
        for phase in held.values():
            phase.lost.set()
            phase.stop.set()

    def obey(self, held, answer):
        for told in answer["leases"]:
            phase = held.get(told["lease"])
            if phase and told["status"] == "cancel" and FAULT != "ignores cancel":
                phase.stop.set()
            if phase and told["status"] == "lost" and FAULT not in ("ignores lost", "speaks of what it had"):
                phase.lost.set()
                phase.stop.set()
        if answer["desired"] == "quiet" and FAULT != "ignores quiet":
            self.ending.set()
        if answer["desired"] == "terminate" and FAULT != "ignores terminate":
            if FAULT == "has no grace when told to end":
                self.give_back()
            self.ending.set()

    def give_back(self):
        for phase in self.held().values():
            phase.back.set()
            phase.stop.set()

    def claim(self, slots):
        body = {"workerId": self.id, "max": slots, "waitMs": 0 if FAULT == "polls" else 1000}
        key = "always" if FAULT == "has one key" else str(uuid.uuid4())
        headers = {} if FAULT == "claims without a key" else {"Idempotency-Key": key}
        try:
            return ask("POST", "/claims", body, headers)["claims"]
        except Lost:
            return []
        except Refused as refused:
            if refused.status != 404:
                raise
            # The next heartbeat registers anew.
            self.ended.wait(self.beat_s)
            return []

    def work(self):
        threads = []
        while not self.ending.is_set() or (FAULT == "claims after SIGTERM" and self.held()):
            threads = [thread for thread in threads if thread.is_alive()]
            slots = CONCURRENCY - len(threads)
            if slots == 0:
                self.ending.wait(0.05)
                continue
            for claim in self.claim(slots):
                phase = Phase(claim)
                with self.lock:
                    self.running[phase.lease] = phase
                threads.append(threading.Thread(target=self.fly, args=(phase,), daemon=True))
                threads[-1].start()
        if FAULT == "exits at once":
            os._exit(0)
        deadline = time.monotonic() + GRACE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.give_back()
        for thread in threads:
            thread.join(10)
        self.ended.set()
        if FAULT != "leaves without a word":
            ask("DELETE", f"/workers/{self.id}", tries=3)

    def fly(self, phase):
        while phase is not None:
            try:
                answer = self.run(phase)
            except Lost:
                answer = {}
            except Again:
                continue
            finally:
                with self.lock:
                    if FAULT != "names the lost" or not phase.lost.is_set():
                        self.running.pop(phase.lease, None)
            following = answer.get("next")
            phase = Phase(following) if following else None
            if phase is not None:
                with self.lock:
                    self.running[phase.lease] = phase

    def run(self, phase):
        try:
            output = handle(phase)
        except Snooze:
            delay_ms = phase.claim["job"]["payload"]["delayMs"]
            return phase.say("snooze", {"delayMs": 1 if FAULT == "snoozes as it likes" else delay_ms})
        except Fail as fail:
            if phase.back.is_set() and FAULT != "fails what it gives back":
                return phase.say("release", {})
            if FAULT == "loses the message":
                fail.body["error"]["message"] = "it failed"
            if FAULT == "ignores never":
                fail.body["retry"] = "default"
            return phase.say("fail", fail.body)
        body = {"output": output, "claimNext": not self.ending.is_set()}
        try:
            answer = phase.say("complete", body)
            if FAULT == "ends twice":
                time.sleep(0.3)
                phase.say("complete", body)
            return answer
        except Refused as refused:
            if FAULT == "insists":
                phase.say("complete", body)
            return phase.say("fail", {"error": {"message": str(refused)}, "retry": "never"})


def handle(phase):
    claim, payload = phase.claim, phase.claim["job"]["payload"]
    name, attempt = claim["phase"]["name"], claim["phase"]["attempt"]
    checkpoint, outputs = claim["phase"]["checkpoint"], claim["phase"]["outputs"]
    if FAULT == "keeps no checkpoint":
        checkpoint = None
    if name == "echo":
        told = {member: claim["phase"][member] for member in ("attempt", "interrupted", "idempotencyKey")}
        if FAULT == "makes up its keys":
            told["idempotencyKey"] = str(uuid.uuid4())
        return {"payload": payload, **told}
    if name == "one":
        return payload
    if name == "two":
        return {"one": outputs["one"]}
    if name == "three":
        return {"one": outputs["one"], "two": outputs["two"], "payload": payload}
    if name == "count":
        begin = checkpoint or 0
        for n in range(begin + 1, payload["to"] + 1):
            if FAULT == "does not wait for checkpoints":
                threading.Thread(target=phase.say, args=("checkpoint", {"value": n})).start()
            else:
                phase.say("checkpoint", {"value": n})
            if n == payload["failAt"] and attempt == 1:
                raise Fail("told to fail", after_ms=1)
        return {"from": begin, "to": payload["to"]}
    if name == "fail":
        if attempt <= payload["times"]:
            raise Fail(payload["message"], payload.get("retry", "default"), payload.get("afterMs"))
        return {"attempt": attempt}
    if name == "snooze":
        if checkpoint is None:
            phase.say("checkpoint", {"value": True})
            raise Snooze()
        return {"attempt": attempt}
    if name == "say":
        for done, line in enumerate(payload["lines"], 1):
            if FAULT != "says nothing":
                phase.say("logs", {"lines": [line]})
            phase.say("progress", {"done": done, "total": payload["total"]}, tries=1)
        return None
    if name == "wait":
        phase.say("progress", {"done": 0, "total": 1}, tries=1)
        if phase.stop.wait(payload["ms"] / 1000):
            if FAULT == "completes what was stopped":
                return None
            raise Fail("told to stop")
        return {"waited": payload["ms"]}
    if name == "block":
        phase.say("progress", {"done": 0, "total": 1}, tries=1)
        time.sleep(payload["ms"] / 1000)
        return {"blocked": payload["ms"]}
    assert name == "large", name
    return "x" * payload["bytes"]


worker = Worker()
if FAULT == "dies of SIGTERM":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
else:
    signal.signal(signal.SIGTERM, lambda *_: worker.ending.set())
threading.Thread(target=worker.beat, daemon=True).start()
worker.work()
sys.exit(0)
