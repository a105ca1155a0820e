import type { Json } from "./json.js";

export type JobState = "pending" | "running" | "cancelling" | "completed" | "failed" | "cancelled";
export type PhaseState = "pending" | "running" | "completed" | "failed" | "cancelled" | "skipped";

/** A phase of a job, as it stands. Times are RFC 3339, in UTC. */
export interface Phase {
  name: string;
  state: PhaseState;
  /** Tries in this run, and after how many a failure is final. */
  tries: number;
  maxTries: number;
  /** The queue that it runs in, if that is not the job's own. */
  queue?: string;
  /** Whether an earlier try was cut off, and may have left half of its effects. */
  interrupted: boolean;
  /** What its last failed try said. */
  error?: string;
  startedAt?: string;
  finishedAt?: string;
  /** The size of its recorded result. */
  resultBytes?: number;
}

/** A job in a list, as it stands. Times are RFC 3339, in UTC. */
export interface ListedJob {
  id: string;
  kind: string;
  queue: string;
  state: JobState;
  /** Why it is in this state. */
  reason?: string;
  /** Changes with every transition. */
  version: number;
  priority: number;
  /** 1, and one more with each operator's retry. */
  run: number;
  /** How often a worker has taken it in this run. */
  attempt: number;
  /** How often in a row its worker died under it, and after how often it is given up. */
  crashes: number;
  maxCrashes: number;
  uniqueKey?: string;
  tags: string[];
  attributes: Record<string, string>;
  enqueuedAt: string;
  /** Not before this. */
  runAt: string;
  expiresAt?: string;
  cancelRequestedAt?: string;
  finishedAt?: string;
  phases: Phase[];
  /** How far the running phase has got. */
  progress?: { done: number; total: number; note?: string };
  /** Why it failed. */
  failure?: { phase?: string; message: string };
  webhook?: { url: string; events: string[] };
  webhookSent: boolean;
  /** The `jobSeq` of its next event: whoever follows its events drops those with a smaller one. */
  nextSeq: number;
}

/** A job, with what it is about and what has come of it. */
export interface Job extends ListedJob {
  payload: Json;
  /** What its last phase returned; absent unless it has completed. */
  result?: Json;
}

/** Which jobs are listed. Everything that is given must match. */
export interface JobFilter {
  state?: JobState;
  kind?: string;
  queue?: string;
  tag?: string;
  uniqueKey?: string;
  /** One attribute. */
  attribute?: { name: string; value: string };
  /** `desc`, unless set, has the last one first. */
  order?: "asc" | "desc";
  /** At most so many: 50 unless set, 500 at most. */
  limit?: number;
  /** The `page.next` of the page before. */
  cursor?: string;
}

/** A page of a list of jobs. It may hold fewer than the limit, or none, and still have a next one. */
export interface JobPage {
  data: ListedJob[];
  page: {
    /** The `cursor` of the next page; `null` if this is the last one. */
    next: string | null;
    limit: number;
    /** A place in the log from before the page was read: follow the events after it, and nothing is missed. */
    pos: string;
  };
}

/** What can be said about a new job. */
export interface NewJobOptions {
  /** `default` unless set. */
  queue?: string;
  /** Higher runs first; 0 unless set. */
  priority?: number;
  /** Not before so many milliseconds from now. Not together with `runAt`. */
  delayMs?: number;
  /** Not before this time, in RFC 3339. */
  runAt?: string;
  /** While another job of its kind with this key lives, there is no second one. */
  uniqueKey?: string;
  /** Counts ended jobs with that key as well, for so many milliseconds after they were created. */
  uniqueWithinMs?: number;
  /** What happens if there is another: `return` it (unless set), `replace` what it says, or `reject` this one. */
  onConflict?: "return" | "replace" | "reject";
  /** Words to find it by: at most 20. */
  tags?: readonly string[];
  /** Names and values to find it by. */
  attributes?: Readonly<Record<string, string>>;
  /** If nobody has begun by then, it fails. In RFC 3339. */
  expiresAt?: string;
  /** A webhook of its own, told of its end unless `events` says of what. */
  webhook?: { url: string; secret?: string; events?: readonly string[] };
}
