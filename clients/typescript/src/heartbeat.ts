import { Worker as Thread } from "node:worker_threads";

import type { Settings } from "./connection.js";

/** What the heartbeats' thread is told. */
export type Order =
  | { order: "begin"; workerId: string; everyMs: number }
  | { order: "hold" | "drop"; lease: string }
  | { order: "state"; state: "running" | "quiet" };

/** What it tells. */
export type News =
  | { news: "cancel" | "lost"; lease: string }
  | { news: "desired"; desired: "run" | "quiet" | "terminate" }
  | { news: "unknown"; workerId: string }
  | { news: "warning"; text: string };

/**
 * Heartbeats, sent from a thread of their own: a handler that does not yield blocks everything else in this one, and
 * must not lose its lease for that.
 */
export class Heartbeat {
  readonly #thread: Thread;

  constructor(settings: Settings, onNews: (news: News) => void, onDeath: (error: Error) => void) {
    const program = new URL("./heartbeat-thread.js", import.meta.url);
    // The flags of the process may be about its own program, `--input-type` say.
    this.#thread = new Thread(program, { workerData: settings, execArgv: [] });
    this.#thread.on("message", onNews);
    this.#thread.on("error", onDeath);
  }

  /** Keeps this worker alive from now on, in place of the one before. */
  begin(workerId: string, everyMs: number): void {
    this.#tell({ order: "begin", workerId, everyMs });
  }

  /** A phase runs under this lease from now on. */
  hold(lease: string): void {
    this.#tell({ order: "hold", lease });
  }

  /** It runs no more. */
  drop(lease: string): void {
    this.#tell({ order: "drop", lease });
  }

  /** Whether anything is claimed. The server is told at once, so that a claim which waits is answered. */
  say(state: "running" | "quiet"): void {
    this.#tell({ order: "state", state });
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }

  #tell(order: Order): void {
    this.#thread.postMessage(order);
  }
}
