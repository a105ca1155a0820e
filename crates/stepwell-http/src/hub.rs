//! What all requests share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use stepwell::Stepwell;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, Rates, Tickets, Tokens},
    front::Hosts,
};

/// What can be set of an API.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) body_bytes_max: usize,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) streams_max: usize,
    pub(crate) stream_age_max: Duration,
    pub(crate) heartbeat: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // A payload of the largest size fits in, with what is around it.
            body_bytes_max: (1 << 20) + (64 << 10),
            requests_per_minute: Some(12_000),
            streams_max: 20_000,
            stream_age_max: Duration::from_mins(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

pub(crate) struct Hub {
    pub(crate) stepwell: Stepwell,
    pub(crate) access: Access,
    pub(crate) hosts: Hosts,
    pub(crate) options: Options,
    pub(crate) tokens: Tokens,
    pub(crate) tickets: Tickets,
    pub(crate) rates: Rates,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) counters: Counters,
    /// Held while the log is read for a series.
    pub(crate) series: Semaphore,
    /// Cancelled when no request may wait any longer.
    pub(crate) draining: CancellationToken,
}

impl Hub {
    pub(crate) fn new(stepwell: &Stepwell, access: Access, hosts: Hosts, options: Options) -> Arc<Self> {
        Arc::new(Self {
            tokens: Tokens::new(stepwell),
            tickets: Tickets::default(),
            rates: Rates::new(options.requests_per_minute),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            counters: Counters::default(),
            series: Semaphore::new(1),
            draining: CancellationToken::new(),
            stepwell: stepwell.clone(),
            access,
            hosts,
            options,
        })
    }
    /// The id of the event log, of which every place in it is a part.
    pub(crate) fn generation(&self) -> String {
        self.stepwell.describe().generation
    }
    /// The last place in the event log, for others.
    pub(crate) fn head(&self) -> String {
        // In this order: were the log to become another one in between, nobody would know the place.
        let generation = self.generation();
        place(&generation, self.stepwell.head())
    }
}

/// A place in the event log, for others.
pub(crate) fn place(generation: &str, pos: u64) -> String {
    format!("{generation}-{pos}")
}

/// What has been answered so far, by class of status, and what is open.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    classes: [AtomicU64; 5],
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }
    /// Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub(crate) fn by_class(&self) -> [u64; 5] {
        self.classes.each_ref().map(|class| class.load(Ordering::Relaxed))
    }
}
