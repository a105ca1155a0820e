//! What every store does inside its write transaction, written once.
//!
//! Each function is one operation: a store runs it in a savepoint, and rolls back to it if the answer is an error.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    id::{JobId, SessionId},
    job::{Job, JobState, PlanRef},
    json::Json,
    lease::Fence,
    limits,
    machine::{self, Claim, Command, Context, NewJob, Reject},
    name::{self, Name},
    plan::{self, PlanSpec},
    queue::{Queue, QueueChange},
    retention::Retention,
    setting::{MADE_ONCE, PutSetting},
    time::Timestamp,
    unique::OnConflict,
    webhook,
};

use super::{
    inbox::{InboxEntry, InboxOutcome},
    request::{Applied, ClaimRequest, Claimed, ClaimedBatch, Enqueued, FanOut, Pruned, Request, WorkedPlan},
    settled,
    tables::{Row, Tables},
};

/// T1. Stores a new job, or does what is asked for with the one that its unique key stands for.
///
/// # Errors
/// If a field breaks a rule, the unique key's job is in the way, or the store fails.
pub fn enqueue(tables: &mut impl Tables, new: &NewJob, now: Timestamp) -> Result<Enqueued> {
    new.check()?;
    let Some(once) = &new.once else { return enqueue_new(tables, new, now) };
    let scope = Name::from(ONCE);
    let before = tables.setting(&scope, &once.key)?.filter(|kept| kept.at + limits::IDEMPOTENCY_KEPT > now);
    if let Some(before) = before {
        let kept: Kept = before.value.decode()?;
        if kept.fingerprint != once.fingerprint {
            return Err(Error::idempotency_mismatch());
        }
        return Ok(Enqueued { id: kept.id, duplicate: kept.duplicate, replayed: true });
    }
    let enqueued = enqueue_new(tables, new, now)?;
    let Enqueued { id, duplicate, .. } = enqueued;
    let kept = Kept { fingerprint: once.fingerprint.clone(), id, duplicate };
    tables.put_setting(&scope, &once.key, Some(&Json::of(&kept)?), now)?;
    Ok(enqueued)
}

/// The scope under which answers to requests with an idempotency key are kept.
pub const ONCE: &str = "stepwell.once";

/// The answer to a request with an idempotency key.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    id: JobId,
    duplicate: bool,
}

fn enqueue_new(tables: &mut impl Tables, new: &NewJob, now: Timestamp) -> Result<Enqueued> {
    if let Some(unique) = &new.unique {
        let holders = tables.unique_holders(&new.kind, unique.as_str())?;
        if let Some(id) = unique.existing(&holders, now) {
            if new.on_conflict != OnConflict::Return || new.unique_in.is_some() {
                settle(tables, id, new, now)?;
            }
            return Ok(Enqueued { id, duplicate: true, replayed: false });
        }
    }
    let plan = tables.newest_plan(&new.kind)?;
    let plan = plan.as_ref().map(|(spec, plan_ref)| (&**spec, plan_ref.clone()));
    if new.webhook.is_some() {
        begin_reading(tables)?;
    }
    tables.insert(machine::enqueue(new, plan, now), &new.payload)?;
    if let Some(webhook) = &new.webhook {
        let (scope, key) = (Name::from(webhook::OF_JOBS), new.id.to_string());
        tables.put_setting(&scope, &key, Some(&Json::of(webhook)?), now)?;
    }
    Ok(Enqueued { id: new.id, duplicate: false, replayed: false })
}

/// Does to the job that there is what is asked for. In here, because a request that comes again must not do it again:
/// somebody may have changed the job in between.
fn settle(tables: &mut impl Tables, existing: JobId, new: &NewJob, now: Timestamp) -> Result<()> {
    let row = tables.job(existing)?.ok_or_else(|| Error::unique_taken(existing))?;
    let Some(edit) = new.on_conflict.change(&row.job, new)? else { return Ok(()) };
    let context = Context { now, ..Context::default() };
    let transition = machine::apply(&row.job, Fence::None, &Command::Edit(edit), &context)?;
    tables.save(&row, transition)
}

/// Sees to it that the log is read for webhooks from here on: from now on nothing is removed that was not read.
fn begin_reading(tables: &mut impl Tables) -> Result<()> {
    let name = Name::from(webhook::CURSOR);
    if tables.cursor(&name)?.is_none() {
        let head = tables.head()?;
        tables.put_cursor(&name, head)?;
    }
    Ok(())
}

