//! How far a bulk operation is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use stepwell::Stopwatch;

use super::command::one;
use crate::{
    client::{Answer, Session},
    failure::{Failure, code},
    output::field,
};

/// Between two looks.
const TICK: Duration = Duration::from_millis(200);
/// After so long without any progress it is worth to say what is needed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows an operation to its end, and says how it ended.
pub(super) async fn until_end(session: &Session, path: &str) -> Result<u8, Failure> {
    let (operation, code) = end_of(session, path).await?;
    one(session, operation.text())?;
    Ok(code)
}

/// Follows an operation to its end, and answers with it, and with the exit code that says how it ended.
pub(super) async fn end_of(session: &Session, path: &str) -> Result<(Answer, u8), Failure> {
    let bar = match session.out.may_move() {
        true => ProgressBar::new(0),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (begun, mut told) = (Stopwatch::start(), false);
    loop {
        let answer = session.client.get("read the bulk operation", path).await?;
        let operation = answer.value()?;
        let count = |name: &str| operation[name].as_u64().unwrap_or(0);
        let done = count("done") + count("skipped") + count("failed");
        bar.set_length(count("total").max(done));
        bar.set_position(done);
        if let Some(code) = ended(&operation) {
            bar.finish_and_clear();
            if count("failed") > 0 {
                session.out.hint(&format!("stepwell bulk failures {}", field(&operation, "id")));
            }
            return Ok((answer, code));
        }
        if field(&operation, "state") == "pending"
            && begun.elapsed() > PATIENCE
            && !std::mem::replace(&mut told, true)
        {
            bar.suspend(|| session.out.say("it has not begun; a server must run that works on this store"));
        }
        tokio::time::sleep(TICK).await;
    }
}

fn ended(operation: &Value) -> Option<u8> {
    match field(operation, "state") {
        "completed" if operation["failed"] == 0 => Some(0),
        "completed" | "failed" => Some(code::FAILURE),
        "cancelled" => Some(code::JOB_CANCELLED),
        _ => None,
    }
}
