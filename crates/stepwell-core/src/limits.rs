//! Every limit, with its reason. Nothing in Stepwell grows without one.

use std::time::Duration;

/// Phases of one plan. The states of all phases live in the job's row, and the row must stay small.
pub const PHASES_MAX: usize = 100;
/// Bytes of a name: a kind, a queue, a phase, a tag, the name of an attribute. Names are in indexes.
pub const NAME_BYTES_MAX: usize = 200;
/// Bytes of a unique key or of an attribute's value. They are in indexes.
pub const KEY_BYTES_MAX: usize = 500;
/// Bytes of a payload. A queue carries descriptions of work, not the work's data: store a file and enqueue its name.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Levels to which JSON may be nested: payloads, results, checkpoints, small records. Decoders give up at 128, and what
/// is stored is handed out inside lists and objects that need a few levels of their own.
pub const JSON_DEPTH_MAX: usize = 120;
/// Bytes of one phase's result, or of one element's result of a fan-out phase. As for payloads.
pub const RESULT_BYTES_MAX: usize = 1 << 20;
/// Bytes of the list that a fan-out phase collects. It is one value for the phase that takes it.
pub const COLLECTED_BYTES_MAX: usize = 16 << 20;
/// Elements of one fan-out phase. Each has a row until the phase ends.
pub const ELEMENTS_MAX: usize = 100_000;
/// Results up to this many bytes live in the job's row, larger ones apart. One write less for the common small result.
pub const INLINE_RESULT_BYTES_MAX: usize = 256;
/// Bytes of a checkpoint that a phase saves. It is rewritten at every save.
pub const CHECKPOINT_BYTES_MAX: usize = 1 << 20;
/// Bytes of an error's text. The rest is cut off: an error is read by people.
pub const ERROR_BYTES_MAX: usize = 16 << 10;
/// Bytes of one log line. Longer lines are cut.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Log lines kept for one job. When there are more, the oldest go.
pub const LOG_LINES_MAX: usize = 1_000;
/// Bytes of the note in a progress report.
pub const NOTE_BYTES_MAX: usize = 200;
/// Tags of one job. Each is a row of its own in an index.
pub const TAGS_MAX: usize = 20;
/// Search attributes of one job. Each is a row of its own in an index.
pub const ATTRIBUTES_MAX: usize = 20;
/// Jobs in one call of `enqueue_many`. The call is one commit, and a commit must stay short for everybody else.
pub const ENQUEUE_BATCH_MAX: usize = 10_000;
/// Jobs in one claim. More would hold the write lock for longer than a batch may.
pub const CLAIM_BATCH_MAX: usize = 1_000;
/// How soon a worker looks again at a queue with a limit from which another node was claiming. That takes as long as a
/// commit.
pub const CLAIM_AGAIN: Duration = Duration::from_millis(25);
/// Jobs of one queue that may run at once in all processes, where an operator sets a limit. More is no limit.
pub const QUEUE_LIMIT_MAX: u32 = 1_000_000;
/// Crashes in a row after which a job is poisoned. One crash of a process charges every job that it ran, so one
/// bad job among many must not take its neighbours with it at once.
pub const CRASHES_MAX: u32 = 5;
/// Rows that one page of a list scans before it answers with a cursor. A rare filter must not hold a reader for long.
pub const LIST_SCAN_MAX: usize = 10_000;
/// Jobs or events on one page.
pub const PAGE_MAX: usize = 1_000;
/// Jobs that one pass of maintenance moves: staging, expiry, reaping, retention. A pass is a commit (see above).
pub const MAINTENANCE_BATCH_MAX: usize = 500;
/// Bytes of a small record of the layers above, such as an endpoint. The answer to a request with an idempotency key is
/// one, too.
pub const SETTING_BYTES_MAX: usize = 64 << 10;
/// How long the answer to a request with an idempotency key is kept.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);
/// The longest delay or time-out: one hundred years. A longer one is a mistake in units.
pub const DELAY_MAX: Duration = Duration::from_hours(100 * 365 * 24);
/// Tries of one phase. More is a job that nobody looks at.
pub const TRIES_MAX: u32 = 1_000;

/// The longest pause before a job whose worker died runs again. The first crash waits not at all.
pub const CRASH_DELAY_MAX: Duration = Duration::from_mins(10);
/// The pause after the second crash in a row; it doubles with each further one.
pub const CRASH_DELAY_FIRST: Duration = Duration::from_secs(1);
