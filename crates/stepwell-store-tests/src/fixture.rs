//! What a store must provide to be tested.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use stepwell_core::store::{Store, inbox::InboxEntry};

/// What a fixture answers with, in its own time.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One row of a view, by column.
pub type ViewRow = BTreeMap<String, serde_json::Value>;

/// A fresh store with a clock that is moved by hand, and what the suite needs beside the [`Store`] interface.
///
/// A new store joins by implementing this and by naming the function that opens it in [`suite!`](crate::suite).
pub trait Fixture {
    /// The store. Its clock is manual.
    fn store(&self) -> &dyn Store;
    /// How long a session lives without a beat.
    fn session_ttl(&self) -> Duration;
    /// Does what an application does: writes one row into `stepwell_inbox` and commits. Answers whether the table took
    /// it: a column that is missing may be refused at once.
    fn push_inbox(&self, entry: InboxEntry) -> Step<'_, bool>;
    /// Closes the store and opens it again, on a clock that shows the same time. Answers whether it can: a store in
    /// memory cannot.
    fn reopen(&mut self) -> Step<'_, bool>;
    /// The rows of a view such as `stepwell_jobs`, if the store has views.
    fn view<'a>(&'a self, name: &'a str) -> Step<'a, Option<Vec<ViewRow>>>;
}
