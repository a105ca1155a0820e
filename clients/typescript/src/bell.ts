/** Wakes whoever waits for something to change. Between looking and waiting there must be no `await`. */
export class Bell {
  #ring: () => void = () => {};
  #rung: Promise<void> = this.#next();

  /** Wakes all who wait. */
  ring(): void {
    const ring = this.#ring;
    this.#rung = this.#next();
    ring();
  }

  /** Resolves with the next ring. */
  rung(): Promise<void> {
    return this.#rung;
  }

  #next(): Promise<void> {
    return new Promise((resolve) => (this.#ring = resolve));
  }
}
