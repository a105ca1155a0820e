//! A queue that is emptied: its jobs are cancelled, and then deleted.

use serde_json::{Value, json};

use super::{
    progress,
    request::{PATH, matched},
};
use crate::{
    client::{Session, segment},
    failure::Failure,
    output::field,
};

/// Cancels every job of a queue that waits, and deletes those that are cancelled.
pub(crate) async fn purge(session: &Session, queue: &str, yes: bool) -> Result<u8, Failure> {
    let what = "purge the queue";
    let asked = |action: &str, state: &str, dry_run: bool| {
        let filter = json!({ "queue": queue, "state": state });
        json!({ "action": action, "filter": filter, "dryRun": dry_run })
    };
    let waiting = session.client.post(what, PATH, &asked("cancel", "pending", true)).await?.value()?;
    let words = format!(
        "cancel {} jobs that wait in the queue {queue}, and delete its cancelled jobs",
        matched(&waiting)
    );
    session.out.confirm(yes, &words, queue).await?;
    run(session, what, &asked("cancel", "pending", false)).await?;
    // Only those that somebody else was faster with are left, and they are told of.
    let (deleted, code) = run(session, what, &asked("delete", "cancelled", false)).await?;
    match session.out.is_json() {
        true => session.out.line(&json!({ "queue": queue, "deleted": deleted["done"] }).to_string())?,
        false => session.out.line(&format!("{}\tjobs deleted", deleted["done"]))?,
    }
    session.out.hint(&format!("stepwell queues get {queue}"));
    Ok(code)
}

/// Leaves no job in a queue in which nobody works.
pub(crate) async fn empty(session: &Session, queue: &str) -> Result<(), Failure> {
    let what = "empty the queue";
    let asked = |action: &str| json!({ "action": action, "filter": { "queue": queue } });
    run(session, what, &asked("cancel")).await?;
    match run(session, what, &asked("delete")).await? {
        (_, 0) => Ok(()),
        (left, _) => Err(Failure::to(what, format!("{} jobs could not be deleted", left["failed"]))),
    }
}

async fn run(session: &Session, what: &str, request: &Value) -> Result<(Value, u8), Failure> {
    let made = session.client.post(what, PATH, request).await?.value()?;
    let (ended, code) = progress::end_of(session, &format!("{PATH}/{}", segment(field(&made, "id")))).await?;
    Ok((ended.value()?, code))
}
