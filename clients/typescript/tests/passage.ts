import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { SERVER } from "./place.js";

/** A request that went through. */
export interface Passed {
  method: string;
  path: string;
  body: string;
}

/** What happens on the way. */
export interface PassageOptions {
  /** Every so many answers one is lost, after the server has given it. */
  loseEvery?: number;
  /** What workers are told to send heartbeats at. */
  heartbeatMs?: number;
  /** Told of each request once the server has answered it, or somebody in its place. */
  onAnswer?: (passed: Passed) => void;
  /** Told of each claim, which is answered at once, with nothing. */
  onClaim?: () => void;
  /** Workers that the server is said not to know. */
  forgotten?: Set<string>;
  /** A stream is cut after so many bytes, and the client asked to come again at once. */
  cutAfterBytes?: number;
}

/** A way to the server on which things happen. */
export class Passage {
  lost = 0;
  cut = 0;
  #passed = 0;

  private constructor(
    readonly server: Server,
    readonly options: PassageOptions,
  ) {}

  static async open(options: PassageOptions): Promise<Passage> {
    const server = createServer((asked, answer) => passage.#carry(asked, answer));
    const passage = new Passage(server, options);
    server.listen(0, "127.0.0.1");
    // A test that fails does not close it, and must end all the same.
    server.unref();
    await once(server, "listening");
    return passage;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  async #carry(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await textOf(asked);
    const { method = "", url: path = "" } = asked;
    const passed = { method, path, body };
    if ([...(this.options.forgotten ?? [])].some((worker) => `${path} ${body}`.includes(worker))) {
      const problem = { status: 404, code: "not-found", detail: "there is no such worker here", retryable: false };
      this.options.onAnswer?.(passed);
      answer.writeHead(404, { "content-type": "application/problem+json" }).end(JSON.stringify(problem));
      return;
    }
    if (this.options.onClaim !== undefined && path === "/api/v1/claims") {
      this.options.onClaim();
      answer.writeHead(200, { "content-type": "application/json" }).end('{"claims":[]}');
      return;
    }
    const { host, connection, ...headers } = asked.headers;
    const onward = request(`${SERVER}${path}`, { method, headers, agent: false });
    onward.on("error", () => answer.destroy());
    onward.on("response", (given) => {
      if (given.headers["content-type"] === "text/event-stream") {
        this.#stream(given, answer);
      } else {
        void this.#whole(given, answer, passed);
      }
    });
    answer.on("close", () => onward.destroy());
    onward.end(body);
  }

  async #whole(given: IncomingMessage, answer: ServerResponse, passed: Passed): Promise<void> {
    let body = await textOf(given);
    this.options.onAnswer?.(passed);
    this.#passed += 1;
    if (this.options.loseEvery !== undefined && this.#passed % this.options.loseEvery === 0) {
      this.lost += 1;
      answer.destroy();
      return;
    }
    const registers = passed.method === "POST" && passed.path === "/api/v1/workers" && given.statusCode === 201;
    if (this.options.heartbeatMs !== undefined && registers) {
      body = JSON.stringify({ ...JSON.parse(body), heartbeatMs: this.options.heartbeatMs });
    }
    const { "content-length": _, ...headers } = given.headers;
    answer.writeHead(given.statusCode ?? 502, headers).end(body);
  }

  #stream(given: IncomingMessage, answer: ServerResponse): void {
    let left = this.options.cutAfterBytes ?? Infinity;
    answer.writeHead(200, given.headers);
    given.on("data", (whole: Buffer) => {
      const part = Buffer.from(whole.toString().replace(/^retry: \d+$/m, "retry: 10"));
      const isLast = part.length >= left;
      // What was let through arrives before the connection breaks.
      answer.write(part.subarray(0, left), () => isLast && answer.destroy());
      left -= part.length;
      if (isLast) {
        this.cut += 1;
        given.destroy();
      }
    });
    given.on("end", () => answer.end());
    given.on("error", () => answer.destroy());
  }
}

async function textOf(stream: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) {
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString();
}
