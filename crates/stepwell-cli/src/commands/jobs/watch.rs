//! A job on its way.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use stepwell::Stopwatch;

use super::get::{between, took};
use crate::{
    client::{Client, Session},
    commands::events,
    failure::{FailedTo, Failure, code},
    output::{beside, clean, field, span, text_of},
};

/// How long one request waits for the end.
const WAIT: Duration = Duration::from_secs(20);
/// After so long it is worth to say why nothing happens.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two requests to a server that does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at a job of which much is told.
const TICK: Duration = Duration::from_millis(100);

/// Follows a job to its end, shows what happens, and answers with the exit code that says how it ended.
pub(crate) async fn watch(session: &Session, id: &str, timeout: Option<Duration>) -> Result<u8, Failure> {
    let begun = read(&session.client, id, Duration::ZERO).await?.1;
    // What it was told before is history, also if it is the end of an earlier run.
    let past = begun["nextSeq"].as_u64().unwrap_or(0);
    let seen = match has_ended(&begun) {
        true => past.saturating_sub(1),
        false => past,
    };
    let followed = async {
        match session.out.may_move() {
            true => bars(session, id, seen, &begun).await,
            false => lines(session, id, seen).await,
        }
    };
    let explained = async {
        tokio::time::sleep(PATIENCE).await;
        explain(session, id, &read(&session.client, id, Duration::ZERO).await?.1).await
    };
    let shown = async {
        tokio::pin!(followed);
        tokio::select! {
            followed = &mut followed => return followed,
            explained = explained => explained?,
        }
        followed.await
    };
    match within(timeout, shown).await {
        Some(shown) => shown?,
        None => return Ok(timed_out(session, id)),
    }
    let (_, job) = read(&session.client, id, Duration::ZERO).await?;
    Ok(tell_end(session, &job))
}

/// Waits for a job's end, and answers with the job as it was written, and the exit code.
pub(crate) async fn until_end(
    session: &Session,
    id: &str,
    timeout: Option<Duration>,
) -> Result<(String, u8), Failure> {
    let waited = async {
        let (begun, mut explained) = (Stopwatch::start(), false);
        let mut lost = false;
        loop {
            // The first request is short, so that it is soon said why nothing happens.
            let wait = if explained { WAIT } else { PATIENCE.saturating_sub(begun.elapsed()) };
            match read(&session.client, id, wait).await {
                Ok((text, job)) if has_ended(&job) => break Ok((text, job)),
                Ok((_, job)) => {
                    lost = false;
                    if !std::mem::replace(&mut explained, true) {
                        explain(session, id, &job).await?;
                    }
                }
                Err(failure) if failure.is_unreachable() => {
                    if !std::mem::replace(&mut lost, true) {
                        session.out.say(&format!("{failure}; trying again"));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => break Err(failure),
            }
        }
    };
    match within(timeout, waited).await {
        Some(ended) => {
            let (text, job) = ended?;
            Ok((text, tell_end(session, &job)))
        }
        None => {
            let (text, _) = read(&session.client, id, Duration::ZERO).await?;
            Ok((text, timed_out(session, id)))
        }
    }
}

async fn within<T>(timeout: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, future).await.ok(),
        None => Some(future.await),
    }
}

async fn read(client: &Client, id: &str, wait: Duration) -> Result<(String, Value), Failure> {
    let path = format!("/api/v1/jobs/{id}?waitMs={}", wait.as_millis());
    let answer = client.get_within("read the job", &path, wait).await?;
    Ok((answer.text().to_owned(), answer.value()?))
}

/// Why a job waits; a job that runs needs no words.
async fn explain(session: &Session, id: &str, job: &Value) -> Result<(), Failure> {
    if field(job, "state") == "pending" {
        let path = format!("/api/v1/jobs/{id}/explain");
        let answer = session.client.get("ask why the job waits", &path).await?.value()?;
        session.out.say(&text_of(&answer, "text"));
    }
    Ok(())
}

async fn lines(session: &Session, id: &str, past: u64) -> Result<(), Failure> {
    let mut frames = session.client.follow("follow the job", format!("/api/v1/jobs/{id}/events"));
    loop {
        let frame = frames.next().await?;
        if frame.event.starts_with("stream:") {
            continue;
        }
        events::show(session, &frame.data)?;
        let event: Value = serde_json::from_str(&frame.data).failed_to("understand an event")?;
        if is_end(&event, past) {
            return Ok(());
        }
    }
}

