import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";

import { Client, JobCancelled, JobFailed, Problem, StepwellError, Unreachable, WaitTimeout } from "stepwell";

import { Passage } from "./passage.js";
import { SERVER, unique } from "./place.js";

const client = new Client({ server: SERVER });

test("a job is enqueued once however often it is asked for", async () => {
  const idempotencyKey = unique("key");
  const first = await client.enqueue("demo.steps", {}, { idempotencyKey });
  assert.equal(await client.enqueue("demo.steps", {}, { idempotencyKey }), first);
  assert.equal((await client.wait(first, { timeoutMs: 60_000 })).state, "completed");
  await assert.rejects(client.enqueue("demo.steps", { other: 1 }, { idempotencyKey }), (error) => {
    return error instanceof Problem && error.code === "idempotency-mismatch" && error.status === 422;
  });
});

test("an answer that is lost is asked for again, and there is one job", async () => {
  const passage = await Passage.open({ loseEvery: 2 });
  const queue = unique("queue");
  const lossy = new Client({ server: passage.url });
  const ids = [];
  for (let nth = 0; nth < 6; nth += 1) {
    ids.push(await lossy.enqueue("nobody's", { nth }, { queue }));
  }
  assert.ok(passage.lost >= 3, "answers were lost: else this proves nothing");
  const { data } = await client.jobs({ queue, order: "asc" });
  assert.deepEqual(
    data.map((job) => job.id),
    ids,
  );
  passage.close();
});

test("failures are errors with a type", async () => {
  const failing = await client.enqueue("demo.steps", { fails: true });
  await assert.rejects(client.wait(failing, { timeoutMs: 60_000 }), (error) => {
    return error instanceof JobFailed && /told to fail/.test(error.message) && error.job.id === failing;
  });
  const job = await client.enqueue("demo.steps", {}, { delayMs: 3_600_000 });
  await assert.rejects(client.wait(job, { timeoutMs: 50 }), WaitTimeout);
  assert.equal(await client.cancel(job), "cancelled");
  await assert.rejects(client.wait(job), JobCancelled);
  await assert.rejects(client.job(randomUUID()), (error) => error instanceof Problem && error.code === "not-found");
  await assert.rejects(client.enqueue("kind", {}, { delayMs: -1 }), (error) => {
    return error instanceof Problem && error.code === "validation" && error.faults[0]?.pointer.startsWith("#/");
  });
  await assert.rejects(client.enqueue("kind", { time: NaN }), /the member "time" is NaN/);
  await assert.rejects(new Client({ server: "http://127.0.0.1:9", tries: 2 }).job(job), Unreachable);
  assert.throws(() => new Client({ server: "127.0.0.1:7717" }), StepwellError);
});

test("what is said about a job is stored with it", async () => {
  const queue = unique("queue");
  const options = {
    queue,
    priority: 7,
    runAt: "2999-01-01T00:00:00Z",
    uniqueKey: unique("unique"),
    uniqueWithinMs: 60_000,
    onConflict: "return" as const,
    tags: ["blue"],
    attributes: { customer: "42" },
    expiresAt: "2999-02-01T00:00:00Z",
    webhook: { url: "https://hooks.example/one", events: ["job:failed"] },
  };
  const id = await client.enqueue("demo.steps", { n: 1 }, options);
  assert.equal(await client.enqueue("demo.steps", { n: 2 }, options), id, "its unique key stands for it");
  const job = await client.job(id);
  assert.deepEqual([job.payload, job.priority, job.tags, job.attributes], [{ n: 1 }, 7, ["blue"], { customer: "42" }]);
  assert.deepEqual([job.uniqueKey, job.webhook?.events], [options.uniqueKey, ["job:failed"]]);
  assert.match(job.runAt, /^2999-01-01/);
  const found = await client.jobs({ attribute: { name: "customer", value: "42" }, queue, state: "pending" });
  assert.deepEqual(
    found.data.map((each) => each.id),
    [id],
  );
});

test("lists come in pages", async () => {
  const queue = unique("queue");
  const ids = [];
  for (let nth = 0; nth < 3; nth += 1) {
    ids.push(await client.enqueue("nobody's", { nth }, { queue }));
  }
  const seen = [];
  let cursor: string | null = null;
  do {
    const page = await client.jobs({ queue, limit: 2, order: "asc", ...(cursor === null ? {} : { cursor }) });
    seen.push(...page.data.map((job) => job.id));
    cursor = page.page.next;
  } while (cursor !== null);
  assert.deepEqual(seen, ids);
});

test("a failed job is retried", async () => {
  const job = await client.enqueue("demo.steps", { fails: true });
  await assert.rejects(client.wait(job, { timeoutMs: 60_000 }), JobFailed);
  await client.retry(job, { fromStart: true });
  await assert.rejects(client.wait(job, { timeoutMs: 60_000 }), JobFailed);
  assert.equal((await client.job(job)).run, 2);
});

test("waiting ends with its signal", async () => {
  const job = await client.enqueue("nobody's", {}, { queue: unique("queue") });
  const stop = new AbortController();
  const waiting = client.wait(job, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("whoever prints a client does not print its token", () => {
  const secret = new Client({ server: SERVER, token: "sw_secret" });
  assert.doesNotMatch(inspect(secret, { depth: 9, showHidden: true }) + JSON.stringify(secret), /sw_secret/);
});
