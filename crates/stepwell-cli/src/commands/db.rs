//! `stepwell db`.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;
use serde_json::{Value, json};
use stepwell::{Keep, Retention, Schema, Upkeep};

use super::copy;
use crate::{
    client::StoreTarget,
    failure::{FailedTo, Failure, code},
    interrupts::Interrupts,
    output::{Bar, Format, Output, bytes},
    span,
    store::StoreAddress,
};

/// What a script wants to know.
const CODES: &str = "\
Of a database of PostgreSQL only status, migrate, prune, copy and unseal; for the rest it has its own tools, which are
named.

All of this may be done while servers and workers use the store, but copy, unseal, and restore, which makes a new one.
Never copy the file of a store that is in use by other means.

Exit codes:
  0    it was done, and a check found nothing
  1    it failed, or a check found something
  3    there is no such store
  6    the database does not answer
  130  ended by Ctrl-C; nothing is left half done";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: StoreTarget,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Which,
}

#[derive(Subcommand)]
enum Which {
    #[command(flatten)]
    OfOneStore(Command),
    /// Copies a whole store into one of another kind, or place, where the work goes on.
    Copy(copy::Arguments),
}

#[derive(Subcommand)]
enum Command {
    /// Shows which schema the store has, and how large it is.
    Status,
    /// Brings the schema up to this release, which every program does that opens the store. There is no way back but a
    /// backup.
    Migrate,
    /// Looks whether the file is sound, and whether what it says of itself is so. Nobody waits for it.
    Check,
    /// Copies the store as it stands at one moment into a new file.
    Backup {
        /// The new file.
        to: PathBuf,
    },
    /// Makes the store from a backup. What ran when that was taken runs again.
    Restore {
        /// The backup.
        from: PathBuf,
    },
    /// Gives room that is no longer used back to the disk. Whoever wants to write waits for it.
    Vacuum,
    /// Deletes ended jobs and events that are old, once and now; `serve --keep` does it all the time.
    Prune {
        /// What is older than this goes: 12h, 30d.
        #[arg(long, value_name = "SPAN", value_parser = span::parse)]
        keep: Duration,
        /// Failed jobs stay.
        #[arg(long)]
        keep_failed: bool,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Lets a store be used again that is sealed because it was copied. Use either it or the copy.
    Unseal {
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let out = Output::from(arguments.format);
    let command = match arguments.command {
        Which::OfOneStore(command) => command,
        Which::Copy(arguments) => return copy::run(&arguments, out).await.map(ExitCode::from),
    };
    let store = arguments.target.store()?;
    let is_made = matches!(command, Command::Restore { .. });
    if !is_made && !store.exists() {
        let why = "there is no such file; name another with --store";
        return Err(Failure::with_code(code::NOT_FOUND, format!("open {store}"), why));
    }
    let mut interrupts = Interrupts::listen();
    let bar = bar(&store, &command, out);
    let outcome = tokio::select! {
        outcome = work(&store, &command, out, &bar) => outcome,
        () = bar.follow() => Ok(0),
        () = interrupts.next() => {
            drop(bar);
            out.say("interrupted; nothing is left half done");
            // What is being written has another name until it is whole; a thread in the middle of it is not waited for.
            std::process::exit(i32::from(code::INTERRUPTED));
        }
    };
    drop(bar);
    outcome.map(ExitCode::from)
}

/// What moves while it is done.
fn bar(store: &StoreAddress, command: &Command, out: Output) -> Bar {
    let part = |to: &Path| {
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        PathBuf::from(name)
    };
    match (command, store.file()) {
        (Command::Backup { to }, Some(file)) => Bar::of_copy(out, file, part(to)),
        (Command::Restore { from }, Some(file)) => Bar::of_copy(out, from, part(file)),
        (Command::Check, Some(_)) => Bar::of_work(out, "checking"),
        (Command::Vacuum, Some(_)) => Bar::of_work(out, "compacting"),
        (Command::Migrate, _) => Bar::of_work(out, "migrating"),
        // They end soon, or ask first.
        _ => Bar::hidden(),
    }
}

async fn work(store: &StoreAddress, command: &Command, out: Output, bar: &Bar) -> Result<u8, Failure> {
    let upkeep = || store.file().map(Upkeep::sqlite).ok_or_else(|| of_postgres(store, command));
    match command {
        Command::Status => status(store, out).await,
        Command::Migrate => migrate(store, out, bar).await,
        Command::Check => {
            let faults = upkeep()?.check().await.failed_to(format!("check {store}"))?;
            let words = match faults.as_slice() {
                [] => "sound".to_owned(),
                faults => faults.join("\n"),
            };
            tell(out, bar, &json!({ "store": store.to_string(), "faults": faults }), &words)?;
            if !faults.is_empty() {
                out.say("the store is damaged; stop every program that uses it, keep the file, and restore a backup");
            }
            Ok(if faults.is_empty() { 0 } else { code::FAILURE })
        }
        Command::Backup { to } => {
            let n = upkeep()?.backup(to).await.failed_to(format!("back up {store}"))?;
            tell(out, bar, &json!({ "path": to, "bytes": n }), &format!("{}\t{}", to.display(), bytes(n)))?;
            out.hint(&format!("stepwell db check --store sqlite:{}", to.display()));
            Ok(0)
        }
        Command::Restore { from } => {
            let n =
                upkeep()?.restore(from).await.failed_to(format!("make {store} from {}", from.display()))?;
            tell(
                out,
                bar,
                &json!({ "store": store.to_string(), "bytes": n }),
                &format!("{store}\t{}", bytes(n)),
            )?;
            out.hint(&format!("stepwell serve --store {store}"));
            Ok(0)
        }
        Command::Vacuum => {
            let (before, after) = upkeep()?.vacuum().await.failed_to(format!("compact {store}"))?;
            let object = json!({ "bytesBefore": before, "bytesAfter": after });
            tell(out, bar, &object, &format!("{}\t{}", bytes(before), bytes(after)))?;
            Ok(0)
        }
        Command::Prune { keep, keep_failed, yes } => prune(store, *keep, *keep_failed, *yes, out, bar).await,
        Command::Unseal { yes } => copy::unseal(store, *yes, out).await,
    }
}

/// What whoever uses PostgreSQL does instead.
fn of_postgres(store: &StoreAddress, command: &Command) -> Failure {
    let (what, instead) = match command {
        Command::Check => {
            ("check", "pg_amcheck looks at its indexes and tables, and `stepwell doctor` at the queue")
        }
        Command::Backup { .. } => (
            "back up",
            "pg_dump -Fc -n stepwell DATABASE > FILE, or the base backups and the archive of the server",
        ),
        Command::Restore { .. } => {
            ("restore", "stop the programs that use it, drop the schema, and pg_restore -d DATABASE FILE")
        }
        _ => (
            "compact",
            "autovacuum gives room back all the time; VACUUM (FULL, ANALYZE) does it at once, and locks",
        ),
    };
    let why = format!("it is a database of PostgreSQL, which has its own tools for that: {instead}");
    Failure::with_code(code::USAGE, format!("{what} {store}"), why)
}

/// Which schema it has, and what it takes; it is not opened for that.
async fn status(store: &StoreAddress, out: Output) -> Result<u8, Failure> {
    let Schema { version, known } = schema(store).await?;
    let size = |path: &Path| fs::metadata(path).ok().map(|file| file.len());
    let (file, log) = match store.file() {
        Some(file) => (size(file), size(&PathBuf::from(format!("{}-wal", file.display())))),
        None => (None, None),
    };
    if out.is_json() {
        let object = json!({
            "store": store.to_string(), "schema": { "version": version, "known": known },
            "bytes": file, "logBytes": log,
        });
        out.line(&object.to_string())?;
    } else {
        out.facts(&[
            ("store", store.to_string()),
            ("schema", format!("{version} of {known}")),
            ("file", file.map_or_else(String::new, bytes)),
            ("log", log.map_or_else(String::new, bytes)),
        ])?;
    }
    match version.cmp(&known) {
        Ordering::Less => out.hint("stepwell db backup FILE, and then stepwell db migrate"),
        Ordering::Equal => out.hint("stepwell doctor"),
        Ordering::Greater => out.say("a newer release has opened it; use that one, or a later one"),
    }
    Ok(0)
}

/// Brings the schema up to date, which every program does that opens the store.
async fn migrate(store: &StoreAddress, out: Output, bar: &Bar) -> Result<u8, Failure> {
    let before = schema(store).await?;
    let stepwell = store.builder().open().await.map_err(|error| store.failed_to("open", error))?;
    stepwell.close().await.failed_to(format!("close {store}"))?;
    let after = schema(store).await?;
    let object = json!({ "versionBefore": before.version, "versionAfter": after.version });
    if out.is_json() {
        return tell(out, bar, &object, "").map(|()| 0);
    }
    bar.end();
    out.facts(&[("before", before.version.to_string()), ("after", after.version.to_string())])?;
    Ok(0)
}

async fn schema(store: &StoreAddress) -> Result<Schema, Failure> {
    let found = store.builder().stored_schema().await;
    found.map_err(|error| store.failed_to("read the schema of", error))?.ok_or_else(|| {
        let why =
            "there is no store of Stepwell's; name another with --store, or make one with `stepwell serve`";
        Failure::with_code(code::NOT_FOUND, format!("read the schema of {store}"), why)
    })
}

async fn prune(
    store: &StoreAddress,
    keep: Duration,
    keep_failed: bool,
    yes: bool,
    out: Output,
    bar: &Bar,
) -> Result<u8, Failure> {
    let what = format!("delete what is older than {}", crate::output::span(keep));
    out.confirm(yes, &what, "delete").await?;
    let mut retention = Retention::for_age(keep);
    if keep_failed {
        retention.failed = Keep::EVERYTHING;
    }
    let stepwell = store.builder().open().await.map_err(|error| store.failed_to("open", error))?;
    let pruned = stepwell.prune(retention).await;
    let closed = stepwell.close().await;
    let jobs = pruned.failed_to(&what)?;
    closed.failed_to(format!("close {store}"))?;
    tell(out, bar, &json!({ "jobs": jobs }), &format!("{jobs}\tjobs deleted"))?;
    out.hint("stepwell db vacuum, to give the room back to the disk");
    Ok(0)
}

fn tell(out: Output, bar: &Bar, object: &Value, words: &str) -> Result<(), Failure> {
    bar.end();
    out.line(&if out.is_json() { object.to_string() } else { words.to_owned() })
}
