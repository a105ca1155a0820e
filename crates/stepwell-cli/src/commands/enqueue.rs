//! `stepwell enqueue`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use clap::ValueEnum;
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;

use super::jobs::{until_end, watch};
use crate::{
    client::{Session, Target},
    failure::{FailedTo, Failure},
    output::{Format, field},
    payload, span,
    webhooks::WebhookArguments,
};

/// What a script wants to know.
const CODES: &str = "\
Exit codes:
  0    the job is stored, and with --wait or --follow it has completed
  2    the arguments are wrong, or the job breaks a limit
  4    the token is missing, wrong, or not for this
  5    another job holds the unique key, with --on-conflict reject
  6    the server does not answer
  10   the job has failed
  11   it was cancelled
  124  it has not ended in time
  130  ended by Ctrl-C; a job that was stored goes on";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// What kind of work it is.
    kind: String,
    /// What it is about: JSON, @FILE, or - for standard input.
    #[arg(value_name = "JSON|@FILE|-", default_value = "{}", allow_hyphen_values = true)]
    payload: String,
    /// Its queue; default unless set.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Not before this time has passed: 90s, 15m, 12h, 30d.
    #[arg(long = "in", value_name = "SPAN", value_parser = span::parse, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Not before this time: 2027-03-01T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Higher runs first; 0 unless set.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i16>,
    /// What makes it the same as another: while that one lives, there is no second one.
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// Counts ended jobs with that key, too, for this time after they were enqueued.
    #[arg(long, value_name = "SPAN", value_parser = span::parse, requires = "unique")]
    unique_within: Option<Duration>,
    /// What happens if there is another one with that key; return unless set.
    #[arg(long, value_name = "WHAT", requires = "unique")]
    on_conflict: Option<OnConflict>,
    /// A word to find it by. May be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A name and a value to find it by. May be given several times.
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = crate::pair::parse)]
    attributes: Vec<(String, String)>,
    /// If no worker has taken it by this time, it fails: 2027-03-01T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Who is told of its end.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// The file with what that is signed with: whsec_ and 24 to 64 bytes in base64.
    #[arg(long, value_name = "FILE", requires = "webhook_url")]
    webhook_secret_file: Option<PathBuf>,
    /// Makes the request count once in 24 hours, however often it is sent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Waits for its end, and exits as it ends. With --json it prints the job with its result.
    #[arg(long)]
    wait: bool,
    /// Shows what happens until it ends, and exits as it ends.
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
    /// Gives up waiting after this time. The job goes on.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    webhooks: WebhookArguments,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// What happens if there is another job with the unique key.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
enum OnConflict {
    /// That job is the answer.
    Return,
    /// It takes on what this one says, if it still waits.
    Replace,
    /// This one is refused.
    Reject,
}

/// A job that is asked for, as the API has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewJob<'a> {
    kind: &'a str,
    payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_within_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_conflict: Option<OnConflict>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<Webhook<'a>>,
}

#[derive(Serialize)]
struct Webhook<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Arguments {
    async fn job(&self) -> Result<NewJob<'_>, Failure> {
        let secret = self.webhook_secret_file.as_ref().map(|file| {
            let text = std::fs::read_to_string(file);
            text.failed_to(format!("read the webhook's secret from {}", file.display()))
        });
        let secret = secret.transpose()?.map(|text| text.trim().to_owned());
        Ok(NewJob {
            kind: &self.kind,
            payload: payload::read(&self.payload).await?,
            queue: self.queue.as_deref(),
            priority: self.priority,
            delay_ms: self.delay.map(|delay| delay.as_millis()),
            run_at: self.at.as_deref(),
            unique_key: self.unique.as_deref(),
            unique_within_ms: self.unique_within.map(|within| within.as_millis()),
            on_conflict: self.on_conflict,
            tags: self.tags.iter().map(|tag| &**tag).collect(),
            attributes: self.attributes.iter().map(|(name, value)| (&**name, &**value)).collect(),
            expires_at: self.expires_at.as_deref(),
            webhook: self.webhook_url.as_deref().map(|url| Webhook { url, secret }),
        })
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    // What is wrong with it is said before anybody is asked.
    let what = "enqueue the job";
    let body = serde_json::to_vec(&arguments.job().await?).failed_to(what)?;
    let key = arguments.idempotency_key.as_deref();
    let headers: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    let target = arguments.target.clone().with_webhooks(&arguments.webhooks);
    Session::run(&target, arguments.format.into(), async |session| {
        let (client, out) = (&session.client, &session.out);
        let answer = client.ask(what, Method::POST, "/api/v1/jobs", &headers, body.into()).await?;
        let created = answer.value()?;
        let id = field(&created, "id");
        let is_replayed = answer.header("idempotency-replayed") == Some("true");
        match (out.is_json(), arguments.wait) {
            (true, true) => {}
            (true, false) => out.line(answer.text())?,
            (false, _) => out.line(id)?,
        }
        match created["created"].as_bool() {
            Some(false) => out.say("this job has the unique key already; no other was made"),
            _ if is_replayed => out.say("the job was made by an earlier request with that key"),
            _ => {}
        }
        match (arguments.follow, arguments.wait) {
            (true, _) => watch(session, id, arguments.timeout).await,
            (_, true) => {
                let (job, code) = until_end(session, id, arguments.timeout).await?;
                if out.is_json() {
                    out.line(&job)?;
                }
                Ok(code)
            }
            _ => {
                out.hint(&format!("stepwell jobs watch {id}"));
                Ok(0)
            }
        }
    })
    .await
}
