import type { Json } from "./json.js";

/** One thing that happened. Of `job:deleted` there are only `pos`, `type`, `at` and `data`. */
export interface Event {
  type: `job:${string}`;
  /** Where to go on after it: give it to `events` as `after`. */
  place: string;
  /** The place in the one order of all events: 1, 2, 3, … without a gap. */
  pos: number;
  /** When, in RFC 3339. */
  at: string;
  jobId?: string;
  /** The place in the job's own order: 1, 2, 3, … without a gap. */
  jobSeq?: number;
  kind?: string;
  /** The job's queue at that time. */
  queue?: string;
  run?: number;
  attempt?: number;
  /** The phase that it is about. */
  phase?: string;
  /** The rest; its members depend on the type. */
  data: { [name: string]: Json };
}

/**
 * Something was missed: load anew what you show.
 *
 * `stream:gap` says that events after your place are no longer kept, or cannot be read; `stream:reset` that your place
 * was of another log, of a restored backup, say, which is told from its beginning.
 */
export interface Gap {
  type: "stream:gap" | "stream:reset";
  place: string;
  data: {
    /** The place that was asked for, if it was of this log. */
    from: number | null;
    /** The `pos` with which it goes on. */
    oldest: number;
  };
}

/** Which events are followed, and from where on. */
export interface EventFilter {
  /** The `place` or `pos` of the last event that was seen; `"0"` begins with the oldest. Without it, it begins now. */
  after?: string | number;
  /** Only of this job. */
  job?: string;
  kind?: string;
  queue?: string;
  tag?: string;
  /** Only of these types. */
  types?: readonly string[];
}
