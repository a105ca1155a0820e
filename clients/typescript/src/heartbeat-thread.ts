/** The thread that sends heartbeats. It has a connection of its own, and shares nothing with the handlers. */

import { parentPort, workerData } from "node:worker_threads";

import { Bell } from "./bell.js";
import { Connection } from "./connection.js";
import { Problem } from "./errors.js";
import type { News, Order } from "./heartbeat.js";

/** After one that did not arrive the next comes so much sooner: the lease ends with the third that is missing. */
const SOONER = 4;

interface Beaten {
  desired: "run" | "quiet" | "terminate";
  leases: { lease: string; status: "held" | "cancel" | "lost" }[];
}

const connection = new Connection(workerData);
const leases = new Set<string>();
const due = new Bell();
let worker: { id: string; everyMs: number } | undefined;
let state: "running" | "quiet" = "running";
let desired: Beaten["desired"] | undefined;

parentPort?.on("message", (order: Order) => {
  switch (order.order) {
    case "begin":
      worker = { id: order.workerId, everyMs: order.everyMs };
      desired = undefined;
      due.ring();
      break;
    case "hold":
      leases.add(order.lease);
      break;
    case "drop":
      leases.delete(order.lease);
      break;
    case "state":
      if (state !== order.state) {
        state = order.state;
        due.ring();
      }
  }
});

for (;;) {
  const changed = due.rung();
  const arrived = await beat();
  const afterMs = worker && (arrived ? worker.everyMs : worker.everyMs / SOONER);
  const timer = afterMs === undefined ? undefined : setTimeout(() => due.ring(), afterMs);
  await changed;
  clearTimeout(timer);
}

/** Answers whether it arrived. */
async function beat(): Promise<boolean> {
  if (worker === undefined) {
    return true;
  }
  const { id, everyMs } = worker;
  try {
    const ask = { body: { state, leases: [...leases] }, tries: 1, timeoutMs: everyMs };
    const answer = await connection.request<Beaten>("POST", `/workers/${id}/heartbeat`, ask);
    for (const { lease, status } of answer.leases) {
      if (status !== "held") {
        tell({ news: status, lease });
      }
    }
    if (answer.desired !== desired && worker?.id === id) {
      desired = answer.desired;
      tell({ news: "desired", desired });
    }
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === "not-found") {
      // It cannot come back: the worker registers anew.
      worker = worker?.id === id ? undefined : worker;
      tell({ news: "unknown", workerId: id });
      return true;
    }
    tell({ news: "warning", text: `a heartbeat did not arrive: ${error instanceof Error ? error.message : error}` });
    return false;
  }
}

function tell(news: News): void {
  parentPort?.postMessage(news);
}
