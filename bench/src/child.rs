//! Starting a subject, and waiting for its report.
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use stepwell_bench_subject::{Report, Result};

use crate::store::Place;

/// A subject that has lost a job waits for ever; none of the measurements takes as long as this.
const LIMIT: Duration = Duration::from_mins(5);
/// Filling a store with ten million jobs may.
const SEED_LIMIT: Duration = Duration::from_mins(30);

pub(crate) fn run(program: &Path, command: &str, place: &Place, sizes: &[(&str, u64)]) -> Result<Report> {
    let mut child = Command::new(program);
    child.arg(command).arg("--store").arg(&place.address).stdin(Stdio::null()).stdout(Stdio::piped());
    for (name, value) in sizes {
        child.arg(format!("--{name}")).arg(value.to_string());
    }
    let mut child = child.spawn()?;
    let (start, limit) = (Instant::now(), if command == "seed" { SEED_LIMIT } else { LIMIT });
    // The report is one short line, which the pipe holds until the subject has ended.
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(format!("no answer within {limit:?}").into());
        }
        sleep(Duration::from_millis(20));
    };
    let mut line = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut line)?;
    }
    if !status.success() {
        return Err(format!("ended with {status}").into());
    }
    serde_json::from_str(&line).map_err(|error| format!("printed no report: {error}").into())
}
