//! The store on SQLite, as a fixture.

use std::time::Duration;

use rusqlite::{Connection, params, types::ValueRef};
use stepwell_core::{
    Clock, Result,
    store::{Store, inbox::InboxEntry},
};
use stepwell_sqlite::{Durability, Sqlite, SqliteOptions};
use tempfile::TempDir;

use crate::{
    fixture::{Fixture, Step, ViewRow},
    memory::start,
};

/// The store on SQLite, in a directory of its own.
pub struct OnSqlite {
    // Before the directory, so that it is closed when that goes.
    store: Sqlite,
    options: SqliteOptions,
    // What another program sees of the file.
    foreign: Connection,
    _place: TempDir,
}

impl OnSqlite {
    /// An empty one.
    #[must_use]
    pub fn open() -> Self {
        Self::open_in(tempfile::tempdir().expect("a directory for the file"), Durability::Full)
            .expect("a new file opens")
    }
    /// The one in a directory, which is new if there is none.
    ///
    /// # Errors
    /// As the store answers.
    pub fn open_in(place: TempDir, durability: Durability) -> Result<Self> {
        let mut options = SqliteOptions::new(place.path().join("test.db"), [7; 16]);
        options.clock = Some(Clock::manual(start()));
        options.durability = durability;
        options.inline = true;
        let store = Sqlite::open(options.clone())?;
        let foreign = Connection::open(&options.path).expect("anybody may open the file");
        // What the application commits there may wait as long as it does for the store.
        foreign.busy_timeout(options.busy_deadline).expect("any time is allowed");
        Ok(Self { store, options, foreign, _place: place })
    }
    fn read_view(&self, name: &str) -> rusqlite::Result<Vec<ViewRow>> {
        let statement = match name {
            "stepwell_jobs" => include_str!("../sql/stepwell_jobs.sql"),
            "stepwell_phases" => include_str!("../sql/stepwell_phases.sql"),
            _ => include_str!("../sql/stepwell_events.sql"),
        };
        let mut statement = self.foreign.prepare_cached(statement)?;
        #[allow(clippy::useless_conversion, reason = "an older rusqlite of the range answers with a list")]
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let rows = statement.query_map([], |row| {
            let cells = columns.iter().enumerate().map(|(nth, column)| {
                let value = match row.get_ref(nth)? {
                    ValueRef::Integer(value) => value.into(),
                    ValueRef::Real(value) => value.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                    ValueRef::Null | ValueRef::Blob(_) => serde_json::Value::Null,
                };
                Ok((column.clone(), value))
            });
            cells.collect()
        })?;
        rows.collect()
    }
}

impl Fixture for OnSqlite {
    fn store(&self) -> &dyn Store {
        &self.store
    }
    fn session_ttl(&self) -> Duration {
        self.options.session_ttl
    }
    fn push_inbox(&self, row: InboxEntry) -> Step<'_, bool> {
        Box::pin(async move {
            let mut insert = self.foreign.prepare_cached(include_str!("../sql/inbox.sql"));
            let insert = insert.as_mut().expect("the inbox has the columns of its contract");
            let inserted = insert.execute(params![
                row.id,
                row.v,
                row.kind,
                row.payload,
                row.queue,
                row.priority,
                row.delay_ms,
                row.run_at,
                row.unique_key,
                row.unique_within_ms,
                row.idempotency_key,
                row.tags,
                row.attributes
            ]);
            inserted.is_ok()
        })
    }
    fn reopen(&mut self) -> Step<'_, bool> {
        Box::pin(async {
            self.store.close().await.expect("the store closes");
            self.store = Sqlite::open(self.options.clone()).expect("the file opens again");
            true
        })
    }
    fn view<'a>(&'a self, name: &'a str) -> Step<'a, Option<Vec<ViewRow>>> {
        Box::pin(async move { Some(self.read_view(name).expect("the view can be read")) })
    }
}
