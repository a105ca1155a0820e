//! `stepwell db`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use stepwell::{Keep, Retention, Upkeep};

use crate::{
    failure::{FailedTo, Failure, code},
    interrupts::Interrupts,
    output::{Format, Output, bytes},
    span,
    store::StoreAddress,
};

/// What a script wants to know.
const CODES: &str = "\
All of this may be done while servers and workers use the store, but restore, which makes a new one. Never copy the file
of a store that is in use by other means.

Exit codes:
  0    it was done, and a check found nothing
  1    it failed, or a check found something
  3    there is no such store
  130  ended by Ctrl-C; nothing is left half done";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// The store: sqlite:PATH. Only `prune` is for postgres://USER@HOST/DATABASE, too; PostgreSQL has its own tools for
    /// the rest.
    #[arg(long, global = true, value_name = "STORE", env = "STEPWELL_STORE")]
    store: Option<StoreAddress>,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Some(store) = arguments.store else {
        let why = "no store is named; say --store sqlite:PATH, or set STEPWELL_STORE";
        return Err(Failure::with_code(code::USAGE, "work on the store", why));
    };
    let out = Output::from(arguments.format);
    let is_made = matches!(arguments.command, Command::Restore { .. });
    if !is_made && !store.exists() {
        let why = "there is no such file; name another with --store";
        return Err(Failure::with_code(code::NOT_FOUND, format!("open {store}"), why));
    }
    let mut interrupts = Interrupts::listen();
    let is_short = matches!(arguments.command, Command::Prune { .. });
    let bar = if is_short { ProgressBar::hidden() } else { spinner(out) };
    let outcome = tokio::select! {
        outcome = work(&store, &arguments.command, out) => outcome,
        () = interrupts.next() => {
            bar.finish_and_clear();
            out.say("interrupted");
            // What is being written has another name until it is whole; a thread in the middle of it is not waited for.
            std::process::exit(i32::from(code::INTERRUPTED));
        }
    };
    bar.finish_and_clear();
    outcome.map(ExitCode::from)
}

/// Something that moves while a whole file is read.
fn spinner(out: Output) -> ProgressBar {
    if !out.may_move() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed}");
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

async fn work(store: &StoreAddress, command: &Command, out: Output) -> Result<u8, Failure> {
    let upkeep = || {
        let why =
            "it is a database of PostgreSQL, which has its own tools for that: pg_dump, pg_restore, VACUUM";
        let other = || Failure::with_code(code::USAGE, format!("work on {store}"), why);
        store.file().map(Upkeep::sqlite).ok_or_else(other)
    };
    match command {
        Command::Check => {
            let faults = upkeep()?.check().await.failed_to(format!("check {store}"))?;
            let words = match faults.as_slice() {
                [] => "sound".to_owned(),
                faults => faults.join("\n"),
            };
            tell(out, &json!({ "store": store.to_string(), "faults": faults }), &words)?;
            if !faults.is_empty() {
                out.say("the store is damaged; stop every program that uses it, keep the file, and restore a backup");
            }
            Ok(if faults.is_empty() { 0 } else { code::FAILURE })
        }
        Command::Backup { to } => {
            let n = upkeep()?.backup(to).await.failed_to(format!("back up {store}"))?;
            tell(out, &json!({ "path": to, "bytes": n }), &format!("{}\t{}", to.display(), bytes(n)))?;
            out.hint(&format!("stepwell db check --store sqlite:{}", to.display()));
            Ok(0)
        }
        Command::Restore { from } => {
            let n =
                upkeep()?.restore(from).await.failed_to(format!("make {store} from {}", from.display()))?;
            tell(out, &json!({ "store": store.to_string(), "bytes": n }), &format!("{store}\t{}", bytes(n)))?;
            out.hint(&format!("stepwell serve --store {store}"));
            Ok(0)
        }
        Command::Vacuum => {
            let (before, after) = upkeep()?.vacuum().await.failed_to(format!("compact {store}"))?;
            let object = json!({ "bytesBefore": before, "bytesAfter": after });
            tell(out, &object, &format!("{}\t{}", bytes(before), bytes(after)))?;
            Ok(0)
        }
        Command::Prune { keep, keep_failed, yes } => prune(store, *keep, *keep_failed, *yes, out).await,
    }
}

async fn prune(
    store: &StoreAddress,
    keep: Duration,
    keep_failed: bool,
    yes: bool,
    out: Output,
) -> Result<u8, Failure> {
    let what = format!("delete what is older than {}", crate::output::span(keep));
    out.confirm(yes, &what, "delete")?;
    let mut retention = Retention::for_age(keep);
    if keep_failed {
        retention.failed = Keep::EVERYTHING;
    }
    let stepwell = store.builder().open().await.failed_to(format!("open {store}"))?;
    let pruned = stepwell.prune(retention).await;
    let closed = stepwell.close().await;
    let jobs = pruned.failed_to(&what)?;
    closed.failed_to(format!("close {store}"))?;
    tell(out, &json!({ "jobs": jobs }), &format!("{jobs}\tjobs deleted"))?;
    out.hint("stepwell db vacuum, to give the room back to the disk");
    Ok(0)
}

fn tell(out: Output, object: &Value, words: &str) -> Result<(), Failure> {
    out.line(&if out.is_json() { object.to_string() } else { words.to_owned() })
}
