import type { Claim, Reported } from "./claim.js";
import { LeaseLost, Problem } from "./errors.js";
import { encode } from "./json.js";
import { Permanent, RetryIn, Snooze } from "./wish.js";

/** What is said at the end of a phase. */
export type Outcome =
  | { verb: "complete"; body: { output: unknown } }
  | {
      verb: "fail";
      body: { error: { type: string; message: string; stack?: string }; retry?: "never"; afterMs?: number };
    }
  | { verb: "snooze"; body: { delayMs: number } }
  | { verb: "release"; body: Record<string, never> };

/**
 * Runs a phase and finds out what has come of it.
 *
 * @throws LeaseLost, if the phase has ended with that.
 */
export async function outcomeOf(claim: Claim, handler: () => unknown): Promise<Outcome> {
  try {
    return { verb: "complete", body: { output: checked(claim, await handler()) } };
  } catch (error) {
    if (error instanceof LeaseLost) {
      throw error;
    }
    if (claim.why !== undefined) {
      // It stopped because it was asked to.
      return { verb: "release", body: {} };
    }
    return error instanceof Snooze ? { verb: "snooze", body: { delayMs: Math.round(error.delayMs) } } : failure(error);
  }
}

/** Says what has come of a phase. What the server cannot keep is the phase's mistake, and every try would make it. */
export async function report(claim: Claim, outcome: Outcome, claimNext: boolean): Promise<Reported> {
  try {
    const more = outcome.verb === "complete" ? { claimNext } : {};
    return await claim.say<Reported>(outcome.verb, { ...outcome.body, ...more });
  } catch (error) {
    if (!(error instanceof Problem) || error instanceof LeaseLost || outcome.verb === "fail") {
      throw error;
    }
    const body = { error: { type: error.name, message: error.message }, retry: "never" };
    return claim.say<Reported>("fail", body);
  }
}

function checked(claim: Claim, output: unknown): unknown {
  try {
    return JSON.parse(encode(output));
  } catch (error) {
    throw new Permanent(`the result of ${JSON.stringify(claim.view.phase.name)} is no JSON: ${messageOf(error)}`);
  }
}

function failure(error: unknown): Outcome {
  const { name: type, stack } = error instanceof Error ? error : { name: typeof error, stack: undefined };
  return {
    verb: "fail",
    body: {
      error: { type, message: messageOf(error), ...(stack === undefined ? {} : { stack }) },
      ...(error instanceof Permanent ? { retry: "never" as const } : {}),
      ...(error instanceof RetryIn ? { afterMs: Math.round(error.delayMs) } : {}),
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
