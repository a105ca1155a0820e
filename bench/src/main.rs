//! Measures Stepwell beside effectum and beside the bare store, in turn and in one run, and prints the ratios.
//!
//! | module | decides |
//! |---|---|
//! | `options` | what was asked for |
//! | `subject` | who is measured, and how each is built |
//! | `child` | how a subject is started, and for how long it may run |
//! | `measure/` | one measurement each: which commands, which figures, which counts must be found afterwards |
//! | `bench`, `turn` | taking turns, fresh files, and what went wrong |
//! | `counts` | what a subject's file says about its jobs |
//! | `table` | the figures, their spread and their ratios |
//! | `goal` | what must be reached |
mod bench;
mod child;
mod counts;
mod goal;
mod measure;
mod options;
mod subject;
mod table;
mod turn;

use std::{fs, process::ExitCode};

use stepwell_bench_subject::Result;

use crate::{bench::Bench, options::Options};

fn main() -> Result<ExitCode> {
    let options = Options::from_command_line();
    let json = options.json.clone();
    let measures = options.measures.clone();
    let mut bench = Bench::new(options)?;
    for measure in measures {
        (measure.run)(&mut bench)?;
    }
    let goals = goal::judge(&bench.table);
    println!("{}\n{}", bench.table, goal::List(&goals));
    if let Some(path) = json {
        let all = serde_json::json!({ "rows": bench.table, "goals": goals, "wrong": bench.wrong });
        fs::write(&path, format!("{all:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for wrong in &bench.wrong {
        eprintln!("wrong: {wrong}");
    }
    // A slow machine is no failure; a job that is missing from the store is.
    Ok(if bench.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
