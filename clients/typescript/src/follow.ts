import { Connection, isWorthAnotherTry } from "./connection.js";
import { Unreachable } from "./errors.js";
import type { Event, EventFilter, Gap } from "./event.js";
import { messages, type Message } from "./message.js";
import { pause } from "./pause.js";

// The server says every 15 s that a quiet stream lives.
const SILENCE_MS = 45_000;
const PAUSE_MS = 1_000;
const PAUSE_LONGEST_MS = 10_000;

/** How events are followed. */
export interface FollowOptions extends EventFilter {
  /** Ends it: the iteration rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Where a page has no token: asks your own server for a ticket, anew for each connection. */
  ticket?: () => Promise<string>;
}

/** What happens, for ever: over broken connections and restarts of the server it goes on after the last event. */
export async function* follow(connection: Connection, options: FollowOptions): AsyncGenerator<Event | Gap, void, void> {
  const { signal, ticket, after } = options;
  let place = after === undefined ? "" : String(after);
  let retryMs = PAUSE_MS;
  for (let failures = 0; ; failures += 1) {
    const silence = new Silence(signal);
    try {
      const path = `/events?${query(options, place, ticket === undefined ? "" : await admitted(ticket))}`;
      const response = await connection.open(path, "text/event-stream", silence.signal);
      if (response.body === null) {
        throw new Unreachable("the answer has no body");
      }
      for await (const message of messages(response.body, () => silence.broken())) {
        failures = 0;
        retryMs = message.retryMs ?? retryMs;
        place = message.id || place;
        if (message.data !== "") {
          // However long the reader takes for it, that is no silence of the server's.
          silence.suspend();
          yield told(message);
          silence.broken();
        }
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isWorthAnotherTry(error) && !silence.isOver) {
        throw error;
      }
    } finally {
      silence.end();
    }
    await pause(Math.min(retryMs * 2 ** Math.min(failures, 10), Math.max(retryMs, PAUSE_LONGEST_MS)), signal);
  }
}

/** Ends a connection on which nothing has come for too long, or that nobody wants any more. */
class Silence {
  readonly #end = new AbortController();
  readonly #stop: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  isOver = false;

  constructor(readonly wanted: AbortSignal | undefined) {
    this.#stop = () => this.#end.abort(wanted?.reason);
    wanted?.throwIfAborted();
    wanted?.addEventListener("abort", this.#stop, { once: true });
    this.broken();
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Something has come. */
  broken(): void {
    this.suspend();
    this.#timer = setTimeout(() => {
      this.isOver = true;
      this.#end.abort(new Unreachable(`nothing has come for ${SILENCE_MS} ms`));
    }, SILENCE_MS);
  }

  suspend(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.suspend();
    this.wanted?.removeEventListener("abort", this.#stop);
    this.#end.abort();
  }
}

async function admitted(ticket: () => Promise<string>): Promise<string> {
  try {
    return await ticket();
  } catch (error) {
    throw new Unreachable("no ticket was given out", { cause: error });
  }
}

function query(filter: EventFilter, after: string, ticket: string): URLSearchParams {
  const { job = "", kind = "", queue = "", tag = "", types = [] } = filter;
  const asked = { after, job, kind, queue, tag, type: types.join(","), ticket };
  return new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ""));
}

function told(message: Message): Event | Gap {
  const said = JSON.parse(message.data);
  if (message.type === "stream:gap" || message.type === "stream:reset") {
    return { type: message.type, place: message.id, data: { from: said.from, oldest: said.oldest } };
  }
  return { ...said, place: message.id };
}
