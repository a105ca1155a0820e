//! Jobs and their events as lines.

use console::Style;
use serde_json::Value;

use super::{clean, field, short, text_of};

/// The colour of a state.
pub(crate) fn tint(state: &str) -> Style {
    match state {
        "completed" | "delivered" => Style::new().green(),
        "failed" | "lost" => Style::new().red(),
        "running" | "sending" => Style::new().cyan(),
        "cancelling" | "cancelled" | "paused" | "disabled" | "quiet" | "stopping" => Style::new().yellow(),
        _ => Style::new(),
    }
}

/// Phases as a row of marks: what is done, what runs, what waits.
pub(crate) fn phase_bar(job: &Value) -> String {
    let mark = |phase: &Value| match field(phase, "state") {
        "completed" => '█',
        "running" => '▌',
        "failed" => '✗',
        "cancelled" | "skipped" => '-',
        _ => '·',
    };
    job["phases"].as_array().map(|phases| phases.iter().map(mark).collect()).unwrap_or_default()
}

/// An event as a line for people: when, whose, what, and what else it says.
pub(crate) fn event_text(event: &Value) -> String {
    let time = field(event, "at").get(11..23).unwrap_or_default();
    let about: Vec<String> =
        ["kind", "phase"].iter().map(|name| text_of(event, name)).filter(|text| !text.is_empty()).collect();
    let (id, ty) = (short(field(event, "jobId")), field(event, "type"));
    let mut line = format!("{time}  {id:<7}  {ty:<22}  {}", clean(&about.join("  ")));
    for (name, value) in event["data"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push_str(&format!("  {name}={}", clean(&value)));
    }
    line
}

/// The same, in the colour of what it says.
pub(crate) fn event_line(event: &Value) -> String {
    let style = match field(event, "type").rsplit(':').next() {
        Some(state @ ("completed" | "failed" | "cancelled")) => tint(state),
        _ => Style::new(),
    };
    style.apply_to(event_text(event)).to_string()
}
