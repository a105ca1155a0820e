import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { verify } from "stepwell";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY = '{"test": 2432232314}';
const NOW = 1_614_265_330;
// The example of the specification.
const RIGHT = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const HEADERS = {
  "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "Webhook-Timestamp": String(NOW),
  "Webhook-Signature": `v1,AAAA v2,${RIGHT.slice(3)} ${RIGHT}`,
};

test("one right signature among several is enough, for as long as it is tolerated", () => {
  assert.ok(verify(SECRET, HEADERS, BODY, { now: NOW }));
  assert.ok(verify(SECRET, new Headers(HEADERS), Buffer.from(BODY), { now: NOW + 300 }));
  assert.ok(verify(SECRET, { ...HEADERS, "Webhook-Id": ["msg_p5jXN8AQM9LWM0D4loKWxJek"] }, BODY, { now: NOW - 300 }));
  assert.ok(verify(SECRET, HEADERS, BODY, { now: NOW + 3_000, toleranceS: 3_600 }));
  assert.ok(!verify(SECRET, HEADERS, BODY, { now: NOW + 301 }));
  assert.ok(!verify(SECRET, HEADERS, BODY, { now: NOW - 301 }));
  assert.ok(!verify(SECRET, HEADERS, BODY), "it is old");
});

test("anything else is refused", () => {
  const refused = (headers: object, body = BODY, secret = SECRET) =>
    assert.ok(!verify(secret, { ...HEADERS, ...headers }, body, { now: NOW }), JSON.stringify(headers));
  refused({}, `${BODY} `);
  refused({}, BODY, "whsec_AAAA");
  refused({ "Webhook-Id": "another" });
  refused({ "Webhook-Id": undefined });
  refused({ "Webhook-Signature": `v2,${RIGHT.slice(3)}` });
  refused({ "Webhook-Signature": "" });
  for (const timestamp of ["", "later", "-1", "1e99", `${NOW}.0`, String(NOW + 1)]) {
    refused({ "Webhook-Timestamp": timestamp });
  }
});

test("an empty secret verifies nothing, whoever has signed with it", () => {
  const mac = createHmac("sha256", "").update(`m1.${NOW}.${BODY}`).digest("base64");
  const headers = { "webhook-id": "m1", "webhook-timestamp": String(NOW), "webhook-signature": `v1,${mac}` };
  for (const secret of ["", "whsec_", "whsec_!"]) {
    assert.ok(!verify(secret, headers, BODY, { now: NOW }));
  }
});
