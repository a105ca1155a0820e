/** A client and a worker for Stepwell, a durable job queue. */

export * from "./browser.js";
export { Stopped, type Why } from "./claim.js";
export { Client, type EnqueueOptions } from "./client.js";
export type { Context } from "./context.js";
export { verify, type VerifyOptions, type WebhookHeaders } from "./webhook.js";
export { Permanent, RetryIn, Snooze } from "./wish.js";
export { Worker, type Handler, type PhaseOptions, type WorkerOptions } from "./worker.js";
