import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, test, type TestContext } from "node:test";

import { Client, JobCancelled, JobFailed, Permanent, RetryIn, Snooze, Stopped, Worker, type Job } from "stepwell";

import { Passage, type Passed } from "./passage.js";
import { SERVER, promised, unique } from "./place.js";

const client = new Client({ server: SERVER });
let queue = "";
let kind = "";

beforeEach(() => {
  queue = unique("queue");
  kind = unique("kind");
});

function workerAt(server = SERVER, options = {}): Worker {
  return new Worker({ client: new Client({ server }), queues: [queue], graceMs: 5_000, warn: () => {}, ...options });
}

/** Lets a worker run while something is done, and ends it. */
async function running<Value>(worker: Worker, act: () => Promise<Value>): Promise<Value> {
  const run = worker.run({ handleSignals: false });
  try {
    return await Promise.race([act(), run.then(() => assert.fail("the worker has ended by itself"))]);
  } finally {
    worker.stop();
    await run;
  }
}

const enqueue = (payload: unknown = null) => client.enqueue(kind, payload, { queue });
const ended = (id: string) => client.wait(id, { timeoutMs: 60_000 });

/** Waits until something is so, by asking again and again. */
async function until<Value>(
  look: () => Promise<Value | undefined | false> | Value | undefined | false,
): Promise<Value> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) {
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const begun = (id: string) => until(async () => (await client.job(id)).progress !== undefined);

test("a job goes through its phases with a checkpoint in between", async () => {
  const worker = workerAt()
    .phase<{ n: number }, {}, { page: number }>(kind, "fetch", async (cx) => {
      if (cx.attempt === 1) {
        await cx.progress(1, 2, "half");
        await cx.log("one", "two");
        await cx.saveCheckpoint({ page: 3 });
        throw new RetryIn(10, "not yet");
      }
      return { from: cx.checkpoint, key: cx.idempotencyKey.length > 0 };
    })
    .phase(kind, "count", { inputs: ["fetch"] }, (cx) => ({ payload: cx.payload, fetched: cx.outputs["fetch"] }));
  const job = await running(worker, async () => ended(await enqueue({ n: 1 })));
  assert.deepEqual(job.result, { payload: { n: 1 }, fetched: { from: { page: 3 }, key: true } });
  assert.deepEqual(
    job.phases.map((phase) => phase.tries),
    [2, 1],
  );
  const logs = await client.connection.request<{ data: { text: string }[] }>("GET", `/jobs/${job.id}/logs`);
  assert.deepEqual(
    logs.data.map((line) => line.text),
    ["one", "two"],
  );
});

test("what a phase throws decides", async () => {
  const worker = workerAt().phase(kind, "only", async (cx) => {
    if (cx.payload === "snooze" && cx.checkpoint === null) {
      await cx.saveCheckpoint(true);
      throw new Snooze(10);
    }
    if (cx.payload === "permanent") {
      throw new Permanent("never again");
    }
    if (cx.payload === "no json") {
      return { n: 1n };
    }
    if (cx.payload === "too large") {
      return "x".repeat(9_000_000);
    }
    return cx.payload === "nothing" ? undefined : cx.attempt;
  });
  await running(worker, async () => {
    assert.equal((await ended(await enqueue("snooze"))).result, 1);
    assert.equal((await ended(await enqueue("nothing"))).result, null);
    for (const [payload, words] of [
      ["permanent", /Permanent: never again/],
      ["no json", /is no JSON: the member "n" is a bigint/],
      ["too large", /Problem: /],
    ] as const) {
      await assert.rejects(enqueue(payload).then(ended), (error) => {
        return error instanceof JobFailed && words.test(error.message) && error.job.phases[0]?.tries === 1;
      });
    }
  });
});

test("a phase is declared once, and has a handler", () => {
  const worker = workerAt().phase(kind, "only", () => 1);
  assert.throws(() => worker.phase(kind, "only", () => 2), /declared twice/);
  assert.throws(() => worker.phase(kind, "other", {}, undefined as never), /has no handler/);
});

test("a worker that the server refuses says so", async () => {
  await assert.rejects(workerAt().run({ handleSignals: false }), /must name 1 to 100 kinds/);
});

test("phases run at once, as many as there is room for", async () => {
  let at = 0;
  let most = 0;
  const three = promised();
  const worker = workerAt(SERVER, { concurrency: 3 }).phase(kind, "only", async () => {
    at += 1;
    most = Math.max(most, at);
    if (at === 3) {
      three.resolve();
    }
    await three.promise;
    at -= 1;
  });
  await running(worker, async () => {
    const jobs = await Promise.all([1, 2, 3, 4, 5, 6].map(enqueue));
    // The last ones do not wait for one another: there is room.
    await Promise.all(jobs.map(ended));
  });
  assert.equal(most, 3);
});

test("a stopped worker ends its phase and takes no other", async () => {
  const begins = promised();
  const mayEnd = promised();
  const worker = workerAt().phase(kind, "only", async () => {
    begins.resolve();
    await mayEnd.promise;
    return "done";
  });
  const run = worker.run({ handleSignals: false });
  const first = await enqueue();
  await begins.promise;
  worker.stop();
  const second = await enqueue();
  mayEnd.resolve();
  await run;
  assert.equal((await ended(first)).result, "done");
  assert.equal((await client.job(second)).state, "pending");
});

test("after the grace a phase is asked to stop and given back, without a try spent", async () => {
  const begins = promised();
  const why = promised<string>();
  const worker = workerAt(SERVER, { graceMs: 0 }).phase(kind, "only", async (cx) => {
    begins.resolve();
    await once(cx.signal, "abort");
    why.resolve((cx.signal.reason as Stopped).why);
    cx.signal.throwIfAborted();
  });
  const run = worker.run({ handleSignals: false });
  const id = await enqueue();
  await begins.promise;
  worker.stop();
  await run;
  assert.equal(await why.promise, "ending");
  const job = await client.job(id);
  assert.deepEqual([job.state, job.phases[0]?.tries, job.phases[0]?.interrupted], ["pending", 0, true]);
});

test("what does not listen is given back all the same", async () => {
  const begins = promised();
  const worker = workerAt(SERVER, { graceMs: 0 }).phase(kind, "only", () => {
    begins.resolve();
    return new Promise(() => {});
  });
  const run = worker.run({ handleSignals: false });
  const id = await enqueue();
  await begins.promise;
  worker.stop();
  await run;
  assert.equal((await client.job(id)).state, "pending");
});

test("over a network that loses answers every phase is recorded once", async () => {
  const passage = await Passage.open({ loseEvery: 3 });
  const ran: string[] = [];
  const worker = workerAt(passage.url, { concurrency: 3 })
    .phase(kind, "one", (cx) => {
      ran.push(`${cx.jobId} one ${cx.attempt}`);
      return cx.payload;
    })
    .phase(kind, "two", { inputs: ["one"] }, (cx) => {
      ran.push(`${cx.jobId} two ${cx.attempt}`);
      return cx.outputs["one"] * 2;
    });
  await running(worker, async () => {
    const jobs = await Promise.all(Array.from({ length: 12 }, (_, n) => enqueue(n)));
    for (const [n, job] of jobs.entries()) {
      assert.equal((await ended(job)).result, n * 2);
    }
  });
  assert.ok(passage.lost > 5, "answers were lost: else this proves nothing");
  assert.equal(new Set(ran).size, ran.length);
  const { page } = await client.jobs({ kind });
  const completed: string[] = [];
  for await (const event of client.events({ after: "0", kind })) {
    if (event.type === "job:phase:completed") {
      completed.push(`${event.jobId} ${event.phase}`);
    }
    if (completed.length === 24 || event.place === page.pos) {
      break;
    }
  }
  assert.equal(new Set(completed).size, 24);
  for (const job of (await client.jobs({ kind, limit: 100 })).data) {
    assert.ok(job.phases.every((phase) => phase.state === "completed"));
  }
  passage.close();
});

test("a job that is cancelled stops its phase", async () => {
  const passage = await Passage.open({ heartbeatMs: 50 });
  const begins = promised();
  const why = promised<string>();
  const worker = workerAt(passage.url).phase(kind, "only", async (cx) => {
    begins.resolve();
    await once(cx.signal, "abort");
    why.resolve((cx.signal.reason as Stopped).why);
    throw cx.signal.reason;
  });
  await running(worker, async () => {
    const id = await enqueue();
    await begins.promise;
    assert.equal(await client.cancel(id), "cancelling");
    await assert.rejects(ended(id), JobCancelled);
    assert.equal(await why.promise, "cancelled", "the server has not stopped it by force");
  });
  passage.close();
});

test("a worker that the server does not know any more registers anew, and its phases stop", async () => {
  const beats: string[] = [];
  const onAnswer = ({ path }: Passed) => {
    const found = /workers\/([^/]+)\/heartbeat/.exec(path)?.[1];
    beats.push(...(found === undefined ? [] : [found]));
  };
  const forgotten = new Set<string>();
  const passage = await Passage.open({ heartbeatMs: 50, onAnswer, forgotten });
  const whys: string[] = [];
  const begins = promised();
  const worker = workerAt(passage.url).phase(kind, "only", async (cx) => {
    begins.resolve();
    if (cx.interrupted) {
      return "again";
    }
    await once(cx.signal, "abort");
    whys.push((cx.signal.reason as Stopped).why);
    return "late";
  });
  await running(worker, async () => {
    const id = await enqueue();
    await begins.promise;
    const first = await until(() => beats[0]);
    forgotten.add(first);
    // One that was on its way would be told to terminate, as the worker is when it is deleted.
    const before = beats.length;
    await until(() => beats.length > before);
    await client.connection.request("DELETE", `/workers/${first}`);
    assert.equal((await ended(id)).result, "again");
    await until(() => new Set(beats).size === 2);
  });
  assert.deepEqual(whys, ["lost"]);
  passage.close();
});

test("a worker that is told to be quiet claims nothing more until it is told to, and ends when it is told to", async () => {
  const states: string[] = [];
  let id = "";
  const onAnswer = ({ path, body }: Passed) => {
    const found = /workers\/([^/]+)\/heartbeat/.exec(path)?.[1];
    if (found !== undefined) {
      id = found;
      states.push(JSON.parse(body).state);
    }
  };
  const passage = await Passage.open({ heartbeatMs: 50, onAnswer });
  const begins = promised();
  const worker = workerAt(passage.url, { graceMs: 200 }).phase(kind, "only", async (cx) => {
    if (cx.payload === "short") {
      return "done";
    }
    begins.resolve();
    await once(cx.signal, "abort");
    throw cx.signal.reason;
  });
  const run = worker.run({ handleSignals: false });
  const first = await enqueue();
  await begins.promise;
  await until(() => id !== "");
  await client.connection.request("POST", `/workers/${id}/quiet`);
  await until(() => states.includes("quiet"));
  const second = await enqueue("short");
  const seen = states.length;
  await until(() => states.length > seen + 2);
  assert.deepEqual([(await client.job(first)).state, (await client.job(second)).state], ["running", "pending"]);
  await client.connection.request("POST", `/workers/${id}/resume`);
  assert.equal((await ended(second)).result, "done");
  await client.connection.request("POST", `/workers/${id}/terminate`);
  await run;
  assert.equal((await client.job(first)).state, "pending");
  passage.close();
});

test("a worker whose claims are not let wait does not ask without pause", async () => {
  const claims: number[] = [];
  const passage = await Passage.open({ onClaim: () => claims.push(performance.now()) });
  await running(
    workerAt(passage.url).phase(kind, "only", () => null),
    async () => {
      await until(() => claims.length >= 3);
    },
  );
  assert.ok((claims[2] ?? 0) - (claims[0] ?? 0) >= 900, String(claims));
  passage.close();
});

/** A worker in a process of its own. */
function child(t: TestContext, server: string, handler: string) {
  const program = `
    import { existsSync } from "node:fs";
    import { Client, Worker } from "stepwell";
    const worker = new Worker({ client: new Client({ server: "${server}" }), queues: ["${queue}"] });
    worker.phase("${kind}", "only", ${handler});
    await worker.run();
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  // Whatever the test comes to: it holds the outputs open on which the runner waits.
  t.after(() => child.kill("SIGKILL"));
  return child;
}

test("SIGTERM ends a worker in order", async (t) => {
  const place = mkdtempSync(join(tmpdir(), "stepwell-"));
  const file = join(place, "may-end");
  const process = child(
    t,
    SERVER,
    `async (cx) => {
      await cx.progress(1, 2);
      while (!existsSync("${file}")) await new Promise((resolve) => setTimeout(resolve, 10));
      return "ended";
    }`,
  );
  const exited = once(process, "exit");
  const id = await enqueue();
  await begun(id);
  process.kill("SIGTERM");
  writeFileSync(file, "");
  assert.deepEqual(await exited, [0, null]);
  assert.equal((await ended(id)).result, "ended");
  rmSync(place, { recursive: true });
});

test("a handler that blocks everything keeps its lease", async (t) => {
  const place = mkdtempSync(join(tmpdir(), "stepwell-"));
  const file = join(place, "may-end");
  const beats: string[][] = [];
  const onAnswer = ({ path, body }: Passed) => {
    if (path.endsWith("/heartbeat") && existsSync(`${file}.blocks`)) {
      const { leases } = JSON.parse(body);
      // What was on its way when the lease came does not name it.
      if (leases.length > 0 || beats.length > 0) {
        beats.push(leases);
      }
    }
  };
  const passage = await Passage.open({ heartbeatMs: 50, onAnswer });
  const process = child(
    t,
    passage.url,
    `async (cx) => {
      const { writeFileSync } = await import("node:fs");
      const cell = new Int32Array(new SharedArrayBuffer(4));
      // From here on nothing else runs in this thread.
      writeFileSync("${file}.blocks", "");
      while (!existsSync("${file}")) Atomics.wait(cell, 0, 0, 10);
      return "kept";
    }`,
  );
  const exited = once(process, "exit");
  const id = await enqueue();
  await until(() => beats.length >= 5);
  assert.ok(
    beats.every((leases) => leases.length === 1),
    JSON.stringify(beats),
  );
  writeFileSync(file, "");
  const job: Job = await ended(id);
  assert.deepEqual([job.result, job.attempt], ["kept", 1]);
  process.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  passage.close();
  rmSync(place, { recursive: true });
});
