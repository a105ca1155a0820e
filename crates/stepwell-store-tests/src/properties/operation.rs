//! What can be done, and how it is drawn.

use proptest::{option, prelude::*};

/// One operation. Numbers are taken modulo what there is, so that a shorter sequence still makes sense.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A new job.
    Enqueue(Wish),
    /// A new job whose id is that of an earlier one.
    EnqueueAgain {
        /// The job.
        wish: Wish,
        /// Which job, counted from the last.
        job: usize,
    },
    /// A row in the inbox.
    Inbox {
        /// The job.
        wish: Wish,
        /// The id of an earlier job instead of a new one.
        again: Option<usize>,
        /// A key out of few.
        idempotency: Option<u8>,
        /// Whether the row is wrong.
        wrong: bool,
    },
    /// A worker claims.
    Claim {
        /// The worker.
        worker: usize,
        /// How many.
        at_most: usize,
    },
    /// Whoever claimed a job at some time does something to it.
    Own {
        /// Which claim, counted from the last.
        hold: usize,
        /// Whether the fence is spoilt beyond what time may have done to it.
        spoilt: bool,
        /// What.
        deeds: Vec<Deed>,
    },
    /// A client or an operator asks for something.
    Ask {
        /// Which job, counted from the last.
        job: usize,
        /// Shows an old version.
        outdated: bool,
        /// What.
        request: Ask,
    },
    /// An operator pauses a queue, or lets it go on.
    Pause {
        /// The queue.
        queue: usize,
        /// Whether it stands still.
        paused: bool,
    },
    /// An operator sets how many jobs of a queue may run at once.
    Limit {
        /// The queue.
        queue: usize,
        /// How many; any number if none is given.
        limit: Option<u32>,
    },
    /// Time passes.
    Advance {
        /// How much.
        seconds: u64,
    },
    /// A worker beats.
    Beat {
        /// The worker.
        worker: usize,
    },
    /// A worker's session ends, and a new one takes its place.
    Restart {
        /// The worker.
        worker: usize,
        /// Whether it says goodbye; otherwise it is found dead in time.
        closes: bool,
    },
    /// An operator wants something of a worker.
    Want {
        /// The worker.
        worker: usize,
        /// That it works, is quiet, or ends.
        desired: u8,
    },
    /// A pass of maintenance.
    Maintain {
        /// Who asks.
        worker: Option<usize>,
    },
    /// A pass of retention.
    Prune {
        /// How long ended jobs are kept.
        jobs_seconds: Option<u64>,
        /// How many of each state.
        jobs_max: Option<u64>,
        /// How long events are kept.
        events_seconds: Option<u64>,
        /// How many.
        events_max: Option<u64>,
    },
}

/// A job to be enqueued.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Of two kinds, and one that nobody works.
    pub kind: u8,
    /// A unique key out of few.
    pub key: Option<u8>,
    /// Whether ended jobs count for it.
    pub window: bool,
    /// Seconds.
    pub delay: u64,
    /// Seconds.
    pub expires: Option<u64>,
    /// Out of few.
    pub priority: i16,
    /// Of two queues that are worked, and some that are not and are rarely named.
    pub queue: u8,
    /// How many crashes it survives.
    pub max_crashes: u32,
    /// A tag out of few.
    pub tag: Option<u8>,
}

/// What an owner does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The running phase completes, with a result of so many bytes.
    Complete(usize),
    /// Another phase is said to have completed.
    CompleteWrongly,
    /// The next phase starts.
    Start,
    /// The running phase fails.
    Fail(Blame),
    /// It wants to run later.
    Snooze(u64),
    /// The job is given back.
    Release,
    /// It has stopped.
    Acknowledge,
    /// How far it has got.
    Checkpoint(u8),
    /// One element of many.
    Element(u32),
    /// Progress and a line.
    Annotate(u64),
}

/// How a phase fails.
#[derive(Clone, Copy, Debug)]
pub enum Blame {
    /// By the policy.
    Retry,
    /// After so many seconds.
    RetryIn(u64),
    /// For good.
    Permanent,
}

/// What is asked for from outside.
#[derive(Clone, Debug)]
pub enum Ask {
    /// To stop, within so many seconds.
    Cancel(u64),
    /// To go on: from the first unfinished phase, the start, or a phase.
    Retry {
        /// 0 and 1 are the unfinished phase and the start; the others are phases.
        from: u8,
        /// Also if it has completed.
        rerun: bool,
    },
    /// Another priority, queue, time or payload.
    Edit(u8),
    /// To go.
    Delete,
    /// A webhook has ended.
    Webhook(bool),
}

