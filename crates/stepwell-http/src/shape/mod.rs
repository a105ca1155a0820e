//! How things look on the wire: camelCase, RFC 3339, milliseconds in fields that end in `Ms`.

mod bulk;
mod delivery;
pub(crate) mod event;
mod filter;
mod job;
mod new_job;
mod phase;
mod retry;
mod series;
mod time;
mod webhook;

pub(crate) use bulk::{BulkFailureView, BulkRequest, BulkView, PreviewView};
pub(crate) use delivery::{DeliveryDetailView, DeliveryStateName, DeliveryView};
pub(crate) use filter::{Attribute, Filter};
pub(crate) use job::{JobDetail, JobStateName, JobView};
pub(crate) use new_job::{Created, NewJob};
pub(crate) use phase::{FailureView, PhaseDetail, PhaseView};
pub(crate) use retry::RetryPolicy;
pub(crate) use series::{MetricName, SeriesView};
pub(crate) use time::{millis, parse_time, present, time};
pub(crate) use webhook::{EndpointEdit, EndpointRequest, EndpointView, HealthView};
