//! The store on PostgreSQL, as a fixture.

use std::time::Duration;

use serde_json::json;
use stepwell_core::{
    Clock, Result,
    store::{Store, inbox::InboxEntry},
};
use stepwell_postgres::{Postgres, PostgresOptions};
use stepwell_postgres_rig::Database;

use crate::{
    fixture::{Fixture, Step, ViewRow},
    memory::start,
};

/// The store on PostgreSQL, in a database of its own.
pub struct OnPostgres {
    // Before the database, so that it is closed when that goes.
    store: Postgres,
    options: PostgresOptions,
    database: Database,
}

impl OnPostgres {
    /// An empty one.
    #[must_use]
    pub fn open() -> Self {
        let database = Database::create().expect("the server makes a database");
        let url = database.url();
        Self::open_at(database, url).expect("a new database opens")
    }
    /// An empty one that is reached through PgBouncer.
    #[must_use]
    pub fn open_behind_bouncer() -> Self {
        let database = Database::create().expect("the server makes a database");
        let url = database.bouncer_url().expect("there is a pooler");
        Self::open_at(database, url).expect("a new database opens")
    }
    fn open_at(database: Database, url: String) -> Result<Self> {
        let mut options = PostgresOptions::new(url, [7; 16]);
        options.clock = Some(Clock::manual(start()));
        // What a case does comes one after the other.
        (options.committers, options.readers) = (1, 1);
        Ok(Self { store: Postgres::open(&options)?, options, database })
    }
}

impl Fixture for OnPostgres {
    fn store(&self) -> &dyn Store {
        &self.store
    }
    fn session_ttl(&self) -> Duration {
        self.options.session_ttl
    }
    fn push_inbox(&self, row: InboxEntry) -> Step<'_, bool> {
        Box::pin(async move {
            let entry = json!({
                "id": row.id,
                "v": row.v,
                "kind": row.kind,
                "payload": row.payload,
                "queue": row.queue,
                "priority": row.priority,
                "delay_ms": row.delay_ms,
                "run_at": row.run_at,
                "unique_key": row.unique_key,
                "unique_within_ms": row.unique_within_ms,
                "idempotency_key": row.idempotency_key,
                "tags": row.tags,
                "attributes": row.attributes,
            });
            let literal = format!("'{}'", entry.to_string().replace('\'', "''"));
            let insert = include_str!("../sql/postgres/inbox.sql").replace(":entry", &literal);
            self.database.query(&insert).is_ok()
        })
    }
    fn reopen(&mut self) -> Step<'_, bool> {
        Box::pin(async {
            self.store.close().await.expect("the store closes");
            self.store = Postgres::open(&self.options).expect("the database opens again");
            true
        })
    }
    fn view<'a>(&'a self, name: &'a str) -> Step<'a, Option<Vec<ViewRow>>> {
        Box::pin(async move {
            let query = match name {
                "stepwell_jobs" => include_str!("../sql/postgres/stepwell_jobs.sql"),
                "stepwell_phases" => include_str!("../sql/postgres/stepwell_phases.sql"),
                _ => include_str!("../sql/postgres/stepwell_events.sql"),
            };
            let rows = self.database.query(query).expect("the view can be read");
            let row = |cells: Vec<Option<String>>| {
                let text = cells.into_iter().flatten().next().expect("a row is an object");
                serde_json::from_str(&text).expect("a row is an object")
            };
            Some(rows.into_iter().map(row).collect())
        })
    }
}
