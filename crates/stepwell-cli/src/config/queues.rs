//! Queues as they are configured.

use std::collections::BTreeMap;

use serde::Deserialize;
use stepwell::Builder;

/// Queues by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Queues(BTreeMap<String, Queue>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Queue {
    /// Jobs of it at once in this process.
    concurrency: u16,
}

impl Queues {
    pub(super) fn add_to(&self, builder: Builder) -> Builder {
        self.0.iter().fold(builder, |builder, (name, queue)| builder.queue(&**name, queue.concurrency.into()))
    }
}
