//! What can be set of `stepwell serve`.

use std::{net::SocketAddr, time::Duration};

use stepwell::webhook::WebhookOptions;

use crate::{config::Config, store::StoreAddress};

/// What can be set; the words for it are in `commands::serve`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) store: StoreAddress,
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
    pub(crate) open_to_all: bool,
    pub(crate) behind_proxy: bool,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) grace: Duration,
    pub(crate) keep: Option<Duration>,
    pub(crate) webhooks: WebhookOptions,
    pub(crate) config: Option<Config>,
    pub(crate) demo: bool,
}
