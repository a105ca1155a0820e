//! What all parts of the webhooks in one process have in common.

use std::sync::{Arc, Mutex, PoisonError};

use stepwell_core::{Error, Result, store::Store, webhook::JobWebhook};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::entropy::Entropy;

use super::{endpoint, lanes::Lanes, options::WebhookOptions};

/// Threads on which deliveries are sent. They wait more than they work.
const THREADS: usize = 2;

/// What all parts of the webhooks in one process have in common.
pub(crate) struct Outbox {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: WebhookOptions,
    pub(super) entropy: Entropy,
    pub(crate) lanes: Lanes,
    /// Where deliveries are sent. A handler that blocks the application's threads cannot hold them up.
    runtime: Mutex<Option<Runtime>>,
}

impl Outbox {
    pub(crate) fn new(store: Arc<dyn Store>, options: WebhookOptions, entropy: Entropy) -> Arc<Self> {
        let (lanes, runtime) = (Lanes::default(), Mutex::default());
        Arc::new(Self { store, options, entropy, lanes, runtime })
    }
    /// Whether the webhook of one job can be sent to.
    pub(crate) fn check_of_job(&self, webhook: &JobWebhook) -> Result<()> {
        endpoint::check_of_job(webhook, &self.options.policy)
    }
    /// Starts the threads on which deliveries are sent.
    pub(crate) fn start(&self) -> Result<Handle> {
        let built = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("stepwell-webhook")
            .enable_all()
            .build()
            .map_err(|error| Error::storage("start the threads of the webhooks", error))?;
        let handle = built.handle().clone();
        self.replace(Some(built));
        Ok(handle)
    }
    /// Ends them, without waiting for what cannot be stopped, such as a name that is being looked up.
    pub(crate) fn stop(&self) {
        self.replace(None);
    }
    fn replace(&self, runtime: Option<Runtime>) {
        let before =
            std::mem::replace(&mut *self.runtime.lock().unwrap_or_else(PoisonError::into_inner), runtime);
        if let Some(runtime) = before {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.stop();
    }
}
