//! What can be set of an engine.

use std::{sync::Arc, time::Duration};

use stepwell_core::retention::Retention;

/// How often retention looks, at most and at least.
const PRUNE_INTERVAL_MIN: Duration = Duration::from_secs(1);
const PRUNE_INTERVAL_MAX: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) node: String,
    pub(crate) host: String,
    pub(crate) retention: Retention,
    pub(crate) lease_ttl: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) blocking_threads: usize,
    /// How often the caretaker looks.
    pub(crate) care_interval: Duration,
    /// How long a phase has that a shutdown has told to stop.
    pub(crate) abort_grace: Duration,
    /// The schema, if everything is in a PostgreSQL database.
    pub(crate) schema: Option<Arc<str>>,
}

impl Config {
    /// When a cancelled job is ended by force. Its own process comes first, at the end of the grace period.
    pub(crate) fn cancel_deadline(&self) -> Duration {
        self.cancel_grace + Duration::from_secs(2)
    }
    /// How often retention looks: often enough for the shortest time that something is kept.
    pub(crate) fn prune_interval(&self) -> Duration {
        (self.retention.shortest_age() / 2).clamp(PRUNE_INTERVAL_MIN, PRUNE_INTERVAL_MAX)
    }
    pub(crate) fn beat_interval(&self) -> Duration {
        self.lease_ttl / 3
    }
}

impl Default for Config {
    fn default() -> Self {
        let host = host();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            node: format!("{host}/{}", std::process::id()),
            host,
            retention: Retention::default(),
            lease_ttl: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(10),
            blocking_threads: cores.max(4),
            care_interval: Duration::from_secs(5),
            abort_grace: Duration::from_secs(1),
            schema: None,
        }
    }
}

/// What the machine is called.
fn host() -> String {
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    host.map_or_else(|| "localhost".to_owned(), |host| host.trim().to_owned())
}
