import type { Claim } from "./claim.js";
import { LeaseLost } from "./errors.js";

/** What a phase is given, and what it can say while it runs. */
export class Context<Payload = any, Outputs = Record<string, any>, Checkpoint = any> {
  readonly jobId: string;
  readonly kind: string;
  readonly queue: string;
  /** 1, and one more with each operator's retry. */
  readonly run: number;
  /** What the job is about. */
  readonly payload: Payload;
  /** The name of the phase. */
  readonly phase: string;
  /** Which try of the phase this is: 1 for the first. */
  readonly attempt: number;
  /** Whether an earlier try was cut off, and may have left half of its effects. */
  readonly interrupted: boolean;
  /** The same for every try: for systems that accept such a key. */
  readonly idempotencyKey: string;
  /** The results of the inputs, by their names. */
  readonly outputs: Outputs;
  /**
   * Aborted when the phase should stop, with `Stopped` as its reason: its job is to be cancelled, its lease was lost,
   * or the worker ends and the grace is over. Hand it to whatever takes a signal.
   */
  readonly signal: AbortSignal;
  readonly #claim: Claim;
  readonly #warn: (text: string) => void;
  #checkpoint: Checkpoint | null;

  /** @internal */
  constructor(claim: Claim, warn: (text: string) => void) {
    const { job, phase } = claim.view;
    this.jobId = job.id;
    this.kind = job.kind;
    this.queue = job.queue;
    this.run = job.run;
    this.payload = job.payload as Payload;
    this.phase = phase.name;
    this.attempt = phase.attempt;
    this.interrupted = phase.interrupted;
    this.idempotencyKey = phase.idempotencyKey;
    this.outputs = phase.outputs as Outputs;
    this.signal = claim.signal;
    this.#claim = claim;
    this.#warn = warn;
    this.#checkpoint = phase.checkpoint as Checkpoint | null;
  }

  /** What was stored last by `saveCheckpoint`, in this try or an earlier one; `null` if nothing was. */
  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  /**
   * Says how far the phase has got. What cannot be said now is not said: the phase goes on.
   *
   * @throws LeaseLost
   */
  async progress(done: number, total: number, note?: string): Promise<void> {
    try {
      await this.#claim.say("progress", { done, total, ...(note === undefined ? {} : { note }) }, 1);
    } catch (error) {
      if (error instanceof LeaseLost) {
        throw error;
      }
      this.#warn(`progress of ${this.jobId} could not be told: ${error}`);
    }
  }

  /**
   * Adds lines to the job's log.
   *
   * @throws LeaseLost
   */
  async log(...lines: string[]): Promise<void> {
    await this.#claim.say("logs", { lines });
  }

  /**
   * Stores durably how far the phase has got. The next try is given it as `checkpoint`.
   *
   * @throws LeaseLost
   */
  async saveCheckpoint(value: Checkpoint): Promise<void> {
    await this.#claim.say("checkpoint", { value: value ?? null });
    this.#checkpoint = value;
  }
}
