//! Who is told of what happens.

use std::{fs, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    client::{Session, WEBHOOKS},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Members, Table, field, short, text_of, tint},
    span,
};

/// Endpoints that are listed.
const LISTED_MAX: usize = 1_000;

/// What can be said about an endpoint.
#[derive(clap::Args, Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    /// A word about it, for people.
    #[arg(long, value_name = "WORDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// A type of events that it is told of; the ends of jobs unless set. May be given several times.
    #[arg(long = "event", value_name = "TYPE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<String>,
    /// Only of jobs of this kind. May be given several times.
    #[arg(long = "kind", value_name = "KIND")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
    /// Only of jobs in this queue. May be given several times.
    #[arg(long = "queue", value_name = "QUEUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queues: Vec<String>,
    /// Only of jobs with this tag. May be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// A file with headers to send with each request: a JSON object of names and values, which are kept secret.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    headers_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// Where to: an https address.
    url: String,
    #[command(flatten)]
    about: About,
    /// The file with the secret, whsec_ and 24 to 64 bytes in base64, if none is to be made.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Set {
    /// The endpoint.
    id: String,
    /// Where to.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    about: About,
}

#[derive(clap::Args)]
pub(super) struct Rotate {
    /// The endpoint.
    id: String,
    /// How long the old secret is used beside the new one: 24h unless set, 30d at most.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    overlap: Option<Duration>,
    /// The file with the new secret, if none is to be made.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Delete {
    /// The endpoint.
    id: String,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

/// An endpoint as the API is asked for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(flatten)]
    about: &'a About,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl About {
    fn headers(&self) -> Result<Option<Value>, Failure> {
        let Some(file) = &self.headers_file else { return Ok(None) };
        let what = format!("read headers from {}", file.display());
        let text = fs::read_to_string(file).failed_to(&what)?;
        serde_json::from_str(&text).map(Some).failed_to(what)
    }
}

