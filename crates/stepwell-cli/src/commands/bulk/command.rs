//! The words of `stepwell bulk`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, value::RawValue};

use super::{progress, request};
use crate::{
    client::{BULK, Session, Target},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Format, Members, Table, field, short, text_of, tint},
};

/// What a script wants to know.
const CODES: &str = "\
Bulk operations are named by their ids, or by the last 6 digits of them or more.

Exit codes:
  0    it was done; with --wait, to every job
  1    with --wait: to some jobs it could not be done; `bulk failures` lists them
  2    the arguments are wrong
  3    there is no such operation
  4    the token is missing, wrong, or not for this
  6    the server does not answer
  11   with --wait: the operation was cancelled
  130  ended by Ctrl-C; an operation that was begun goes on";

#[derive(clap::Args)]
#[command(after_help = CODES)]
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
    /// Lists the operations, the newest first.
    List(Fields),
    /// Shows an operation, and how far it is.
    Get(Named),
    /// Does the same to every job that is selected. It goes on without this program, also after a crash of the server.
    Run(request::Run),
    /// Follows an operation to its end.
    Watch(Named),
    /// Lists the jobs to which it could not be done, and why.
    Failures(Failures),
    /// Stops an operation. What it has done stays done.
    Cancel(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The operation.
    id: String,
}

#[derive(clap::Args)]
struct Failures {
    /// The operation.
    id: String,
    #[command(flatten)]
    fields: Fields,
}

/// Operations that are listed.
const LISTED_MAX: usize = 200;

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    Session::run(&target, format.into(), async |session| match &command {
        Command::List(fields) => {
            fields.check(Members::Of("BulkOperation"))?;
            let what = "list the bulk operations";
            let listed = session.client.list(what, "/api/v1/bulk-operations", &[], LISTED_MAX, None).await?;
            show(session, &listed.items, fields)?;
            session.out.hint("stepwell bulk get ID");
            Ok(0)
        }
        Command::Get(named) => {
            let path = path(session, &named.id).await?;
            one(session, session.client.get("read the bulk operation", &path).await?.text())
        }
        Command::Run(asked) => request::run(session, asked).await,
        Command::Watch(named) => {
            let path = path(session, &named.id).await?;
            progress::until_end(session, &path).await
        }
        Command::Failures(listed) => {
            listed.fields.check(Members::Of("BulkFailure"))?;
            let path = path(session, &listed.id).await?;
            failures(session, &path, &listed.fields).await
        }
        Command::Cancel(named) => {
            let path = path(session, &named.id).await?;
            one(
                session,
                session.client.act("cancel the bulk operation", &format!("{path}/cancel")).await?.text(),
            )
        }
    })
    .await
}

async fn path(session: &Session, id: &str) -> Result<String, Failure> {
    Ok(format!("/api/v1/bulk-operations/{}", session.client.id(&BULK, id).await?))
}

async fn failures(session: &Session, path: &str, fields: &Fields) -> Result<u8, Failure> {
    let what = "list what failed";
    let failures = session.client.whole(what, &format!("{path}/failures")).await?;
    let mut table = Table::new(&["JOB", "AT", "ERROR"]);
    for failure in &failures {
        let failure: Value = serde_json::from_str(failure.get()).failed_to(what)?;
        table.row(["jobId", "at", "error"].map(|name| text_of(&failure, name)));
    }
    session.out.choose(&failures, &table, fields)?;
    session.out.hint("stepwell jobs get ID");
    Ok(0)
}

/// Shows one operation.
pub(super) fn one(session: &Session, text: &str) -> Result<u8, Failure> {
    match session.out.is_json() {
        true => session.out.line(text)?,
        false => {
            let operation: Box<RawValue> = serde_json::from_str(text).failed_to("understand the answer")?;
            show(session, &[operation], &Fields::default())?;
        }
    }
    Ok(0)
}

fn show(session: &Session, operations: &[Box<RawValue>], fields: &Fields) -> Result<(), Failure> {
    let mut table =
        Table::new(&["ID", "ACTION", "STATE", "TOTAL", "DONE", "SKIPPED", "FAILED", "CREATED", "BY"]);
    let (ago, people) = (Ago::now(), session.out.is_for_people());
    for operation in operations {
        let operation: Value = serde_json::from_str(operation.get()).failed_to("understand the answer")?;
        let (id, at) = (field(&operation, "id"), field(&operation, "createdAt"));
        let mut cells = vec![if people { short(id) } else { id.to_owned() }];
        cells.extend(
            ["action", "state", "total", "done", "skipped", "failed"].map(|name| text_of(&operation, name)),
        );
        cells.push(if people { ago.of(at) } else { at.to_owned() });
        cells.push(text_of(&operation, "by"));
        table.row(cells);
        table.paint(2, tint(field(&operation, "state")));
    }
    session.out.choose(operations, &table, fields)
}
