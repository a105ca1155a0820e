import { hostname } from "node:os";

import { Bell } from "./bell.js";
import { Claim, type ClaimView } from "./claim.js";
import { Client } from "./client.js";
import { isWorthAnotherTry } from "./connection.js";
import { Context } from "./context.js";
import { LeaseLost, Problem, StepwellError } from "./errors.js";
import { Heartbeat, type News } from "./heartbeat.js";
import { outcomeOf, report } from "./outcome.js";
import { pause } from "./pause.js";

/** How long a claim waits for something to do. */
const WAIT_MS = 20_000;
/** The same while some slots are taken: one of them may become free, and with it more can be claimed. */
const WAIT_SHORT_MS = 1_000;
/** Between two tries of something that the server cannot do now. */
const PAUSE_MS = 500;
/** How long a claim under way may still take once nothing more is wanted. The server answers it within a second. */
const CLAIM_PATIENCE_MS = 2_000;
/** What phases have to say after they were asked to stop. */
const LAST_WORDS_MS = 1_000;

/** Runs a phase. What it returns is the phase's result. */
export type Handler<Payload = any, Outputs = Record<string, any>, Checkpoint = any> = (
  cx: Context<Payload, Outputs, Checkpoint>,
) => unknown;

/** How a phase is declared. */
export interface PhaseOptions {
  /** Earlier phases of the kind, whose results it is given. */
  inputs?: readonly string[];
}

/** How a worker works. */
export interface WorkerOptions {
  /** `new Client()` unless given. */
  client?: Client;
  /** The queues that it works: `default` unless set. */
  queues?: readonly string[];
  /** What people call it: the host and the process unless set. */
  name?: string;
  /** Phases at once: 4 unless set. They share one thread, as everything in Node does. */
  concurrency?: number;
  /** How long phases may go on after `stop`, before they are given back: 10,000 milliseconds unless set. */
  graceMs?: number;
  /** Told what goes wrong and is tried again: `console.warn` unless set. */
  warn?: (text: string) => void;
}

interface Declared {
  inputs: readonly string[];
  handler: Handler;
}

/** Claims phases and runs them, until it is stopped. */
export class Worker {
  readonly #client: Client;
  readonly #queues: readonly string[];
  readonly #name: string;
  readonly #concurrency: number;
  readonly #graceMs: number;
  readonly #warn: (text: string) => void;
  readonly #kinds = new Map<string, Map<string, Declared>>();
  readonly #held = new Map<string, Claim>();
  readonly #bell = new Bell();
  readonly #noMore = new AbortController();
  #heartbeat: Heartbeat | undefined;
  #id = "";
  #flying = 0;
  #isQuiet = false;
  /** By an operator. */
  #isHeldBack = false;
  #end: "stop" | "terminate" | undefined;
  #death: Error | undefined;

  constructor(options: WorkerOptions = {}) {
    this.#client = options.client ?? new Client();
    this.#queues = options.queues ?? ["default"];
    this.#name = options.name ?? `${hostname()}:${process.pid}`;
    this.#concurrency = Math.max(1, Math.floor(options.concurrency ?? 4));
    this.#graceMs = Math.max(0, options.graceMs ?? 10_000);
    this.#warn = options.warn ?? ((text) => console.warn(`stepwell: ${text}`));
  }

  /** Declares a phase of a kind, after those that were declared before. Its result is what the handler returns. */
  phase<Payload = any, Outputs = Record<string, any>, Checkpoint = any>(
    kind: string,
    name: string,
    handler: Handler<Payload, Outputs, Checkpoint>,
  ): this;
  phase<Payload = any, Outputs = Record<string, any>, Checkpoint = any>(
    kind: string,
    name: string,
    options: PhaseOptions,
    handler: Handler<Payload, Outputs, Checkpoint>,
  ): this;
  phase(kind: string, name: string, first: PhaseOptions | Handler, second?: Handler): this {
    const [options, handler] = typeof first === "function" ? [{}, first] : [first, second];
    if (handler === undefined) {
      throw new StepwellError(`the phase ${JSON.stringify(name)} of ${JSON.stringify(kind)} has no handler`);
    }
    const phases = this.#kinds.get(kind) ?? new Map<string, Declared>();
    if (phases.has(name)) {
      throw new StepwellError(`the phase ${JSON.stringify(name)} of ${JSON.stringify(kind)} is declared twice`);
    }
    this.#kinds.set(kind, phases.set(name, { inputs: options.inputs ?? [], handler }));
    return this;
  }

  /** Claims nothing more, until `resume`. Phases go on to their ends, and the worker stays. */
  quiet(): void {
    this.#isQuiet = true;
    this.#turn();
  }

