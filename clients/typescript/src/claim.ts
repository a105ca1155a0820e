import type { Connection } from "./connection.js";
import { LeaseLost, StepwellError } from "./errors.js";

/** A phase that was claimed, as the server tells it. */
export interface ClaimView {
  lease: string;
  job: { id: string; kind: string; queue: string; run: number; payload: unknown };
  phase: {
    name: string;
    attempt: number;
    interrupted: boolean;
    checkpoint: unknown;
    idempotencyKey: string;
    outputs: Record<string, unknown>;
  };
}

/** What a report has led to. */
export interface Reported {
  jobState: string;
  nextAttemptAt?: string;
  /** The job's next phase, if it is this worker's to run. */
  next: ClaimView | null;
}

/** Why a phase is to stop: its job is to be cancelled, it runs elsewhere by now, or the worker ends. */
export type Why = "cancelled" | "lost" | "ending";

/** The reason of a phase's signal. */
export class Stopped extends StepwellError {
  constructor(readonly why: Why) {
    const text = { cancelled: "the job is to be cancelled", lost: "the lease was lost", ending: "the worker ends" };
    super(text[why]);
  }
}

// A report must arrive: it is sent again for longer than the lease can hold, and that does no harm.
const REPORT_TRIES = 40;

/** A phase that is this worker's to run, and what is said about it. */
export class Claim {
  readonly #connection: Connection;
  readonly #stop = new AbortController();
  #isLost = false;

  constructor(
    connection: Connection,
    readonly view: ClaimView,
  ) {
    this.#connection = connection;
  }

  get lease(): string {
    return this.view.lease;
  }

  /** Aborted when the phase is to stop, with {@link Stopped} as its reason. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Why the phase is to stop, if it is. */
  get why(): Why | undefined {
    return this.signal.aborted ? (this.signal.reason as Stopped).why : undefined;
  }

  /** Asks the phase to stop. The first reason counts; what is lost stays so. */
  stop(why: Why): void {
    this.#isLost ||= why === "lost";
    if (!this.signal.aborted) {
      this.#stop.abort(new Stopped(why));
    }
  }

  /**
   * Says something about the phase.
   *
   * @throws LeaseLost, and then the phase is to stop. What was lost is not spoken of again.
   */
  async say<Answer>(verb: string, body: unknown, tries = REPORT_TRIES): Promise<Answer> {
    if (this.#isLost) {
      throw new LeaseLost({ status: 409, code: "lease-lost", detail: "it was said before that the lease is lost" });
    }
    try {
      const path = `/claims/${encodeURIComponent(this.lease)}/${verb}`;
      return await this.#connection.request<Answer>("POST", path, { body, tries });
    } catch (error) {
      if (error instanceof LeaseLost) {
        this.stop("lost");
      }
      throw error;
    }
  }
}
