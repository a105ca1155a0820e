//! `stepwell tokens`.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_http::Scope;

use crate::{
    client::{Answer, Session, Target, segment},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Format, Members, Table, field, text_of},
    span,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a token and prints it. It is shown this once, and stored nowhere. With --store, the file is made if it
    /// does not exist.
    Create(Create),
    /// Lists the tokens, without their secrets.
    List(Fields),
    /// Replaces a token by a new one that may do the same, and prints that. It is shown this once.
    Rotate(Rotate),
    /// Ends a token. Running servers notice within two seconds.
    Revoke(Revoke),
}

#[derive(clap::Args)]
struct Create {
    /// What people call it.
    name: String,
    /// What it may do: jobs:read, jobs:enqueue, jobs:manage, queues:read, queues:manage, events:read, webhooks:read,
    /// webhooks:manage, workers, metrics, admin. May be given several times.
    #[arg(long = "scope", value_name = "SCOPE", required_unless_present_any = ["read_only", "admin"])]
    scopes: Vec<Scope>,
    /// It may see everything, and change nothing.
    #[arg(long)]
    read_only: bool,
    /// It may do everything.
    #[arg(long, conflicts_with_all = ["queues", "kinds"])]
    admin: bool,
    /// Only in this queue. May be given several times.
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Only with jobs of this kind. May be given several times.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// It ends by itself after this time: 12h, 30d.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    expires_in: Option<Duration>,
}

#[derive(clap::Args)]
struct Rotate {
    /// The part of the token between the underscores, as `list` shows it.
    id: String,
    /// How long the old one is good beside the new one: it ends at once unless set, 30d at most.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    overlap: Option<Duration>,
    /// The new one ends by itself after this time; unless set, after as long as the old one was made for.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    expires_in: Option<Duration>,
}

#[derive(clap::Args)]
struct Revoke {
    /// The part of the token between the underscores, as `list` shows it.
    id: String,
}

/// A token that is asked for, as the API has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewToken<'a> {
    name: &'a str,
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    queues: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    kinds: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u128>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    let target = if let Command::Create(_) = command { target.that_may_be_made() } else { target };
    Session::run(&target, format.into(), async |session| match &command {
        Command::Create(create) => make(session, create).await,
        Command::List(fields) => list(session, fields).await,
        Command::Rotate(asked) => rotate(session, asked).await,
        Command::Revoke(revoke) => {
            let path = format!("/api/v1/tokens/{}", segment(&revoke.id));
            session.client.delete("revoke the token", &path).await?;
            Ok(0)
        }
    })
    .await
}

async fn make(session: &Session, create: &Create) -> Result<u8, Failure> {
    let mut scopes = create.scopes.clone();
    if create.read_only {
        scopes.extend(Scope::READ_ONLY);
    }
    if create.admin {
        scopes.push(Scope::Admin);
    }
    let new = NewToken {
        name: &create.name,
        scopes,
        queues: &create.queues,
        kinds: &create.kinds,
        expires_in_ms: create.expires_in.map(|span| span.as_millis()),
    };
    made(session, &session.client.post("make the token", "/api/v1/tokens", &new).await?)
}

async fn rotate(session: &Session, asked: &Rotate) -> Result<u8, Failure> {
    let mut body = json!({});
    for (name, span) in [("overlapMs", asked.overlap), ("expiresInMs", asked.expires_in)] {
        if let Some(span) = span {
            body[name] = json!(span.as_millis());
        }
    }
    let path = format!("/api/v1/tokens/{}/rotate", segment(&asked.id));
    made(session, &session.client.post("replace the token", &path, &body).await?)
}

/// A token that is new, which is shown this once.
fn made(session: &Session, answer: &Answer) -> Result<u8, Failure> {
    match session.out.is_json() {
        true => session.out.line(answer.text())?,
        false => session.out.line(field(&answer.value()?, "secret"))?,
    }
    Ok(0)
}

async fn list(session: &Session, fields: &Fields) -> Result<u8, Failure> {
    fields.check(Members::Of("Token"))?;
    let what = "list the tokens";
    let tokens = session.client.whole(what, "/api/v1/tokens").await?;
    let mut table =
        Table::new(&["ID", "NAME", "SCOPES", "QUEUES", "KINDS", "CREATED", "EXPIRES", "LAST USED"]);
    let (ago, people) = (Ago::now(), session.out.is_for_people());
    for token in &tokens {
        let token: Value = serde_json::from_str(token.get()).failed_to(what)?;
        let limited =
            |name: &str| if token[name].is_null() { "all".to_owned() } else { text_of(&token, name) };
        let time = |name: &str| match field(&token, name) {
            "" => "never".to_owned(),
            at if people => ago.of(at),
            at => at.to_owned(),
        };
        table.row([
            text_of(&token, "id"),
            text_of(&token, "name"),
            text_of(&token, "scopes"),
            limited("queues"),
            limited("kinds"),
            time("createdAt"),
            time("expiresAt"),
            time("lastUsedAt"),
        ]);
    }
    session.out.choose(&tokens, &table, fields)?;
    session.out.hint("stepwell tokens rotate ID");
    Ok(0)
}