  /** Claims again, unless an operator wants it to be quiet, or it was stopped. */
  resume(): void {
    this.#isQuiet = false;
    this.#turn();
  }

  /** Claims nothing more, gives phases the grace to end, and lets `run` return. */
  stop(): void {
    if (this.#end === undefined) {
      this.#end = "stop";
      setTimeout(() => this.#noMore.abort(new StepwellError("nothing more is claimed")), CLAIM_PATIENCE_MS).unref();
      this.#turn();
    }
  }

  /** Asks all phases to stop at once, gives back those that do not, and lets `run` return. */
  terminate(): void {
    this.stop();
    this.#end = "terminate";
    this.#turn();
  }

  /**
   * Works until it is stopped: by `stop`, SIGTERM, Ctrl-C, or the server. A second signal ends the grace.
   *
   * What does not end within the grace is given back, without a try spent, and `run` returns while the handler still
   * runs: end the process then.
   *
   * @throws Problem, if the server refuses the worker.
   */
  async run(options: { handleSignals?: boolean } = {}): Promise<void> {
    if (this.#heartbeat !== undefined) {
      throw new StepwellError("a worker runs once; make another one");
    }
    const signalled = () => (this.#end === undefined ? this.stop() : this.terminate());
    const signals = (options.handleSignals ?? true) ? (["SIGTERM", "SIGINT"] as const) : [];
    signals.forEach((signal) => process.on(signal, signalled));
    this.#heartbeat = new Heartbeat(
      this.#client.connection.settings,
      (news) => this.#hear(news),
      (error) => this.#die(error),
    );
    try {
      await this.#register();
      try {
        await this.#work();
      } finally {
        this.stop();
        await this.#drain();
        await this.#leave();
      }
    } finally {
      await this.#heartbeat.end();
      signals.forEach((signal) => process.off(signal, signalled));
    }
    if (this.#death !== undefined) {
      throw this.#death;
    }
  }

  /** Whether it claims. */
  get #claims(): boolean {
    return this.#end === undefined && !this.#isQuiet && !this.#isHeldBack;
  }

