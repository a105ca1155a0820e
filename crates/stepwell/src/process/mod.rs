//! Phases that are programs: each try is a child process with a process group of its own.
//!
//! A [`CommandKind`] is a kind of job whose phases are [`CommandPhase`]s: argument lists, never a shell's text. The
//! child gets one JSON object on its standard input (see [`protocol`](self#protocol)), and says what it has to say on
//! its standard output.
//!
//! # Protocol
//! In: `{"job": {"id", "kind", "queue", "run", "epoch", "payload"}, "phase": {"name", "attempt", "interrupted",
//! "checkpoint", "idempotencyKey", "timeoutMs", "outputs": {…}}}`, and the same ids as `STEPWELL_JOB_ID`,
//! `STEPWELL_KIND`, `STEPWELL_QUEUE`, `STEPWELL_RUN`, `STEPWELL_PHASE`, `STEPWELL_ATTEMPT`, `STEPWELL_IDEMPOTENCY_KEY`.
//! Of the parent's environment the child sees a short list, and what the phase adds to it.
//!
//! Out: a line that is a JSON object with the key `stepwell` is a command: `progress` (`done`, `total`, `note`),
//! `checkpoint` (`value`), `log` (`message`), `complete` (`output`), `fail` (`message`, `retry`: `default` or `never`,
//! `afterMs`), `snooze` (`delayMs`). Without `complete` or `fail` the exit code decides: 0 completes the phase with the
//! rest of the standard output, as JSON if it is JSON and else as a string; any other code, or a signal, fails it, and
//! the end of the standard error is the error's text. Code 75 (`EX_TEMPFAIL`) is told apart in words only: both are
//! tried again by the phase's policy.
//!
//! # Isolated phases
//! A phase in Rust that asks for it ([`Phase::isolated`](crate::Phase::isolated)) runs in such a child, too: this
//! program starts itself anew, and [`begin_with`] runs the phase there. It may hang, crash, or use up its memory, and
//! this process lives on.
//!
//! # Stopping
//! A phase that is cancelled, times out or must make way for a shutdown gets SIGTERM, its whole group does, and SIGKILL
//! when its grace is over. When the first process of the group ends, the rest of it is killed. After a crash of the
//! parent the kernel kills the first process; what that had started is found by the marks in its environment, and
//! killed before any job runs again. A process that has left the group is found in the same way, within
//! a second or so of the end of its try.
//!
//! - `kind`, `limits`: what can be set. `worker`: as the engine sees it. `programs`: for queues elsewhere.
//! - `task`: what a child is told. `supervisor`: who hears what it says.
//! - `attempt`: one try, from start to outcome. `conversation`: the time in between. `group`: a process group on a
//!   leash. `said`, `output`: what it says. `outcome`: what its end means.
//! - `launch`: what happens in the child before the program begins. `isolated`: phases of this program, `child`: the
//!   same in their child, `parent`: how that speaks to the one that started it.
//! - `strays`: processes that have lost their right to run, which `marks` tell. `sweep`: those that outlived their try.
//!   `entry`: what the kernel shows of a process. `thread`: where all of it runs.

mod attempt;
mod child;
mod conversation;
mod entry;
mod group;
mod isolated;
mod kind;
mod launch;
mod limits;
mod marks;
mod outcome;
mod output;
mod parent;
mod programs;
mod said;
mod strays;
mod supervisor;
mod sweep;
mod task;
mod thread;
mod worker;

pub use child::begin_with;
pub(crate) use child::can_isolate;
pub(crate) use isolated::run_isolated;
pub(crate) use kind::GRACE;
pub use kind::{CommandKind, CommandPhase};
pub use launch::begin;
pub(crate) use launch::{check_begun, check_isolates};
pub use limits::Limits;
pub(crate) use parent::Parent;
pub use programs::Programs;
pub(crate) use strays::end_left;
pub use supervisor::Supervisor;
pub use task::{Task, TaskJob, TaskPhase};
pub(crate) use worker::CommandWorker;
