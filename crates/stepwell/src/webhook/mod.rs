//! Webhooks: signed, and never lost.
//!
//! ```text
//!   event log ──▶ fan-out ──▶ deliveries (jobs of a reserved kind) ──▶ courier ──▶ sender ──▶ receiver
//!                 a durable     one queue per endpoint,                claims      signs,
//!                 cursor        kept when given up                                 guards, records
//! ```
//!
//! The log is the outbox: what happened to a job is written with the change itself, and a durable cursor turns it into
//! deliveries, which are jobs like others. A crash at any moment leaves either the event before the cursor's move or
//! the delivery behind it, so that nothing is lost, and a delivery has the same id on every attempt.
//!
//! - [`Webhooks`]: endpoints, deliveries, replays, as an application or an API calls them.
//! - [`WebhookOptions`]: how this process sends.
//! - `fan_out`: which events become which deliveries. `sender`: one attempt. Which deliveries are claimed is the
//!   engine's affair, as for other jobs.
//! - `address`, `options`, `target`, `connector`: what may be connected to. `lookup`: how names are looked up.

mod address;
mod at;
mod attempt;
mod client;
mod connector;
mod deliveries;
mod delivery;
mod endpoint;
mod endpoints;
mod fan_out;
mod headers;
mod health;
mod lanes;
mod lookup;
mod options;
mod outbox;
mod pulse;
mod schedule;
mod secret;
mod sender;
mod signature;
mod target;

pub use attempt::Attempt;
pub use client::ATTEMPT_TIMEOUT;
pub use deliveries::{Replay, Replayed};
pub use delivery::{Delivery, DeliveryDetail, DeliveryFilter, DeliveryState};
pub use endpoint::{Disabled, DisabledReason, Endpoint, EndpointChange, NewEndpoint};
pub use endpoints::{EndpointPage, NewSecret, Tested, Webhooks};
pub(crate) use fan_out::FanOut;
pub use health::Health;
pub(crate) use lanes::LANES_AT_ONCE;
pub use options::WebhookOptions;
pub(crate) use outbox::Outbox;
pub use secret::Secret;
pub(crate) use sender::Sender;
pub use stepwell_core::webhook::{Headers, JobWebhook};
