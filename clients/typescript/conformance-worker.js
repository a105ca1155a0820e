/** The worker that `stepwell conformance` tries this client with. See docs/conformance.md. */

import { setTimeout as pause } from "node:timers/promises";

import { Permanent, RetryIn, Snooze, Worker } from "./dist/index.js";

const worker = new Worker({
  queues: [process.env.STEPWELL_QUEUE],
  graceMs: Number(process.env.STEPWELL_GRACE_MS),
});

worker.phase("conformance.echo", "echo", ({ payload, attempt, interrupted, idempotencyKey }) => {
  return { payload, attempt, interrupted, idempotencyKey };
});

worker.phase("conformance.steps", "one", (cx) => cx.payload);
worker.phase("conformance.steps", "two", { inputs: ["one"] }, (cx) => ({ one: cx.outputs.one }));
worker.phase("conformance.steps", "three", { inputs: ["one", "two"] }, (cx) => {
  return { one: cx.outputs.one, two: cx.outputs.two, payload: cx.payload };
});

worker.phase("conformance.checkpoint", "count", async (cx) => {
  const { to, failAt } = cx.payload;
  const from = cx.checkpoint ?? 0;
  for (let n = from + 1; n <= to; n += 1) {
    await cx.saveCheckpoint(n);
    if (n === failAt && cx.attempt === 1) {
      throw new RetryIn(1, "told to fail");
    }
  }
  return { from, to };
});

worker.phase("conformance.fail", "fail", ({ attempt, payload }) => {
  const { message, times, retry, afterMs } = payload;
  if (attempt > times) {
    return { attempt };
  }
  if (retry === "never") {
    throw new Permanent(message);
  }
  throw afterMs === undefined ? new Error(message) : new RetryIn(afterMs, message);
});

worker.phase("conformance.snooze", "snooze", async (cx) => {
  if (cx.checkpoint === null) {
    await cx.saveCheckpoint(true);
    throw new Snooze(cx.payload.delayMs);
  }
  return { attempt: cx.attempt };
});

worker.phase("conformance.say", "say", async (cx) => {
  const { lines, total } = cx.payload;
  for (const [nth, line] of lines.entries()) {
    await cx.log(line);
    await cx.progress(nth + 1, total);
  }
});

worker.phase("conformance.wait", "wait", async (cx) => {
  await cx.progress(0, 1);
  await pause(cx.payload.ms, undefined, { signal: cx.signal });
  return { waited: cx.payload.ms };
});

worker.phase("conformance.block", "block", async (cx) => {
  await cx.progress(0, 1);
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(nobody, 0, 0, cx.payload.ms);
  return { blocked: cx.payload.ms };
});

worker.phase("conformance.large", "large", (cx) => "x".repeat(cx.payload.bytes));

await worker.run();
