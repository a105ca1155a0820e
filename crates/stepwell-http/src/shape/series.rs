//! Statistics on the wire.

use serde::{Deserialize, Serialize};
use stepwell::series::{Metric, Point, Series, Spans};
use utoipa::ToSchema;

use super::time;

/// What a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum MetricName {
    Throughput,
    Wait,
    Run,
    Depth,
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Throughput => Self::Throughput,
            MetricName::Wait => Self::Wait,
            MetricName::Run => Self::Run,
            MetricName::Depth => Self::Depth,
        }
    }
}

/// A series.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Series)]
pub(crate) struct SeriesView {
    /// What it is about.
    metric: MetricName,
    /// How long the time of one point is.
    step_ms: u64,
    /// Whether all of the time that was asked for is in it. If not, its beginning is no longer in the log, or more has
    /// happened since than one series looks at.
    complete: bool,
    /// The points, the earliest first.
    data: Vec<PointView>,
}

/// What happened in the time of one point. Which members there are depends on the metric.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SeriesPoint)]
pub(crate) struct PointView {
    /// Where its time begins.
    #[schema(format = DateTime)]
    at: String,
    /// `throughput`: jobs that were enqueued.
    #[serde(skip_serializing_if = "Option::is_none")]
    enqueued: Option<u64>,
    /// `throughput`: runs of jobs that completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<u64>,
    /// `throughput`: runs that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u64>,
    /// `throughput`: runs that were cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<u64>,
    /// `wait`, `run`: how often it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// `wait`, `run`: the mean, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_ms: Option<f64>,
    /// `wait`, `run`: what 95 of 100 did not exceed, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<f64>,
    /// `wait`, `run`: the longest, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<f64>,
    /// `depth`: jobs that had not ended at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<u64>,
}

impl SeriesView {
    pub(crate) fn of(metric: MetricName, step_ms: u64, series: Series) -> Self {
        let data = series.points.into_iter().map(|point| PointView::of(metric, point)).collect();
        Self { metric, step_ms, complete: series.is_complete, data }
    }
}

impl PointView {
    fn of(metric: MetricName, point: Point) -> Self {
        let Point { at, enqueued, completed, failed, cancelled, spans, depth } = point;
        let Spans { count, mean, p95, max } = spans;
        let throughput = |n| (metric == MetricName::Throughput).then_some(n);
        let is_span = matches!(metric, MetricName::Wait | MetricName::Run);
        let span = |span: std::time::Duration| is_span.then_some(span.as_secs_f64() * 1_000.0);
        Self {
            at: time(at),
            enqueued: throughput(enqueued),
            completed: throughput(completed),
            failed: throughput(failed),
            cancelled: throughput(cancelled),
            count: is_span.then_some(count),
            mean_ms: span(mean),
            p95_ms: span(p95),
            max_ms: span(max),
            jobs: (metric == MetricName::Depth).then_some(depth),
        }
    }
}
