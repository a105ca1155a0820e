//! What may happen: everything that a worker, a former worker, the reaper, a client or the world may do, at any time.

use super::scope::Scope;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A worker claims, and begins the first phase in a second step, or never.
    Claim(usize),
    /// A worker claims and begins, as stores do it.
    ClaimAndStart(usize),
    /// A worker that knows another kind asks for the job.
    ClaimOtherKind(usize),
    /// Whoever believes to own the job sends the script with this number.
    Own(usize, usize),
    /// The store gives up on a session, whether its process lives or not.
    LoseSession(usize),
    /// The process is gone, and one with the same plan starts.
    Crash(usize),
    /// The process ends, and one with the next plan starts.
    Deploy(usize),
    /// A reaper reads a row whose owner is dead, and acts later, when the row may be another one.
    Sight,
    /// It acts.
    Reap,
    /// It stops the job by force, with what it remembers.
    ForceWithSighting,
    /// The reaper stops the job by force, with the row in hand.
    Force,
    Tick,
    Cancel,
    /// Somebody cancels the version that they saw, which is no more.
    CancelOutdated,
    Retry(usize),
    Rerun(usize),
    RetryWithPayload,
    /// Another live job holds the unique key.
    RetryTaken,
    Expire,
    Delete,
    /// A durable reader has not passed the last event yet.
    DeleteHeld,
    Edit(usize),
    Webhook(bool),
    /// The store is lost, and comes back as it was after the enqueue. Workers know nothing of it.
    Restore,
    /// Every command with a fence of the wrong sort.
    Misfence,
}

/// Everything that may happen in a scope.
pub(crate) fn all(scope: &Scope) -> Vec<Action> {
    use Action as A;
    let mut actions = Vec::new();
    for slot in 0..2 {
        actions.extend([A::Claim(slot), A::ClaimAndStart(slot), A::ClaimOtherKind(slot)]);
        actions.extend((0..scope.scripts[slot].len()).map(|script| A::Own(slot, script)));
        actions.extend([A::LoseSession(slot), A::Crash(slot), A::Deploy(slot)]);
    }
    actions.extend([
        A::Sight,
        A::Reap,
        A::ForceWithSighting,
        A::Force,
        A::Tick,
        A::Cancel,
        A::CancelOutdated,
    ]);
    actions.extend((0..scope.retries.len()).map(A::Retry));
    actions.extend((1..scope.retries.len()).map(A::Rerun));
    actions.extend([A::RetryWithPayload, A::RetryTaken, A::Expire, A::Delete, A::DeleteHeld, A::Restore]);
    actions.extend((0..scope.edits.len()).map(A::Edit));
    if scope.webhooks {
        actions.extend([A::Webhook(true), A::Webhook(false)]);
    }
    actions.push(A::Misfence);
    actions
}

pub(crate) fn describe(scope: &Scope, action: Action) -> String {
    match action {
        Action::Own(slot, script) => format!("worker {slot}: {}", scope.scripts[slot][script].label),
        Action::Retry(nth) => format!("retry from {:?}", scope.retries[nth]),
        Action::Rerun(nth) => format!("rerun from {:?}", scope.retries[nth]),
        other => format!("{other:?}"),
    }
}
