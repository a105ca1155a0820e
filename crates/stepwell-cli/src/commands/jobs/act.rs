//! What is done to a job.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    client::{JOBS, Session},
    failure::{FailedTo, Failure},
    output::{short, text_of},
    payload, span,
};

#[derive(clap::Args)]
pub(super) struct Retry {
    /// The jobs.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Every phase runs again, those that have completed, too.
    #[arg(long)]
    from_start: bool,
}

#[derive(clap::Args)]
pub(super) struct Rerun {
    /// The job.
    id: String,
    /// This phase and every later one run again.
    #[arg(long = "from", value_name = "PHASE")]
    from_phase: String,
    /// A new payload: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Edit {
    /// The job.
    id: String,
    /// Its payload: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Its priority; higher runs first.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Its queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Not before this time has passed: 90s, 15m, 12h, 30d.
    #[arg(long = "in", value_name = "SPAN", value_parser = span::parse, conflicts_with = "at")]
    delay: Option<std::time::Duration>,
    /// Not before this time: 2027-03-01T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Its tags, all of them. May be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Its search attributes, all of them. May be given several times.
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = crate::pair::parse)]
    attributes: Vec<(String, String)>,
}

#[derive(clap::Args)]
pub(super) struct Delete {
    /// The jobs.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

/// Does something that needs no words to several jobs, one after the other.
pub(super) async fn act(session: &Session, ids: &[String], verb: &str) -> Result<u8, Failure> {
    let what = match verb {
        "cancel" => "cancel the job",
        _ => "let the job run now",
    };
    for id in ids {
        let id = session.client.id(&JOBS, id).await?;
        let answer = session.client.act(what, &format!("/api/v1/jobs/{id}/{verb}")).await?;
        standing(session, answer.text())?;
    }
    Ok(0)
}

pub(super) async fn retry(session: &Session, retry: &Retry) -> Result<u8, Failure> {
    let body = json!({ "fromStart": retry.from_start });
    for id in &retry.ids {
        let id = session.client.id(&JOBS, id).await?;
        let answer = session.client.post("retry the job", &format!("/api/v1/jobs/{id}/retry"), &body).await?;
        standing(session, answer.text())?;
        session.out.hint(&format!("stepwell jobs watch {id}"));
    }
    Ok(0)
}

pub(super) async fn rerun(session: &Session, rerun: &Rerun) -> Result<u8, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'r> {
        from_phase: &'r str,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Box<RawValue>>,
    }

    let payload = match rerun.payload.as_deref() {
        Some(text) => Some(payload::read(text).await?),
        None => None,
    };
    let id = session.client.id(&JOBS, &rerun.id).await?;
    let body = Body { from_phase: &rerun.from_phase, payload };
    let answer = session.client.post("run the job again", &format!("/api/v1/jobs/{id}/rerun"), &body).await?;
    standing(session, answer.text())?;
    session.out.hint(&format!("stepwell jobs watch {id}"));
    Ok(0)
}

pub(super) async fn edit(session: &Session, edit: &Edit) -> Result<u8, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'e> {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<i16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        queue: Option<&'e str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delay_ms: Option<u128>,
        #[serde(skip_serializing_if = "Option::is_none")]
        run_at: Option<&'e str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tags: Option<&'e [String]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        attributes: Option<BTreeMap<&'e str, &'e str>>,
    }

    let payload = match edit.payload.as_deref() {
        Some(text) => Some(payload::read(text).await?),
        None => None,
    };
    let attributes = edit.attributes.iter().map(|(name, value)| (&**name, &**value));
    let body = Body {
        payload,
        priority: edit.priority,
        queue: edit.queue.as_deref(),
        delay_ms: edit.delay.map(|delay| delay.as_millis()),
        run_at: edit.at.as_deref(),
        tags: Some(&*edit.tags).filter(|tags| !tags.is_empty()),
        attributes: Some(attributes.collect()).filter(|_| !edit.attributes.is_empty()),
    };
    let id = session.client.id(&JOBS, &edit.id).await?;
    let answer = session.client.patch("change the job", &format!("/api/v1/jobs/{id}"), &body).await?;
    standing(session, answer.text())?;
    Ok(0)
}

pub(super) async fn delete(session: &Session, delete: &Delete) -> Result<u8, Failure> {
    let mut ids = Vec::with_capacity(delete.ids.len());
    for id in &delete.ids {
        ids.push(session.client.id(&JOBS, id).await?);
    }
    let named: Vec<String> = ids.iter().map(|id| short(id)).collect();
    session.out.confirm(delete.yes, &format!("delete the job {}", named.join(", ")), "delete").await?;
    for id in &ids {
        session.client.delete("delete the job", &format!("/api/v1/jobs/{id}")).await?;
        session.out.deleted(id)?;
    }
    Ok(0)
}

/// Says where a job stands after something was done with it.
fn standing(session: &Session, text: &str) -> Result<(), Failure> {
    if session.out.is_json() {
        return session.out.line(text);
    }
    let job: Value = serde_json::from_str(text).failed_to("understand the answer")?;
    session.out.line(&format!("{}\t{}", text_of(&job, "id"), text_of(&job, "state")))
}