  /** What is wanted of it is something else. */
  #turn(): void {
    this.#heartbeat?.say(this.#claims ? "running" : "quiet");
    this.#bell.ring();
  }

  /** The thread of the heartbeats has ended: without it nothing can be held. */
  #die(error: Error): void {
    this.#death = error;
    this.terminate();
  }

  async #register(): Promise<void> {
    const kinds = [...this.#kinds].map(([kind, phases]) => ({
      kind,
      phases: [...phases].map(([name, { inputs }]) => ({ name, inputs })),
    }));
    const body = { name: this.#name, queues: this.#queues, kinds };
    const answer = await this.#client.connection.request<{ id: string; heartbeatMs: number }>("POST", "/workers", {
      body,
    });
    this.#id = answer.id;
    this.#heartbeat?.begin(answer.id, answer.heartbeatMs);
  }

  async #work(): Promise<void> {
    while (this.#end === undefined) {
      const free = this.#concurrency - this.#flying;
      if (free === 0 || !this.#claims) {
        await this.#bell.rung();
        continue;
      }
      const asked = performance.now();
      const views = await this.#claim(free);
      views.forEach((view) => this.#take(view));
      if (views.length === 0 && performance.now() - asked < PAUSE_MS) {
        // The server does not let it wait, as one that ends does.
        await this.#rest(PAUSE_MS);
      }
    }
  }

  /** What there is to do, for at most so many slots. */
  async #claim(max: number): Promise<ClaimView[]> {
    const waitMs = max === this.#concurrency ? WAIT_MS : WAIT_SHORT_MS;
    let key = crypto.randomUUID();
    while (this.#claims) {
      try {
        const body = { workerId: this.#id, max, waitMs };
        const ask = { body, headers: { "idempotency-key": key }, tries: 1, signal: this.#noMore.signal };
        return (await this.#client.connection.request<{ claims: ClaimView[] }>("POST", "/claims", ask)).claims;
      } catch (error) {
        if (this.#noMore.signal.aborted) {
          break;
        }
        if (error instanceof Problem && error.code === "not-found") {
          // It was taken for dead, or the server is another one: what it had is not its own any more.
          this.#held.forEach((claim) => this.#lose(claim));
          await this.#registerAgain();
          key = crypto.randomUUID();
          continue;
        }
        await this.#bearWith(error);
      }
    }
    return [];
  }

  async #registerAgain(): Promise<void> {
    while (this.#claims) {
      try {
        return await this.#register();
      } catch (error) {
        await this.#bearWith(error);
      }
    }
  }

  /** Waits a moment, if the same may succeed later. */
  async #bearWith(error: unknown): Promise<void> {
    if (!isWorthAnotherTry(error)) {
      throw error;
    }
    this.#warn(`${(error as Error).message}; trying again`);
    const wishedMs = error instanceof Problem ? (error.body.retryAfterMs ?? 0) : 0;
    await this.#rest(Math.max(PAUSE_MS, wishedMs));
  }

  /** Waits for so long. Nothing but the end cuts it short. */
  #rest(ms: number): Promise<void> {
    return pause(ms, this.#noMore.signal).catch(() => {});
  }

  #take(view: ClaimView): void {
    const claim = this.#hold(view);
    this.#flying += 1;
    // It may have been on its way when the worker was told to claim nothing more.
    const flight = this.#claims ? this.#fly(claim) : this.#giveBack(claim);
    void flight
      .catch((error: unknown) => this.#warn(`${view.job.id} could not be reported on; it runs again: ${error}`))
      .finally(() => {
        this.#flying -= 1;
        this.#bell.ring();
      });
  }

  async #giveBack(claim: Claim): Promise<void> {
    try {
      await claim.say("release", {}, 3);
    } finally {
      this.#drop(claim);
    }
  }

  /** Runs a phase, and those of the job that follow it here. */
  async #fly(first: Claim): Promise<void> {
    for (let claim: Claim | undefined = first; claim !== undefined;) {
      claim = await this.#runPhase(claim);
    }
  }

  async #runPhase(claim: Claim): Promise<Claim | undefined> {
    const { job, phase } = claim.view;
    const declared = this.#kinds.get(job.kind)?.get(phase.name);
    try {
      const outcome = await outcomeOf(claim, async () => {
        if (declared === undefined) {
          throw new StepwellError(`the phase ${JSON.stringify(phase.name)} is not declared here`);
        }
        return declared.handler(new Context(claim, this.#warn));
      });
      const { next } = await report(claim, outcome, this.#claims);
      return next === null ? undefined : this.#hold(next);
    } catch (error) {
      if (!(error instanceof LeaseLost)) {
        throw error;
      }
      this.#warn(`the lease of ${job.id} was lost; it runs elsewhere`);
      return undefined;
    } finally {
      this.#drop(claim);
    }
  }

  #hold(view: ClaimView): Claim {
    const claim = new Claim(this.#client.connection, view);
    this.#held.set(claim.lease, claim);
    this.#heartbeat?.hold(claim.lease);
    return claim;
  }

  #drop(claim: Claim): void {
    this.#held.delete(claim.lease);
    this.#heartbeat?.drop(claim.lease);
  }

  /** Stops what is not this worker's any more, and names it no more. */
  #lose(claim: Claim): void {
    claim.stop("lost");
    this.#heartbeat?.drop(claim.lease);
  }

  #hear(news: News): void {
    switch (news.news) {
      case "cancel":
        this.#held.get(news.lease)?.stop("cancelled");
        break;
      case "lost": {
        const claim = this.#held.get(news.lease);
        claim && this.#lose(claim);
        break;
      }
      case "desired":
        if (news.desired === "terminate") {
          this.stop();
        }
        this.#isHeldBack = news.desired === "quiet";
        this.#turn();
        break;
      case "unknown":
        if (news.workerId === this.#id) {
          this.#held.forEach((claim) => this.#lose(claim));
          // What an operator wanted is as unknown: its next claim has it registered anew.
          this.#isHeldBack = false;
          this.#turn();
        }
        break;
      case "warning":
        this.#warn(news.text);
    }
  }

  async #drain(): Promise<void> {
    await this.#untilIdle(this.#graceMs, () => this.#end === "terminate");
    this.#held.forEach((claim) => claim.stop("ending"));
    await this.#untilIdle(LAST_WORDS_MS, () => false);
  }

  /** Waits until nothing runs any more, for at most so long. */
  async #untilIdle(ms: number, enough: () => boolean): Promise<void> {
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      this.#bell.ring();
    }, ms);
    while (this.#flying > 0 && !over && !enough()) {
      await this.#bell.rung();
    }
    clearTimeout(timer);
  }

  async #leave(): Promise<void> {
    try {
      // What it still has is given back with that.
      await this.#client.connection.request("DELETE", `/workers/${this.#id}`, { tries: 3 });
    } catch (error) {
      // Said before, with an answer that was lost, it is known no more.
      if (!(error instanceof Problem && error.code === "not-found")) {
        this.#warn(`the worker could not say that it ends: ${error}`);
      }
    }
  }
}