/// The end of the run that is watched, or of the job itself.
fn is_end(event: &Value, past: u64) -> bool {
    match field(event, "type") {
        "job:completed" | "job:failed" | "job:cancelled" => event["jobSeq"].as_u64().unwrap_or(0) >= past,
        "job:deleted" => true,
        _ => false,
    }
}

async fn bars(session: &Session, id: &str, past: u64, begun: &Value) -> Result<(), Failure> {
    let mut frames = session.client.follow("follow the job", format!("/api/v1/jobs/{id}/events"));
    let mut shown = Shown::default();
    shown.show(begun);
    let mut changed = false;
    loop {
        let frame = tokio::select! {
            frame = frames.next() => Some(frame?),
            () = tokio::time::sleep(TICK), if changed => None,
        };
        let ended = match &frame {
            Some(frame) if frame.event.starts_with("stream:") => false,
            Some(frame) => {
                let event: Value = serde_json::from_str(&frame.data).failed_to("understand an event")?;
                is_end(&event, past)
            }
            None => false,
        };
        if frame.is_none() || ended {
            shown.show(&read(&session.client, id, Duration::ZERO).await?.1);
        }
        changed = frame.is_some();
        if ended {
            return Ok(());
        }
    }
}

/// A line for each phase, which says where it stands.
#[derive(Default)]
struct Shown {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Shown {
    fn show(&mut self, job: &Value) {
        let phases = job["phases"].as_array().into_iter().flatten();
        for (n, phase) in phases.enumerate() {
            if self.lines.len() <= n {
                self.lines.push(self.all.add(ProgressBar::new_spinner()).with_style(style("{msg}")));
            }
            let line = &self.lines[n];
            let (name, state) = (clean(field(phase, "name")), field(phase, "state"));
            let tries = match phase["tries"].as_u64() {
                Some(tries) if tries > 1 => format!(" (try {tries} of {})", phase["maxTries"]),
                _ => String::new(),
            };
            if state == "running" {
                let progress = &job["progress"];
                let (done, total) = (progress["done"].as_u64(), progress["total"].as_u64().unwrap_or(0));
                let at = done.filter(|_| total > 0).map(|done| format!(" {done}/{total}"));
                let note = clean(field(progress, "note"));
                line.set_message(format!("  {name:<16} running{tries}{} {note}", at.unwrap_or_default()));
                line.set_style(style("{msg} {spinner}"));
                line.enable_steady_tick(TICK);
            } else {
                let took = took(phase).map_or_else(String::new, |took| format!(" {}", span(took)));
                line.set_message(format!("  {name:<16} {state}{tries}{took}"));
                line.set_style(style("{msg}"));
                line.disable_steady_tick();
                line.tick();
            }
        }
    }
}

impl Drop for Shown {
    /// What was shown last stays, as plain lines.
    fn drop(&mut self) {
        let last: Vec<String> = self.lines.iter().map(ProgressBar::message).collect();
        self.lines.drain(..).for_each(|line| line.finish_and_clear());
        for line in last {
            beside(line);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn has_ended(job: &Value) -> bool {
    matches!(field(job, "state"), "completed" | "failed" | "cancelled")
}

fn tell_end(session: &Session, job: &Value) -> u8 {
    let took = between(field(job, "enqueuedAt"), field(job, "finishedAt"));
    let took = took.map_or_else(String::new, |took| format!(" after {}", span(took)));
    match field(job, "state") {
        "completed" => {
            session.out.say(&format!("the job has completed{took}"));
            0
        }
        "cancelled" => {
            session.out.say(&format!("the job was cancelled{took}"));
            code::JOB_CANCELLED
        }
        "failed" => {
            let (failure, id) = (&job["failure"], field(job, "id"));
            let phase = match field(failure, "phase") {
                "" => String::new(),
                phase => format!(" in {phase}"),
            };
            session.out.say(&format!("the job has failed{phase}{took}: {}", field(failure, "message")));
            session.out.hint(&format!("stepwell jobs get {id}, or stepwell jobs retry {id}"));
            code::JOB_FAILED
        }
        state => {
            session.out.say(&format!("the job is {state}"));
            code::FAILURE
        }
    }
}

fn timed_out(session: &Session, id: &str) -> u8 {
    session.out.say(&format!("the job {id} has not ended in time; it goes on"));
    code::TIMED_OUT
}
