//! A database of a test's own.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    address::Address,
    error::Result,
    wire::{Client, Rows},
};

/// Where the tests find PostgreSQL. `cargo xtask test` sets it.
const SERVER: &str = "STEPWELL_TEST_POSTGRES";

/// Where they find PgBouncer before it.
const BOUNCER: &str = "STEPWELL_TEST_PGBOUNCER";

/// The database that is there on every server.
const MAINTENANCE: &str = "postgres";

/// An empty database that nobody else uses. It is dropped with whoever is still connected to it when this is dropped,
/// also in a test that fails.
#[derive(Debug)]
pub struct Database {
    server: Address,
    name: String,
}

impl Database {
    /// A new one on the server that the tests were given.
    ///
    /// # Errors
    /// If they were given none, or it refuses.
    pub fn create() -> Result<Self> {
        Self::create_on(&Address::from_env(SERVER)?)
    }

    /// A new one on this server.
    ///
    /// # Errors
    /// If it refuses.
    pub fn create_on(server: &Address) -> Result<Self> {
        let name = unique_name();
        // Nobody is ever connected to template0, so that two tests may copy it at once.
        Client::connect(server, MAINTENANCE)?.query(&format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(Self { server: server.clone(), name })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    #[must_use]
    pub fn server(&self) -> &Address {
        &self.server
    }

    /// The way to it.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The way to it that leads through the PgBouncer which the tests were given.
    ///
    /// # Errors
    /// If they were given none.
    pub fn bouncer_url(&self) -> Result<String> {
        Ok(Address::from_env(BOUNCER)?.url(&self.name))
    }

    /// Looks into it with a connection of its own: the rows of a query without parameters.
    ///
    /// # Errors
    /// If the server does not answer, or answers with an error.
    pub fn query(&self, sql: &str) -> Result<Rows> {
        Client::connect(&self.server, &self.name)?.query(sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let outcome = Client::connect(&self.server, MAINTENANCE).and_then(|mut client| client.query(&sql));
        if let Err(error) = outcome {
            // A test that has broken its server has nothing to drop; whoever reads why it failed may want to know.
            eprintln!("{error}");
        }
    }
}

/// A name that no other test has, in this run or in an earlier one that was killed.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
    format!("stepwell_test_{now}_{}_{count}", process::id())
}
