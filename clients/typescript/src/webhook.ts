import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_S = 300;

/** The headers of a request, as `node:http` or `fetch` give them. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** How strict the verification is. */
export interface VerifyOptions {
  /** How old a request may be, or how far in the future: 300 seconds unless set. */
  toleranceS?: number;
  /** The time, in seconds since 1970; that of the machine unless set. */
  now?: number;
}

/**
 * Whether the body was signed with the secret (`whsec_…`), lately (Standard Webhooks).
 *
 * The body is what was received, byte by byte: parse it afterwards. While a secret is being replaced there are several
 * signatures, of which one that is right is enough. They are compared in constant time.
 */
export function verify(
  secret: string,
  headers: WebhookHeaders,
  body: Uint8Array | string,
  options: VerifyOptions = {},
): boolean {
  const { toleranceS = TOLERANCE_S, now = Date.now() / 1000 } = options;
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const given = header(headers, "webhook-signature");
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  // A secret that was forgotten must not become an empty key, with which anybody can sign.
  if (id === undefined || timestamp === undefined || given === undefined || key.length === 0) {
    return false;
  }
  if (!/^[0-9]+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > toleranceS) {
    return false;
  }
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  return given.split(" ").some((signature) => {
    const [version, value = ""] = signature.split(",");
    const bytes = Buffer.from(value, "base64");
    return version === "v1" && bytes.length === expected.length && timingSafeEqual(bytes, expected);
  });
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  if (headers instanceof Headers) {
    return headers.get(name) ?? undefined;
  }
  const found = Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  return typeof found === "string" ? found : found?.[0];
}
