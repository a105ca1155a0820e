/** What a handler throws to say how its phase goes on. */

/** No further try can help. */
export class Permanent extends Error {
  override name = "Permanent";
}

/** It is to be tried again after so many milliseconds, in place of when the policy says. */
export class RetryIn extends Error {
  override name = "RetryIn";

  constructor(
    readonly delayMs: number,
    message = `to be tried again in ${delayMs} ms`,
  ) {
    super(message);
  }
}

/** It is to run so many milliseconds later, which is no failure. */
export class Snooze extends Error {
  override name = "Snooze";

  constructor(readonly delayMs: number) {
    super(`snoozed for ${delayMs} ms`);
  }
}
