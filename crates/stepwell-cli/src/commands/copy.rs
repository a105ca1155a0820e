//! `stepwell db copy` and `stepwell db unseal`.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use stepwell::copy::{self, Copied, Copying, Progress, Step};

use crate::{
    failure::{FailedTo, Failure, code},
    interrupts::Interrupts,
    output::{Output, Table},
    store::StoreAddress,
};

const COPY_HELP: &str = "\
Nobody may work on the source: stop its servers and workers; or pause its queues, wait until nothing runs, and let them
go on serving those who read. The source is sealed and stays so: it can be read and not written, because the same work
must not be done in two places. `stepwell db unseal` takes that back.

In the end both stores are read and compared. What is printed is what they hold: for each table, how many records, and a
hash that is the same in every kind of store.

If it is interrupted in any way, the same command goes on where it stood.";

#[derive(clap::Args)]
#[command(after_help = COPY_HELP)]
pub(crate) struct Arguments {
    /// The store that is copied: sqlite:PATH, or postgres://USER@HOST/DATABASE.
    #[arg(value_name = "SOURCE")]
    from: StoreAddress,
    /// Where it goes: a new file, or a database in which there is no store yet.
    #[arg(value_name = "DESTINATION")]
    to: StoreAddress,
}

pub(crate) async fn run(arguments: &Arguments, out: Output) -> Result<u8, Failure> {
    let Arguments { from, to } = arguments;
    let what = format!("copy {from} to {to}");
    if !from.exists() {
        return Err(Failure::with_code(code::NOT_FOUND, what, "there is no such file; name another source"));
    }
    let mut interrupts = Interrupts::listen();
    let bar = bar(out);
    let moving = bar.clone();
    let copying = Copying::new(from.place(), to.place()).on_progress(move |progress| show(&moving, progress));
    let outcome = tokio::select! {
        outcome = copying.run() => outcome,
        () = interrupts.next() => {
            bar.finish_and_clear();
            out.say("interrupted; the same command goes on where it stood");
            // A thread in the middle of it is not waited for.
            std::process::exit(i32::from(code::INTERRUPTED));
        }
    };
    bar.finish_and_clear();
    tell(&outcome.failed_to(what)?, out)?;
    out.hint(&format!("stepwell serve --store {to}"));
    Ok(0)
}

/// Lets a store be used again.
pub(crate) async fn unseal(store: &StoreAddress, yes: bool, out: Output) -> Result<u8, Failure> {
    let what = format!("let {store} be used again");
    out.confirm(yes, &format!("{what}, beside whatever copy there is of it"), "unseal").await?;
    copy::unseal(store.place()).await.failed_to(&what)?;
    match out.is_json() {
        true => out.line(&json!({ "store": store.to_string(), "sealed": false }).to_string())?,
        false => out.line(&format!("{store}\tunsealed"))?,
    }
    Ok(0)
}

fn bar(out: Output) -> ProgressBar {
    if !out.may_move() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:22} {bar:30} {human_pos}/{human_len} records, {eta} left");
    let bar = ProgressBar::new(0);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    let does = match progress.step {
        Step::Copying => "copying",
        _ => "comparing",
    };
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(format!("{does} {}", progress.table));
}

fn tell(copied: &Copied, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        let table = |table: &copy::CopiedTable| {
            let copy::CopiedTable { name, records, sha256, .. } = table;
            json!({ "name": name, "records": records, "sha256": sha256 })
        };
        let object = json!({
            "from": copied.from,
            "to": copied.to,
            "resumed": copied.resumed,
            "tables": copied.tables.iter().map(table).collect::<Vec<_>>(),
            "records": copied.records,
            "sha256": copied.sha256,
        });
        return out.line(&object.to_string());
    }
    let mut table = Table::new(&["table", "records", "sha256"]);
    for copied in copied.tables.iter().filter(|table| table.records > 0) {
        table.row([copied.name.to_owned(), copied.records.to_string(), copied.sha256.clone()]);
    }
    table.row(["all".to_owned(), copied.records.to_string(), copied.sha256.clone()]);
    out.list(&[], &table)
}