/// Writes small records: all of them, or none.
///
/// # Errors
/// If a record breaks a rule, or has changed since its writer saw it; or the store fails.
pub fn put_settings(tables: &mut impl Tables, puts: &[PutSetting], now: Timestamp) -> Result<Vec<u64>> {
    for put in puts {
        put.check()?;
        put.compare(tables.setting(&put.scope, &put.key)?.map(|found| found.version))?;
    }
    if puts.iter().any(|put| &*put.scope == webhook::ENDPOINTS && put.value.is_some()) {
        begin_reading(tables)?;
    }
    puts.iter().map(|put| tables.put_setting(&put.scope, &put.key, put.value.as_ref(), now)).collect()
}

/// Moves a durable reader of the log, and does what it makes of what it read.
///
/// # Errors
/// If the cursor is elsewhere, or what it judged by has changed; if a job breaks a rule; or the store fails.
pub fn fan_out(tables: &mut impl Tables, request: &FanOut, now: Timestamp) -> Result<()> {
    let (found, revision) = (tables.cursor(&request.cursor)?, tables.revision(&request.scope)?);
    if found != Some(request.from) || revision != request.revision {
        return Err(Error::version_mismatch(found.unwrap_or(0)));
    }
    for new in &request.jobs {
        enqueue(tables, new, now)?;
    }
    for (job, command) in &request.reports {
        let row = match tables.job(*job) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            // A job that cannot be read is told nothing, and keeps nobody else from being told.
            Err(error) if error.is_refused() => continue,
            Err(error) => return Err(error),
        };
        let context = Context { now, ..Context::default() };
        if let Ok(transition) = machine::apply(&row.job, Fence::None, command, &context) {
            tables.save(&row, transition)?;
        }
    }
    tables.put_cursor(&request.cursor, request.to)
}

/// Decides on a request and stores the decision.
///
/// # Errors
/// Why nothing changed.
pub fn apply(tables: &mut impl Tables, request: &Request, now: Timestamp) -> Result<Applied> {
    let row = tables.job(request.job)?.ok_or_else(|| match request.fence {
        // An owner whose job is gone has lost it; it has no use for the difference.
        Fence::Owner { .. } | Fence::Reaper { .. } => Error::lease_lost(),
        Fence::Version(_) | Fence::None => Error::no_such_job(request.job),
    })?;
    let (row, recorded) = match request.fence {
        Fence::Reaper { .. } => settled::record(tables, row, now)?,
        _ => (row, false),
    };
    if recorded && row.job.lease.is_none() {
        return Ok(Applied { job: row.job, changed: true });
    }
    let meant = settled::meant(tables, &row, request.fence, &request.commands)?;
    let commands = meant.as_ref().unwrap_or(&request.commands);
    let context = context_for(tables, &row, commands, now)?;
    match machine::apply_all(&row.job, request.fence, commands, &context) {
        Ok(transition) => {
            let (job, removed) = (transition.job.clone(), transition.removed);
            tables.save(&row, transition)?;
            if removed {
                forget_webhook(tables, &job, now)?;
            }
            Ok(Applied { job, changed: true })
        }
        Err(Reject::NoChange) => Ok(Applied { job: row.job, changed: false }),
        Err(reject) => Err(reject.into()),
    }
}

fn context_for(tables: &mut impl Tables, row: &Row, commands: &[Command], now: Timestamp) -> Result<Context> {
    let mut context = Context { now, ..Context::default() };
    for command in commands {
        match (command, &row.job.unique_key) {
            (Command::Retry { .. }, Some(key)) => {
                let holder = tables.unique_holders(&row.job.kind, key)?.live;
                context.unique_holder = holder.filter(|holder| *holder != row.job.id);
            }
            (Command::Delete, _) => context.held = is_held(tables, row)?,
            _ => {}
        }
    }
    Ok(context)
}

fn is_held(tables: &mut impl Tables, row: &Row) -> Result<bool> {
    match tables.lowest_cursor()? {
        Some(cursor) => Ok(cursor < tables.last_pos(row)?),
        None => Ok(false),
    }
}

