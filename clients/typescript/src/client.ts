import { StepwellError } from "./errors.js";
import type { JobState, NewJobOptions } from "./job.js";
import { Reader, type ReaderOptions } from "./reader.js";

/** What can be said about a new job, and about the request itself. */
export interface EnqueueOptions extends NewJobOptions {
  /** With the same key the same job is the answer, for 24 hours: a new one for each call unless set. */
  idempotencyKey?: string;
}

/** Enqueues jobs, steers them, waits for them, and follows what happens. */
export class Client extends Reader {
  /** `server` and `token` are those of `STEPWELL_SERVER` and `STEPWELL_TOKEN` unless given. */
  constructor(options: ReaderOptions = {}) {
    const server = options.server || process.env["STEPWELL_SERVER"] || "http://127.0.0.1:7717";
    const token = options.token || process.env["STEPWELL_TOKEN"] || "";
    if (!/^https?:\/\//i.test(server)) {
      throw new StepwellError(`the server ${JSON.stringify(server)} is no http:// or https:// address`);
    }
    super({ ...options, server, token });
  }

  /**
   * Stores a job and answers with its id. When it answers, the job is on disk. The request counts once, however often
   * it has to be sent.
   *
   * @throws Problem that names the option which breaks a rule, in `faults`.
   */
  async enqueue(kind: string, payload: unknown = null, options: EnqueueOptions = {}): Promise<string> {
    const { idempotencyKey = crypto.randomUUID(), ...rest } = options;
    const ask = { body: { kind, payload, ...rest }, headers: { "idempotency-key": idempotencyKey } };
    return (await this.connection.request<{ id: string }>("POST", "/jobs", ask)).id;
  }

  /** Stops a job and answers with the state that it is in then. One that has ended stays as it is. */
  async cancel(id: string): Promise<JobState> {
    const path = `/jobs/${encodeURIComponent(id)}/cancel`;
    return (await this.connection.request<{ state: JobState }>("POST", path)).state;
  }

  /**
   * Gives a failed or cancelled job a fresh set of tries. Completed phases keep their results, unless `fromStart`.
   *
   * It is sent once: if it rejects with `Unreachable`, look at the job.
   */
  async retry(id: string, options: { fromStart?: boolean } = {}): Promise<void> {
    const body = { fromStart: options.fromStart ?? false };
    await this.connection.request("POST", `/jobs/${encodeURIComponent(id)}/retry`, { body, tries: 1 });
  }
}
