//! What can be set of `stepwell dev`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use stepwell::webhook::WebhookOptions;

/// What can be set; the words for it are in `commands::dev`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) all: bool,
    pub(crate) until_idle: bool,
    pub(crate) slow: Duration,
    pub(crate) json: bool,
    pub(crate) concurrency: usize,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) webhooks: WebhookOptions,
}
