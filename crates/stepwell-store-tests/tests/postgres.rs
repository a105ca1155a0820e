//! The suite on the store on PostgreSQL.

use stepwell_store_tests::{fixture::Fixture, postgres::OnPostgres};

async fn open() -> Box<dyn Fixture> {
    Box::new(OnPostgres::open())
}

stepwell_store_tests::suite!(crate::open);
