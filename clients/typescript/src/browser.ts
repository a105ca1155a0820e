/** What a page can do: look at jobs, and follow what happens. */

export type { Connection, Settings, Ask } from "./connection.js";
export * from "./errors.js";
export type { Event, EventFilter, Gap } from "./event.js";
export type { FollowOptions } from "./follow.js";
export type * from "./job.js";
export type { Json } from "./json.js";
export { Reader, type ReaderOptions, type WaitOptions } from "./reader.js";
