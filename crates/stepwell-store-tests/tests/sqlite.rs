//! The suite on the store on SQLite.

use stepwell_store_tests::{fixture::Fixture, sqlite::OnSqlite};

async fn open() -> Box<dyn Fixture> {
    Box::new(OnSqlite::open())
}

stepwell_store_tests::suite!(crate::open);
