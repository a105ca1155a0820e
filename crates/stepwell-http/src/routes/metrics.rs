//! Metrics, in the form of OpenMetrics.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use crate::{access::Caller, front::Problem, hub::Hub};

/// What monitoring asks for, in the form of OpenMetrics.
#[utoipa::path(
    get, path = "/metrics", tag = "system",
    responses((status = 200, description = "The metrics", body = String,
        content_type = "application/openmetrics-text")),
)]
pub(crate) async fn metrics(State(hub): State<Arc<Hub>>, Caller(grant): Caller) -> Result<Response, Problem> {
    let counts = hub.stepwell.counts().await?;
    let queues = hub.stepwell.queues().await?;
    let sessions = hub.stepwell.sessions().await?;
    let mut text = Exposition::default();

    text.family("stepwell_jobs", "gauge", "Jobs by queue, kind and state.");
    for count in counts.iter().filter(|count| grant.covers(&count.queue, &count.kind)) {
        let labels = [("queue", &*count.queue), ("kind", &*count.kind), ("state", count.state.as_str())];
        text.sample("stepwell_jobs", &labels, count.n);
    }
    text.family("stepwell_queue_paused", "gauge", "Whether an operator has paused the queue.");
    for queue in queues.iter().filter(|queue| grant.covers_queue(&queue.name)) {
        text.sample("stepwell_queue_paused", &[("queue", &*queue.name)], queue.paused_at.is_some().into());
    }
    text.family("stepwell_workers", "gauge", "Live processes that work this store.");
    text.sample("stepwell_workers", &[], sessions.len() as u64);
    text.family("stepwell_events", "counter", "Events ever written.");
    text.sample("stepwell_events_total", &[], hub.stepwell.head());
    text.family("stepwell_http_responses", "counter", "Answers of this process, by class of status.");
    for (class, n) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(hub.counters.by_class()) {
        text.sample("stepwell_http_responses_total", &[("class", class)], n);
    }
    text.family("stepwell_event_streams", "gauge", "Event streams that are open in this process.");
    let open = hub.options.streams_max.saturating_sub(hub.streams.available_permits());
    text.sample("stepwell_event_streams", &[], open as u64);

    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text.end()).into_response())
}

/// The text in the making.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}").ok();
    }
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (nth, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(self.0, "{}{label}=\"{value}\"", if nth == 0 { '{' } else { ',' }).ok();
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").ok();
    }
    fn end(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Exposition::default();
        text.family("a", "gauge", "What it is.");
        text.sample("a", &[("queue", "x\"\\\ny"), ("kind", "k")], 3);
        assert_eq!(
            text.end(),
            "# TYPE a gauge\n# HELP a What it is.\na{queue=\"x\\\"\\\\\\ny\",kind=\"k\"} 3\n# EOF\n"
        );
    }
}
