"""The asyncio worker that ``stepwell conformance`` tries this client with. See docs/conformance.md."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from stepwell import Permanent, RetryIn, Snooze  # noqa: E402
from stepwell.aio import AsyncWorker  # noqa: E402

worker = AsyncWorker(queues=[os.environ["STEPWELL_QUEUE"]], grace_s=int(os.environ["STEPWELL_GRACE_MS"]) / 1000)


@worker.phase("conformance.echo", "echo")
async def echo(cx):
    return {
        "payload": cx.payload,
        "attempt": cx.attempt,
        "interrupted": cx.interrupted,
        "idempotencyKey": cx.idempotency_key,
    }


@worker.phase("conformance.steps", "one")
async def one(cx):
    return cx.payload


@worker.phase("conformance.steps", "two", inputs=["one"])
async def two(cx):
    return {"one": cx.outputs["one"]}


@worker.phase("conformance.steps", "three", inputs=["one", "two"])
async def three(cx):
    return {"one": cx.outputs["one"], "two": cx.outputs["two"], "payload": cx.payload}


@worker.phase("conformance.checkpoint", "count")
async def count(cx):
    begin = cx.checkpoint or 0
    for n in range(begin + 1, cx.payload["to"] + 1):
        await cx.save_checkpoint(n)
        if n == cx.payload["failAt"] and cx.attempt == 1:
            raise RetryIn(0.001, "told to fail")
    return {"from": begin, "to": cx.payload["to"]}


@worker.phase("conformance.fail", "fail")
async def fail(cx):
    if cx.attempt <= cx.payload["times"]:
        message = cx.payload["message"]
        if cx.payload.get("retry") == "never":
            raise Permanent(message)
        if "afterMs" in cx.payload:
            raise RetryIn(cx.payload["afterMs"] / 1000, message)
        raise RuntimeError(message)
    return {"attempt": cx.attempt}


@worker.phase("conformance.snooze", "snooze")
async def snooze(cx):
    if cx.checkpoint is None:
        await cx.save_checkpoint(True)
        raise Snooze(cx.payload["delayMs"] / 1000)
    return {"attempt": cx.attempt}


@worker.phase("conformance.say", "say")
async def say(cx):
    for done, line in enumerate(cx.payload["lines"], 1):
        await cx.log(line)
        await cx.progress(done, cx.payload["total"])


@worker.phase("conformance.wait", "wait")
async def wait(cx):
    await cx.progress(0, 1)
    await asyncio.sleep(cx.payload["ms"] / 1000)
    return {"waited": cx.payload["ms"]}


@worker.phase("conformance.block", "block")
async def block(cx):
    await cx.progress(0, 1)
    # As a handler does that should not: the whole loop stands still.
    time.sleep(cx.payload["ms"] / 1000)
    return {"blocked": cx.payload["ms"]}


@worker.phase("conformance.large", "large")
async def large(cx):
    return "x" * cx.payload["bytes"]


asyncio.run(worker.run())
