//! What a server is told.

/// The settings of a server, as `postgres -c` takes them.
#[derive(Clone, Debug)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// For tests that are not about the disk: nothing is synced, so a commit costs what it costs in memory. The loss
    /// of power is then the loss of the cluster, which nobody minds.
    #[must_use]
    pub fn fast() -> Self {
        Self::new()
            .with("fsync", "off")
            .with("full_page_writes", "off")
            // Nothing is replicated, so a table that is new in its transaction need not be logged.
            .with("wal_level", "minimal")
            .with("max_wal_senders", "0")
    }

    /// For proofs: what is acknowledged is on the disk, and a standby can follow.
    #[must_use]
    pub fn durable() -> Self {
        Self::new()
            .with("fsync", "on")
            .with("wal_level", "replica")
            .with("hot_standby", "on")
            // A standby that has lost its server looks for it again at once.
            .with("wal_retrieve_retry_interval", "200ms")
    }

    fn new() -> Self {
        // Every test has its own pools, and a machine with many cores runs many tests.
        Self(Vec::new())
            .with("max_connections", "1000")
            .with("shared_buffers", "128MB")
            .with("max_wal_size", "1GB")
            .with("log_line_prefix", "%m [%p] %d ")
    }

    /// With this setting as well, instead of what was said of it before.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The arguments of `postgres`.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_holds() {
        let words: Vec<_> = Settings::fast().with("fsync", "on").arguments().collect();
        let all: Vec<_> = words.iter().filter(|word| word.starts_with("fsync=")).collect();
        assert_eq!(all, ["fsync=on"]);
    }
}