fn secret(file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let text = fs::read_to_string(file).failed_to(format!("read the secret from {}", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

pub(super) async fn list(session: &Session, fields: &Fields) -> Result<u8, Failure> {
    fields.check(Members::Of("Webhook"))?;
    let what = "list the webhooks";
    let listed = session.client.list(what, "/api/v1/webhooks", &[], LISTED_MAX, None).await?;
    show(session, &listed.items, fields)?;
    match listed.items.is_empty() {
        true => session.out.hint("stepwell webhooks create URL"),
        false => session.out.hint("stepwell webhooks get ID"),
    }
    Ok(0)
}

fn show(session: &Session, endpoints: &[Box<RawValue>], fields: &Fields) -> Result<(), Failure> {
    let people = session.out.is_for_people();
    let mut table = Table::new(&["ID", "STATE", "URL", "EVENTS", "KINDS", "QUEUES", "TAGS", "DESCRIPTION"]);
    for endpoint in endpoints {
        let endpoint: Value = serde_json::from_str(endpoint.get()).failed_to("understand the answer")?;
        let (id, state) = (field(&endpoint, "id"), state(&endpoint));
        let mut cells = vec![if people { short(id) } else { id.to_owned() }, state.clone()];
        let rest = ["url", "events", "kinds", "queues", "tags", "description"];
        cells.extend(rest.map(|name| text_of(&endpoint, name)));
        table.row(cells);
        table.paint(1, tint(state.split(' ').next().unwrap_or_default()));
    }
    session.out.choose(endpoints, &table, fields)
}

fn state(endpoint: &Value) -> String {
    match (endpoint["enabled"] == true, field(endpoint, "disabledReason")) {
        (true, _) => "enabled".to_owned(),
        (false, "") => "disabled".to_owned(),
        (false, reason) => format!("disabled ({reason})"),
    }
}

pub(super) async fn get(session: &Session, id: &str) -> Result<u8, Failure> {
    let (what, id) = ("read the webhook", session.client.id(&WEBHOOKS, id).await?);
    let endpoint = session.client.get(what, &format!("/api/v1/webhooks/{id}")).await?;
    let health = session.client.get(what, &format!("/api/v1/webhooks/{id}/stats")).await?;
    if session.out.is_json() {
        // Both as they were written.
        session.out.line(&format!(r#"{{"webhook":{},"stats":{}}}"#, endpoint.text(), health.text()))?;
        return Ok(0);
    }
    let (endpoint, health, ago) = (endpoint.value()?, health.value()?, Ago::now());
    let people = session.out.is_for_people();
    let mut facts = vec![("id", text_of(&endpoint, "id")), ("state", state(&endpoint))];
    for name in ["url", "description", "events", "kinds", "queues", "tags", "headers"] {
        facts.push((name, text_of(&endpoint, name)));
    }
    for (name, member) in [
        ("failing since", "failingSince"),
        ("last success", "lastSuccessAt"),
        ("last failure", "lastFailureAt"),
    ] {
        let at = field(&health, member);
        facts.push((name, if people { ago.of(at) } else { at.to_owned() }));
    }
    facts.push(("last error", text_of(&health, "lastError")));
    for name in ["waiting", "sending", "delivered", "failed"] {
        facts.push((name, text_of(&health, name)));
    }
    session.out.facts(&facts)?;
    session.out.hint(&format!("stepwell webhooks deliveries {id}"));
    Ok(0)
}

pub(super) async fn create(session: &Session, create: &Create) -> Result<u8, Failure> {
    let body = Request {
        url: Some(&create.url),
        about: &create.about,
        headers: create.about.headers()?,
        secret: secret(create.secret_file.as_ref())?,
    };
    let answer = session.client.post("make the webhook", "/api/v1/webhooks", &body).await?;
    made(session, answer.text())
}

pub(super) async fn rotate(session: &Session, rotate: &Rotate) -> Result<u8, Failure> {
    let mut body = json!({});
    if let Some(overlap) = rotate.overlap {
        body["overlapMs"] = json!(overlap.as_millis());
    }
    if let Some(secret) = secret(rotate.secret_file.as_ref())? {
        body["secret"] = secret.into();
    }
    let id = session.client.id(&WEBHOOKS, &rotate.id).await?;
    let path = format!("/api/v1/webhooks/{id}/rotate-secret");
    let answer = session.client.post("change the secret", &path, &body).await?;
    made(session, answer.text())
}

/// An endpoint whose secret is new.
fn made(session: &Session, text: &str) -> Result<u8, Failure> {
    if session.out.is_json() {
        session.out.line(text)?;
        return Ok(0);
    }
    let made: Value = serde_json::from_str(text).failed_to("understand the answer")?;
    let id = field(&made["webhook"], "id");
    match field(&made, "secret") {
        "" => session.out.line(id)?,
        secret => {
            session.out.line(&format!("{id}\t{secret}"))?;
            session.out.say("the secret is shown this once; give it to the receiver");
        }
    }
    session.out.hint(&format!("stepwell webhooks test {id}"));
    Ok(0)
}

pub(super) async fn set(session: &Session, set: &Set) -> Result<u8, Failure> {
    let body =
        Request { url: set.url.as_deref(), about: &set.about, headers: set.about.headers()?, secret: None };
    let id = session.client.id(&WEBHOOKS, &set.id).await?;
    let answer = session.client.patch("change the webhook", &format!("/api/v1/webhooks/{id}"), &body).await?;
    one(session, answer.text())
}

pub(super) async fn switch(session: &Session, id: &str, verb: &str) -> Result<u8, Failure> {
    let id = session.client.id(&WEBHOOKS, id).await?;
    let answer =
        session.client.act(&format!("{verb} the webhook"), &format!("/api/v1/webhooks/{id}/{verb}")).await?;
    one(session, answer.text())
}

fn one(session: &Session, text: &str) -> Result<u8, Failure> {
    if session.out.is_json() {
        session.out.line(text)?;
        return Ok(0);
    }
    let endpoint: Box<RawValue> = serde_json::from_str(text).failed_to("understand the answer")?;
    show(session, &[endpoint], &Fields::default())?;
    Ok(0)
}

pub(super) async fn delete(session: &Session, delete: &Delete) -> Result<u8, Failure> {
    let id = session.client.id(&WEBHOOKS, &delete.id).await?;
    session.out.confirm(delete.yes, &format!("delete the webhook {}", short(&id)), "delete").await?;
    session.client.delete("delete the webhook", &format!("/api/v1/webhooks/{id}")).await?;
    session.out.deleted(&id)?;
    Ok(0)
}
