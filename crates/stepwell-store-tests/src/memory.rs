//! The store in memory, as a fixture.

use std::time::{Duration, SystemTime};

use stepwell_core::{
    Clock,
    store::{Store, inbox::InboxEntry},
};
use stepwell_memory::Memory;

use crate::fixture::{Fixture, Step, ViewRow};

const SESSION_TTL: Duration = Duration::from_secs(30);

/// Where every manual clock of the suite begins: some time in 2026.
#[must_use]
pub fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

/// The store in memory.
pub struct InMemory(Memory);

impl InMemory {
    /// An empty one.
    #[must_use]
    pub fn open() -> Self {
        Self(Memory::new(Clock::manual(start()), [7; 16]).with_session_ttl(SESSION_TTL))
    }
}

impl Fixture for InMemory {
    fn store(&self) -> &dyn Store {
        &self.0
    }
    fn session_ttl(&self) -> Duration {
        SESSION_TTL
    }
    fn push_inbox(&self, entry: InboxEntry) -> Step<'_, bool> {
        self.0.push_inbox(entry);
        Box::pin(async { true })
    }
    fn reopen(&mut self) -> Step<'_, bool> {
        Box::pin(async { false })
    }
    fn view<'a>(&'a self, _name: &'a str) -> Step<'a, Option<Vec<ViewRow>>> {
        Box::pin(async { None })
    }
}