fn wish() -> impl Strategy<Value = Wish> {
    let delay = prop_oneof![3 => Just(0_u64), 1 => 1..40_u64];
    let key = option::weighted(0.4, 0..3_u8);
    let expires = option::weighted(0.2, 1..60_u64);
    let queue = prop_oneof![8 => 0..2_u8, 1 => 2..9_u8];
    let rest = (-1..2_i16, queue, 1..4_u32, option::of(0..2_u8));
    (prop_oneof![6 => Just(0_u8), 3 => Just(1), 1 => Just(2)], key, any::<bool>(), delay, expires, rest)
        .prop_map(|(kind, key, window, delay, expires, (priority, queue, max_crashes, tag))| Wish {
            kind,
            key,
            window,
            delay,
            expires,
            priority,
            queue,
            max_crashes,
            tag,
        })
}

fn deed() -> impl Strategy<Value = Deed> {
    let blame = prop_oneof![Just(Blame::Retry), (0..20_u64).prop_map(Blame::RetryIn), Just(Blame::Permanent)];
    prop_oneof![
        6 => prop_oneof![Just(4_usize), Just(256), Just(257), Just(3_000)].prop_map(Deed::Complete),
        1 => Just(Deed::CompleteWrongly),
        2 => Just(Deed::Start),
        3 => blame.prop_map(Deed::Fail),
        1 => (0..20_u64).prop_map(Deed::Snooze),
        1 => Just(Deed::Release),
        1 => Just(Deed::Acknowledge),
        2 => any::<u8>().prop_map(Deed::Checkpoint),
        2 => (0..5_u32).prop_map(Deed::Element),
        1 => any::<u64>().prop_map(Deed::Annotate),
    ]
}

/// What an owner sends in one request: most often what the engine sends.
fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    prop_oneof![
        3 => Just(vec![Deed::Complete(4), Deed::Start]),
        1 => Just(vec![Deed::Complete(300), Deed::Release]),
        4 => proptest::collection::vec(deed(), 1..4),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        3 => (0..20_u64).prop_map(Ask::Cancel),
        3 => (0..5_u8, any::<bool>()).prop_map(|(from, rerun)| Ask::Retry { from, rerun }),
        2 => (0..5_u8).prop_map(Ask::Edit),
        1 => Just(Ask::Delete),
        1 => any::<bool>().prop_map(Ask::Webhook),
    ]
}

/// One operation.
pub fn operation() -> impl Strategy<Value = Operation> {
    let keep = || option::weighted(0.5, 0..90_u64);
    let most = || option::weighted(0.4, 0..12_u64);
    let any_worker = 0..3_usize;
    let inbox = (
        wish(),
        option::weighted(0.3, 0..8_usize),
        option::weighted(0.4, 0..2_u8),
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        10 => wish().prop_map(Operation::Enqueue),
        2 => (wish(), 0..10_usize).prop_map(|(wish, job)| Operation::EnqueueAgain { wish, job }),
        3 => inbox.prop_map(|(wish, again, idempotency, wrong)| Operation::Inbox { wish, again, idempotency, wrong }),
        10 => (any_worker.clone(), 1..4_usize).prop_map(|(worker, at_most)| Operation::Claim { worker, at_most }),
        18 => (0..6_usize, prop::bool::weighted(0.1), deeds())
            .prop_map(|(hold, spoilt, deeds)| Operation::Own { hold, spoilt, deeds }),
        7 => (0..10_usize, prop::bool::weighted(0.1), ask())
            .prop_map(|(job, outdated, request)| Operation::Ask { job, outdated, request }),
        1 => (0..2_usize, any::<bool>()).prop_map(|(queue, paused)| Operation::Pause { queue, paused }),
        2 => (0..2_usize, option::weighted(0.8, 0..4_u32)).prop_map(|(queue, limit)| Operation::Limit { queue, limit }),
        6 => prop_oneof![4 => 0..15_u64, 1 => 20..60_u64].prop_map(|seconds| Operation::Advance { seconds }),
        3 => any_worker.clone().prop_map(|worker| Operation::Beat { worker }),
        2 => (any_worker.clone(), any::<bool>()).prop_map(|(worker, closes)| Operation::Restart { worker, closes }),
        1 => (any_worker.clone(), prop_oneof![4 => 0..2_u8, 1 => Just(2)])
            .prop_map(|(worker, desired)| Operation::Want { worker, desired }),
        5 => option::of(any_worker).prop_map(|worker| Operation::Maintain { worker }),
        1 => (keep(), most(), keep(), most()).prop_map(|(jobs_seconds, jobs_max, events_seconds, events_max)| {
            Operation::Prune { jobs_seconds, jobs_max, events_seconds, events_max }
        }),
    ]
}

/// A sequence of at least sixty.
pub fn sequence() -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec(operation(), 60..100)
}