/// T2. Claims ready jobs, lane by lane.
///
/// # Errors
/// That the lease is lost, if the session is dead; or that the store failed.
pub fn claim(tables: &mut impl Tables, request: &ClaimRequest, now: Timestamp) -> Result<ClaimedBatch> {
    if !tables.is_session_alive(request.session)? {
        return Err(Error::lease_lost());
    }
    tables.stage(now, limits::MAINTENANCE_BATCH_MAX)?;
    let kinds: Vec<(Name, u64)> =
        request.plans.iter().map(|plan| (plan.spec.kind.clone(), plan.plan_ref.generation)).collect();
    let mut tokens = request.tokens.iter().copied().take(limits::CLAIM_BATCH_MAX).peekable();
    let mut batch = ClaimedBatch::default();
    let mut again = None;
    for lane in &request.lanes {
        let room = match room(tables, &lane.queue)? {
            Some(room) => room,
            None => {
                again = Some(now + limits::CLAIM_AGAIN);
                continue;
            }
        };
        let limit = lane.at_most.min(tokens.len()).min(room);
        for row in tables.ready(&lane.queue, &kinds, limit)? {
            let Some(token) = tokens.peek().copied() else { break };
            let Some(plan) = plan_of(request, &row.job) else { continue };
            let claim = Claim {
                session: request.session,
                token,
                plan: plan.spec.clone(),
                plan_ref: plan.plan_ref.clone(),
            };
            let context = Context { now, ..Context::default() };
            // A row that is refused, such as one that expired a moment ago, stays for maintenance.
            let Ok(transition) = machine::claim_and_start(&row.job, &claim, &context) else { continue };
            if transition.job.lease.is_some() {
                tokens.next();
                batch.jobs.push(Claimed { job: transition.job.clone(), payload: tables.payload(&row)? });
            }
            tables.save(&row, transition)?;
        }
    }
    batch.next_due = again.into_iter().chain(tables.next_due()?).min();
    Ok(batch)
}

/// How many more jobs of a queue may run, whatever slots a worker has; none if that cannot be told at this moment.
fn room(tables: &mut impl Tables, queue: &Name) -> Result<Option<usize>> {
    let Some(queue) = tables.queue(queue)? else { return Ok(Some(usize::MAX)) };
    match queue.limit {
        _ if queue.paused_at.is_some() => Ok(Some(0)),
        None => Ok(Some(usize::MAX)),
        Some(limit) => {
            let running = tables.running(&queue.name)?;
            let left = running.map(|running| u64::from(limit).saturating_sub(running));
            Ok(left.map(|left| usize::try_from(left).unwrap_or(usize::MAX)))
        }
    }
}

fn plan_of<'a>(request: &'a ClaimRequest, job: &Job) -> Option<&'a WorkedPlan> {
    request.plans.iter().find(|plan| plan.spec.kind == job.kind)
}

/// Registers a plan and answers with its generation.
///
/// # Errors
/// If the plan breaks a rule, or the store fails.
pub fn register(tables: &mut impl Tables, spec: &PlanSpec) -> Result<PlanRef> {
    spec.check()?;
    let known = tables.plans(&spec.kind)?;
    let newest = known.iter().map(|(_, generation)| *generation).max();
    let newest_in_use = match newest {
        Some(generation) => tables.is_plan_in_use(&spec.kind, generation)?,
        None => false,
    };
    let hash = spec.hash();
    let generation = plan::generation_for(&hash, &known, newest_in_use);
    let plan_ref = PlanRef { hash: hash.into(), generation };
    tables.put_plan(spec, &plan_ref)?;
    Ok(plan_ref)
}

/// Changes what an operator wants of a queue. What runs goes on, even if it is more than may run from now on.
///
/// # Errors
/// If the name or the change breaks a rule, or the store fails.
pub fn change_queue(
    tables: &mut impl Tables,
    queue: &Name,
    change: &QueueChange,
    now: Timestamp,
) -> Result<Queue> {
    name::check("queue", queue)?;
    change.check()?;
    let before = tables.queue(queue)?.unwrap_or_else(|| Queue::new(queue.clone()));
    let queue = before.after(change, now);
    tables.put_queue(&queue)?;
    Ok(queue)
}

/// T13. Takes jobs from a session that is dead.
///
/// # Errors
/// If the store fails.
pub fn reap(
    tables: &mut impl Tables,
    session: SessionId,
    node: &str,
    jitter: f64,
    now: Timestamp,
    limit: usize,
) -> Result<usize> {
    let rows = tables.owned(session, limit)?;
    let command = Command::LoseLease { node: node.to_owned(), jitter };
    save_each(tables, rows, now, |job| (Fence::Reaper { epoch: job.epoch, session }, command.clone()))
}

/// T16. Closes pending jobs that have expired.
///
/// # Errors
/// If the store fails.
pub fn expire(tables: &mut impl Tables, now: Timestamp, limit: usize) -> Result<usize> {
    let rows = tables.expired(now, limit)?;
    save_each(tables, rows, now, |_| (Fence::None, Command::Expire))
}

/// T12. Closes cancelling jobs whose deadline has passed.
///
/// # Errors
/// If the store fails.
pub fn force_cancels(tables: &mut impl Tables, now: Timestamp, limit: usize) -> Result<usize> {
    let rows = tables.overdue_cancels(now, limit)?;
    save_each(tables, rows, now, |job| {
        let fence = job.lease.map(|lease| Fence::Reaper { epoch: job.epoch, session: lease.session });
        (fence.unwrap_or(Fence::None), Command::ForceCancel)
    })
}

