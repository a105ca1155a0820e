import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { Client, type Event, type Gap } from "stepwell";

import { messages, type Message } from "../dist/message.js";
import { Passage } from "./passage.js";
import { SERVER, unique } from "./place.js";

const client = new Client({ server: SERVER });

/** Events up to and with the first one of this type. */
async function until(last: string, events: AsyncIterable<Event | Gap>): Promise<(Event | Gap)[]> {
  const seen = [];
  for await (const event of events) {
    seen.push(event);
    if (event.type === last) {
      break;
    }
  }
  return seen;
}

test("events come in order and go on where they stood", async () => {
  const kind = unique("kind");
  const job = await client.enqueue(kind, {});
  await client.cancel(job);
  const all = await until("job:cancelled", client.events({ after: "0", kind }));
  assert.deepEqual(
    all.map((event) => event.type),
    ["job:enqueued", "job:cancelled"],
  );
  const rest = await until("job:cancelled", client.events({ after: all[0]?.place ?? "", kind }));
  assert.deepEqual(rest, all.slice(1));
  const ends = await until("job:cancelled", client.events({ after: "0", job, types: ["job:cancelled"] }));
  assert.deepEqual(ends, all.slice(1));
});

test("events come live, after the place of a list", async () => {
  const kind = unique("kind");
  const { page } = await client.jobs({ kind });
  const events = client.events({ after: page.pos, kind });
  const first = events.next();
  const job = await client.enqueue(kind, {});
  const { value } = await first;
  assert.equal((value as Event).jobId, job);
  await events.return();
});

test("over connections that break, each event comes once", async () => {
  const passage = await Passage.open({ cutAfterBytes: 1_000 });
  const kind = unique("kind");
  for (let nth = 0; nth < 10; nth += 1) {
    await client.enqueue(kind, { nth });
  }
  const last = await client.enqueue(kind, {});
  await client.cancel(last);
  const events = new Client({ server: passage.url }).events({ after: "0", kind });
  const seen = await until("job:cancelled", events);
  assert.ok(passage.cut >= 2, "connections were cut: else this proves nothing");
  assert.equal(seen.filter((event) => event.type === "job:enqueued").length, 11);
  assert.equal(new Set(seen.map((event) => event.place)).size, seen.length);
  passage.close();
});

test("what was missed is told", async () => {
  const [first] = await until("stream:reset", client.events({ after: "another-log-7" }));
  assert.ok(first?.type === "stream:reset" && first.data.oldest === 1);
  const server = createServer((_, answer) => {
    answer.writeHead(200, { "content-type": "text/event-stream" });
    answer.write('id: log-4\nevent: stream:gap\ndata: {"type":"stream:gap","from":1,"oldest":5}\n\n');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stub = new Client({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const gap = await until("stream:gap", stub.events({ after: 1 }));
  assert.deepEqual(gap, [{ type: "stream:gap", place: "log-4", data: { from: 1, oldest: 5 } }]);
  server.close();
  server.closeAllConnections();
});

test("following ends with its signal, and at once where it is refused", async () => {
  const stop = new AbortController();
  const following = client.events({ signal: stop.signal }).next();
  stop.abort(new Error("enough"));
  await assert.rejects(following, /enough/);
  await assert.rejects(client.events({ after: "no place" }).next(), /no place in the event log/);
});

test("a page without a token asks for a ticket for each connection", async () => {
  const passage = await Passage.open({ cutAfterBytes: 600 });
  const kind = unique("kind");
  await client.enqueue(kind, {});
  await client.cancel(await client.enqueue(kind, {}));
  let given = 0;
  const ticket = async () => {
    given += 1;
    return (await client.connection.request<{ ticket: string }>("POST", "/events/tickets")).ticket;
  };
  await until("job:cancelled", new Client({ server: passage.url }).events({ after: 0, kind, ticket }));
  assert.ok(given >= 2 && given === passage.cut + 1, `${given} tickets, ${passage.cut} cuts`);
  passage.close();
});

test("a stream may come in any pieces", async () => {
  const text = ": hello\r\nretry: 7\r\nid: a-1\r\n\r\nevent: x\ndata: ü1\ndata: 2\n\nid: a-2\rdata: 3\r\r: end\n";
  const bytes = new TextEncoder().encode(text);
  const whole: Message[] = [
    { id: "a-1", type: "", data: "", retryMs: 7 },
    { id: "a-1", type: "x", data: "ü1\n2" },
    { id: "a-2", type: "", data: "3" },
  ];
  for (let size = 1; size <= bytes.length; size += 1) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) {
          controller.enqueue(bytes.subarray(at, at + size));
        }
        controller.close();
      },
    });
    const seen = [];
    for await (const message of messages(body, () => {})) {
      seen.push(message);
    }
    assert.deepEqual(seen, whole, `in pieces of ${size}`);
  }
});
