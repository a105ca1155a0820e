import { Connection } from "./connection.js";
import { JobCancelled, JobFailed, WaitTimeout } from "./errors.js";
import type { Event, Gap } from "./event.js";
import { follow, type FollowOptions } from "./follow.js";
import type { Job, JobFilter, JobPage } from "./job.js";

/** The longest that one request waits for an end. The server allows 30 s. */
const WAIT_MS = 25_000;
const TIMEOUT_MS = 35_000;
const TRIES = 5;

/** Where the server is. */
export interface ReaderOptions {
  /** `http://…` or `https://…`. In a page it may be left out: then it is the server that the page came from. */
  server?: string;
  /** A token, if the server asks for one. It has no place in a page: see `ticket` of `events`. */
  token?: string;
  /** How long one request may take: 35,000 unless set. More than the 25,000 that a request waits for an end. */
  timeoutMs?: number;
  /** How often a request is sent that does not arrive: 5 unless set. */
  tries?: number;
}

/** How long a job is waited for. */
export interface WaitOptions {
  /** For ever unless set. */
  timeoutMs?: number;
  /** Ends the waiting: it rejects with the signal's reason. The job goes on. */
  signal?: AbortSignal;
}

/** Looks at jobs and follows what happens. Runs in browsers as well as in Node. */
export class Reader {
  readonly connection: Connection;

  constructor(options: ReaderOptions = {}) {
    const { server = "", token = "", timeoutMs = TIMEOUT_MS, tries = TRIES } = options;
    this.connection = new Connection({ server, token, timeoutMs, tries });
  }

  /**
   * A job as it stands.
   *
   * @throws Problem with the code `not-found`, if there is none.
   */
  job(id: string): Promise<Job> {
    return this.connection.request("GET", `/jobs/${encodeURIComponent(id)}`);
  }

  /** A page of the jobs that match. The next one is asked for with its `page.next` as `cursor`. */
  jobs(filter: JobFilter = {}): Promise<JobPage> {
    const { attribute, ...rest } = filter;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(rest)) {
      query.set(name, String(value));
    }
    if (attribute !== undefined) {
      query.set(`attr.${attribute.name}`, attribute.value);
    }
    return this.connection.request("GET", `/jobs?${query}`);
  }

  /**
   * Waits for the end of a job and answers with it.
   *
   * @throws JobFailed or JobCancelled, if it has ended so; WaitTimeout, if it has not ended in time.
   */
  async wait(id: string, options: WaitOptions = {}): Promise<Job> {
    const { timeoutMs = Infinity, signal } = options;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const waitMs = Math.ceil(Math.max(0, Math.min(WAIT_MS, deadline - performance.now())));
      const path = `/jobs/${encodeURIComponent(id)}?waitMs=${waitMs}`;
      const job = await this.connection.request<Job>("GET", path, { signal });
      switch (job.state) {
        case "completed":
          return job;
        case "failed":
          throw new JobFailed(job);
        case "cancelled":
          throw new JobCancelled(job);
      }
      if (performance.now() >= deadline) {
        throw new WaitTimeout(`job ${id} has not ended after ${timeoutMs} ms`);
      }
    }
  }

  /**
   * Follows what happens, for ever: over broken connections and restarts of the server it goes on after the last event.
   *
   * Without `after` it begins when the first event is asked for. To begin with what there is, read a page of `jobs` and
   * follow after its `page.pos`. What was missed is told by a `Gap`, whose type begins with `stream:`.
   */
  events(options: FollowOptions = {}): AsyncGenerator<Event | Gap, void, void> {
    return follow(this.connection, options);
  }
}
