//! How `serve` serves, as a file says it.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use super::amount::Span;
use crate::store::StoreAddress;

/// `[serve]`. What it leaves open is said by another file, or by nobody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Serving {
    #[serde(default, deserialize_with = "store")]
    pub(crate) store: Option<StoreAddress>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) behind_proxy: Option<bool>,
    pub(crate) requests_per_minute: Option<u32>,
    #[serde(default, deserialize_with = "span")]
    pub(crate) grace: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    pub(crate) keep: Option<Duration>,
}

fn store<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoreAddress>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Span::deserialize(deserializer).map(|Span(span)| Some(span))
}

impl Serving {
    /// What is wrong with it as a whole.
    pub(super) fn problem(&self) -> Option<&'static str> {
        // What is kept for no time at all could not even be looked at.
        (self.keep == Some(Duration::ZERO)).then_some("keep is 0s; it is at least 1s")
    }
    /// The same, with paths that begin where the file is.
    pub(super) fn at(mut self, home: &Path) -> Self {
        self.store = self.store.map(|store| store.at(home));
        self
    }
}
