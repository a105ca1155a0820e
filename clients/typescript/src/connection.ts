import { LeaseLost, Problem, Unreachable, type ProblemBody } from "./errors.js";
import { encode } from "./json.js";
import { pause } from "./pause.js";

const PAUSE_FIRST_MS = 100;
const PAUSE_LONGEST_MS = 2_000;

/** Where the server is, and how it is asked. */
export interface Settings {
  /** `http://…` or `https://…`; empty is the server that a page came from. */
  server: string;
  /** Sent as a bearer token, unless it is empty. */
  token: string;
  /** How long one request may take. */
  timeoutMs: number;
  /** How often it is sent, if it does not arrive. */
  tries: number;
}

/** A request, apart from its method and path. */
export interface Ask {
  body?: unknown;
  headers?: Record<string, string>;
  /** How often it is sent at most. Only ask for more than 1 where that does no harm. */
  tries?: number;
  timeoutMs?: number;
  /** Ends it, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Carries requests to a server, and sends those again that did not arrive. Needs nothing but `fetch`. */
export class Connection {
  // Private at run time as well: whoever prints a client does not print its token.
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = { ...settings, server: settings.server.replace(/\/+$/, "") };
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** Asks for `path` below `/api/v1` and answers with the decoded body. */
  async request<Answer>(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    let left = Math.max(1, ask.tries ?? this.#settings.tries);
    for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_LONGEST_MS)) {
      left -= 1;
      let wishedMs = 0;
      try {
        return await this.#once<Answer>(method, path, ask);
      } catch (error) {
        if (left === 0 || !isWorthAnotherTry(error)) {
          throw error;
        }
        wishedMs = error instanceof Problem ? (error.body.retryAfterMs ?? 0) : 0;
      }
      await pause(Math.max(pauseMs, wishedMs), ask.signal);
    }
  }

  /** Opens an answer that is read while it comes. The signal ends it. */
  async open(path: string, accept: string, signal: AbortSignal): Promise<Response> {
    const response = await this.#fetch("GET", path, { headers: { accept }, signal });
    if (!response.ok) {
      throw problem(response, await this.#text(response));
    }
    return response;
  }

  async #once<Answer>(method: string, path: string, ask: Ask): Promise<Answer> {
    const timeoutMs = ask.timeoutMs ?? this.#settings.timeoutMs;
    const end = new AbortController();
    const stop = () => end.abort(ask.signal?.reason);
    const timer = setTimeout(() => end.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    ask.signal?.throwIfAborted();
    ask.signal?.addEventListener("abort", stop, { once: true });
    try {
      const response = await this.#fetch(method, path, { ...ask, signal: end.signal });
      return this.#read<Answer>(response, await this.#text(response));
    } catch (error) {
      ask.signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      ask.signal?.removeEventListener("abort", stop);
    }
  }

  async #fetch(method: string, path: string, ask: Ask & { signal: AbortSignal }): Promise<Response> {
    const { server, token } = this.#settings;
    const headers: Record<string, string> = { accept: "application/json", ...ask.headers };
    if (token !== "") {
      headers["authorization"] = `Bearer ${token}`;
    }
    if (ask.body !== undefined) {
      headers["content-type"] = "application/json";
    }
    const body = ask.body === undefined ? null : encode(ask.body);
    try {
      return await fetch(`${server}/api/v1${path}`, { method, headers, body, signal: ask.signal, redirect: "error" });
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #read<Answer>(response: Response, text: string): Answer {
    if (!response.ok) {
      throw problem(response, text);
    }
    if (text === "") {
      return undefined as Answer;
    }
    try {
      return JSON.parse(text) as Answer;
    } catch (error) {
      // Something between here and the server has answered.
      throw this.#unreachable(error);
    }
  }

  #unreachable(error: unknown): Unreachable {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new Unreachable(`${this.#settings.server || "the server"} did not answer: ${why}`, { cause: error });
  }
}

/** Whether the same request may succeed later. */
export function isWorthAnotherTry(error: unknown): boolean {
  return error instanceof Unreachable || (error instanceof Problem && error.retryable);
}

function problem(response: Response, text: string): Problem {
  let body: ProblemBody;
  try {
    body = JSON.parse(text) as ProblemBody;
  } catch {
    // Something between here and the server has answered.
    const { status, statusText, headers } = response;
    const retryAfter = headers.get("retry-after") ?? "";
    const retryAfterMs = /^[0-9]+$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
    body = { status, code: "", detail: statusText, retryable: [429, 502, 503, 504].includes(status), retryAfterMs };
  }
  return body.code === "lease-lost" ? new LeaseLost(body) : new Problem(body);
}