fn save_each(
    tables: &mut impl Tables,
    rows: Vec<Row>,
    now: Timestamp,
    command: impl Fn(&Job) -> (Fence, Command),
) -> Result<usize> {
    let mut changed = 0;
    for row in rows {
        let (row, recorded) = settled::record(tables, row, now)?;
        if recorded && row.job.lease.is_none() {
            // With that end the job has left its owner.
            changed += 1;
            continue;
        }
        let (fence, command) = command(&row.job);
        // A refusal means that the row is not what the maintenance looked for, and is left as it is.
        if let Ok(transition) =
            machine::apply(&row.job, fence, &command, &Context { now, ..Context::default() })
        {
            tables.save(&row, transition)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// T17. Removes ended jobs, and events, that retention does not keep.
///
/// # Errors
/// If the store fails.
pub fn prune(
    tables: &mut impl Tables,
    retention: &Retention,
    now: Timestamp,
    limit: usize,
) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for state in [JobState::Completed, JobState::Failed, JobState::Cancelled] {
        let keep = retention.of(state);
        let excess = match keep.count_max {
            u64::MAX => 0,
            count_max => tables.count(state)?.saturating_sub(count_max),
        };
        let rows = tables.ended(state, now - keep.age_max, excess, limit)?;
        pruned.more |= rows.len() >= limit;
        for row in rows {
            let context = Context { now, held: is_held(tables, &row)?, ..Context::default() };
            if let Ok(transition) = machine::apply(&row.job, Fence::None, &Command::Delete, &context) {
                tables.save(&row, transition)?;
                forget_webhook(tables, &row.job, now)?;
                pruned.jobs += 1;
            }
        }
    }
    let keep = retention.events;
    pruned.event_rows = tables.prune_events(now - keep.age_max, keep.count_max, limit)?;
    pruned.more = (pruned.more && pruned.jobs > 0) || pruned.event_rows >= limit;
    for scope in [ONCE, MADE_ONCE] {
        let forgotten = tables.prune_settings(&Name::from(scope), now - limits::IDEMPOTENCY_KEPT, limit)?;
        pruned.more |= forgotten >= limit;
    }
    Ok(pruned)
}

/// Forgets where a job's own webhook goes, and its secret, with the last row that could need it: the job itself, which
/// may run again, or a delivery about it, which may be sent again.
fn forget_webhook(tables: &mut impl Tables, removed: &Job, now: Timestamp) -> Result<()> {
    let job = match &*removed.kind {
        webhook::KIND if !removed.queue.starts_with(webhook::QUEUE_OF_JOBS) => return Ok(()),
        webhook::KIND => webhook::source(&removed.details.tags),
        _ => removed.details.webhook.is_some().then_some(removed.id),
    };
    let Some(job) = job else { return Ok(()) };
    if tables.job(job)?.is_some() || tables.is_tagged(&Name::from(webhook::KIND), &webhook::about(job))? {
        return Ok(());
    }
    let (scope, key) = (Name::from(webhook::OF_JOBS), job.to_string());
    if tables.setting(&scope, &key)?.is_some() {
        tables.put_setting(&scope, &key, None, now)?;
    }
    Ok(())
}

/// Turns rows of the inbox into jobs. A row that asks for something impossible ends as a visible refusal, and never
/// stays in the way of the others.
///
/// # Errors
/// If the store fails.
pub fn take_in(tables: &mut impl Tables, now: Timestamp, limit: usize) -> Result<usize> {
    let entries = tables.inbox(limit)?;
    let taken = entries.len();
    for entry in entries {
        let outcome = match outcome_of(tables, &entry, now) {
            Ok(id) => InboxOutcome::Job(id),
            Err(error) if error.is_invalid() => InboxOutcome::Refused(error.to_string()),
            Err(error) => return Err(error),
        };
        tables.close_inbox(&entry, &outcome, now)?;
    }
    Ok(taken)
}

fn outcome_of(tables: &mut impl Tables, entry: &InboxEntry, now: Timestamp) -> Result<JobId> {
    let new = entry.parse()?;
    // A row that comes again after its job has ended and was deleted is still the same row.
    if let Some(id) = tables.inbox_made(new.id)? {
        return Ok(id);
    }
    if let Some(key) = &entry.idempotency_key
        && let Some(id) = tables.inbox_job(key)?
    {
        return Ok(id);
    }
    match tables.job(new.id) {
        Ok(None) => enqueue(tables, &new, now).map(|enqueued| enqueued.id),
        Ok(Some(_)) => Ok(new.id),
        // A job that cannot be read is there all the same.
        Err(error) if error.is_refused() => Ok(new.id),
        Err(error) => Err(error),
    }
}
