/** Whatever JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/**
 * A value as JSON; `undefined` is `null`. What JSON would silently lose or change is an error, because it would be
 * stored like that.
 *
 * @throws TypeError that names the value.
 */
export function encode(value: unknown): string {
  return JSON.stringify(value === undefined ? null : value, (name, inner: unknown) => {
    const where = name === "" ? "the value" : `the member ${JSON.stringify(name)}`;
    if (typeof inner === "number" && !Number.isFinite(inner)) {
      throw new TypeError(`${where} is ${inner}, which JSON does not know`);
    }
    if (["bigint", "function", "symbol"].includes(typeof inner)) {
      throw new TypeError(`${where} is a ${typeof inner}, which JSON does not know`);
    }
    if (inner instanceof Map || inner instanceof Set) {
      throw new TypeError(`${where} is a ${inner.constructor.name}, which JSON does not know; make it an array`);
    }
    return inner;
  });
}
