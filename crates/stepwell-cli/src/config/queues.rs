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
    concurrency: Option<u16>,
    /// Jobs of it at once in all processes on the store together.
    limit: Option<u32>,
}

impl Queues {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Their names, and how many jobs of each run at once in this process, where that is said.
    pub(super) fn at_once(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        self.0.iter().map(|(name, queue)| (&**name, queue.concurrency))
    }
    pub(super) fn add_to(&self, builder: Builder) -> Builder {
        self.0.iter().fold(builder, |builder, (name, queue)| {
            let builder = match queue.concurrency {
                Some(at_once) => builder.queue(&**name, at_once.into()),
                None => builder,
            };
            match queue.limit {
                Some(limit) => builder.queue_limit(&**name, limit),
                None => builder,
            }
        })
    }
}
