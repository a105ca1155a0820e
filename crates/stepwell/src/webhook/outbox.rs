//! What all parts of the webhooks in one process share.

use std::sync::Arc;

use stepwell_core::{Result, store::Store, webhook::JobWebhook};

use crate::entropy::Entropy;

use super::{endpoint, lanes::Lanes, options::WebhookOptions};

/// What all parts of the webhooks in one process share.
pub(crate) struct Outbox {
    pub(super) store: Arc<dyn Store>,
    pub(crate) options: WebhookOptions,
    pub(super) entropy: Entropy,
    pub(super) lanes: Lanes,
}

impl Outbox {
    pub(crate) fn new(store: Arc<dyn Store>, options: WebhookOptions, entropy: Entropy) -> Arc<Self> {
        Arc::new(Self { store, options, entropy, lanes: Lanes::default() })
    }
    /// Whether the webhook of one job can be sent to.
    pub(crate) fn check_of_job(&self, webhook: &JobWebhook) -> Result<()> {
        endpoint::check_of_job(webhook, &self.options.policy)
    }
}
