import type { Job } from "./job.js";

/** Whatever goes wrong between here and the server. */
export class StepwellError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server did not answer. What was asked may have been done or not: ask again. */
export class Unreachable extends StepwellError {}

/** What is wrong with one part of a request. */
export interface Fault {
  /** The place in the body (`#/runAt`), the parameter (`?limit`) or the header. */
  pointer: string;
  code: string;
  /** What is wrong, and what to do. */
  detail: string;
}

/** Why a request was refused, as the server says it (RFC 9457). */
export interface ProblemBody {
  status: number;
  code: string;
  title?: string;
  detail?: string;
  retryable?: boolean;
  /** When to ask again. */
  retryAfterMs?: number;
  requestId?: string;
  errors?: Fault[];
  /** The job that stands in the way. */
  jobId?: string;
}

/** The server refused. `code` is for programs, `message` and `faults` for people. */
export class Problem extends StepwellError {
  readonly body: ProblemBody;

  constructor(body: ProblemBody) {
    super(`${body.code}: ${body.detail ?? body.title ?? ""}`);
    this.body = body;
  }

  /** The status of the answer. */
  get status(): number {
    return this.body.status;
  }

  /** The kind of problem: `validation`, `not-found`, `conflict-unique`, … */
  get code(): string {
    return this.body.code;
  }

  /** What is wrong with which part of the request. */
  get faults(): Fault[] {
    return this.body.errors ?? [];
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.body.retryable ?? false;
  }
}

/** The phase is not this worker's any more: stop it, and say nothing more about it. */
export class LeaseLost extends Problem {}

/** A job that was waited for has failed. */
export class JobFailed extends StepwellError {
  constructor(readonly job: Job) {
    super(job.failure?.message ?? "the job has failed");
  }
}

/** A job that was waited for was cancelled. */
export class JobCancelled extends StepwellError {
  constructor(readonly job: Job) {
    super("the job was cancelled");
  }
}

/** A job that was waited for has not ended in time. It goes on. */
export class WaitTimeout extends StepwellError {}
