//! `stepwell tokens`.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;
use serde_json::json;
use stepwell::{Name, Stepwell, wire};
use stepwell_http::{NewToken, Scope, TokenRecord, Tokens};

use crate::{
    failure::{FailedTo, Failure},
    span,
    store::StoreAddress,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a token and prints it. It is shown this once, and stored nowhere.
    Create(Create),
    /// Lists the tokens, without their secrets.
    List(List),
    /// Ends a token. Running servers notice within two seconds.
    Revoke(Revoke),
}

#[derive(clap::Args)]
struct Create {
    /// What people call it.
    name: String,
    /// Where the queue is stored: sqlite:PATH, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", env = "STEPWELL_STORE")]
    store: StoreAddress,
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
struct List {
    /// Where the queue is stored: sqlite:PATH, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", env = "STEPWELL_STORE")]
    store: StoreAddress,
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Revoke {
    /// The part of the token between the underscores, as `list` shows it.
    id: String,
    /// Where the queue is stored: sqlite:PATH, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", env = "STEPWELL_STORE")]
    store: StoreAddress,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Create(create) => {
            let stepwell = open(&create.store, true).await?;
            let mut scopes: BTreeSet<Scope> = create.scopes.iter().copied().collect();
            if create.read_only {
                scopes.extend(Scope::READ_ONLY);
            }
            if create.admin {
                scopes.insert(Scope::Admin);
            }
            let named = |names: Vec<String>| {
                let names: BTreeSet<Name> = names.into_iter().map(Name::from).collect();
                (!names.is_empty()).then_some(names)
            };
            let (queues, kinds) = (named(create.queues), named(create.kinds));
            let new = NewToken { name: create.name, scopes, queues, kinds, expires_in: create.expires_in };
            let made = Tokens::new(&stepwell).create(new).await;
            let (_, text) = close(stepwell, made).await.failed_to("make the token")?;
            print(&format!("{text}\n"))
        }
        Command::List(list) => {
            let stepwell = open(&list.store, false).await?;
            let found = Tokens::new(&stepwell).list().await;
            let tokens = close(stepwell, found).await.failed_to("list the tokens")?;
            print(&if list.json { as_json(&tokens) } else { as_lines(&tokens) })
        }
        Command::Revoke(revoke) => {
            let stepwell = open(&revoke.store, false).await?;
            let revoked = Tokens::new(&stepwell).revoke(&revoke.id).await;
            close(stepwell, revoked).await.failed_to("revoke the token")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn open(store: &StoreAddress, make: bool) -> Result<Stepwell, Failure> {
    if !make && !store.exists() {
        return Err(Failure::to(format!("open {store}"), "there is no such file; name another with --store"));
    }
    store.builder().open().await.failed_to(format!("open {store}"))
}

async fn close<T>(stepwell: Stepwell, outcome: stepwell::Result<T>) -> stepwell::Result<T> {
    let closed = stepwell.close().await;
    outcome.and_then(|value| closed.map(|()| value))
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    io::stdout().write_all(text.as_bytes()).failed_to("print")?;
    Ok(ExitCode::SUCCESS)
}

fn words<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(",")
}

fn as_lines(tokens: &[TokenRecord]) -> String {
    let mut text = String::from("ID\tNAME\tSCOPES\tQUEUES\tKINDS\tCREATED\tEXPIRES\tLAST USED\n");
    for token in tokens {
        let scopes = words(token.scopes.iter().map(|scope| scope.as_str()));
        let limited = |names: &Option<BTreeSet<Name>>| names.as_ref().map_or("all".to_owned(), words);
        let time = |at: Option<stepwell::Timestamp>| at.map_or("never".to_owned(), wire::rfc3339);
        let cells = [
            token.id.clone(),
            token.name.clone(),
            scopes,
            limited(&token.queues),
            limited(&token.kinds),
            token.created(),
            time(token.expires_at),
            time(token.last_used_at),
        ];
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

fn as_json(tokens: &[TokenRecord]) -> String {
    let object = |token: &TokenRecord| {
        json!({
            "id": token.id, "name": token.name, "scopes": token.scopes,
            "queues": token.queues, "kinds": token.kinds, "createdAt": token.created(),
            "expiresAt": token.expires_at.map(wire::rfc3339),
            "lastUsedAt": token.last_used_at.map(wire::rfc3339),
        })
    };
    let array: Vec<serde_json::Value> = tokens.iter().map(object).collect();
    format!("{:#}\n", serde_json::Value::from(array))
}
