//! Measures Stepwell beside another queue and beside the bare store, in turn and in one run, and prints the ratios.
//!
//! | module | decides |
//! |---|---|
//! | `options` | what was asked for |
//! | `subject` | who is measured, and how each is built |
//! | `store` | where the jobs are put: files, or databases on a server of the run's own |
//! | `child` | how a subject is started, and for how long it may run |
//! | `measure/` | one measurement each: which commands, which figures, which counts must be found afterwards |
//! | `bench`, `turn` | taking turns, fresh places, and what went wrong |
//! | `counts` | what a subject's store says about its jobs |
//! | `table` | the figures, their spread and their ratios |
//! | `goal` | what must be reached |
mod bench;
mod child;
mod counts;
mod goal;
mod measure;
mod options;
mod store;
mod subject;
mod table;
mod turn;

use std::{fs::File, io::Write, path::Path, process::ExitCode};

use stepwell_bench_subject::Result;

use crate::{bench::Bench, options::Options};

fn main() -> ExitCode {
    let options = Options::from_command_line();
    // A slow machine is no failure; a job that is missing from the store is.
    match run(options) {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            wrong.iter().for_each(|wrong| eprintln!("wrong: {wrong}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints, and returns what was wrong.
fn run(options: Options) -> Result<Vec<String>> {
    let measures = options.measures.clone();
    // A path that cannot be written shows before the minutes of measuring, not after.
    let json = options.json.as_deref().map(create).transpose()?;
    let mut bench = Bench::new(options)?;
    for measure in measures {
        (measure.run)(&mut bench)?;
    }
    let goals = goal::judge(bench.options.store, &bench.table);
    println!("{}\n{}", bench.table, goal::List(&goals));
    if let Some(mut json) = json {
        let all = serde_json::json!({ "rows": bench.table, "goals": goals, "wrong": bench.wrong });
        writeln!(json, "{all:#}")?;
    }
    Ok(std::mem::take(&mut bench.wrong))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
