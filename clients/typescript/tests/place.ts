/** Where the tests are: a real server, whose address is in `STEPWELL_SERVER`. */

import { randomUUID } from "node:crypto";

export const SERVER = process.env["STEPWELL_SERVER"] ?? "";
if (SERVER === "") {
  throw new Error("STEPWELL_SERVER is not set; start `stepwell serve --demo --insecure-no-auth`, and set it");
}

/** A name that no other test uses. */
export function unique(word: string): string {
  return `${word}-${randomUUID().slice(0, 8)}`;
}

/** A promise, and what settles it. */
export function promised<Value = void>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}
