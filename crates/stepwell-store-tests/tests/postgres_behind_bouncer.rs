//! The suite on the store on PostgreSQL, behind a pooler that hands connections out for one transaction at a time.

use stepwell_store_tests::{fixture::Fixture, postgres::OnPostgres};

async fn open() -> Box<dyn Fixture> {
    Box::new(OnPostgres::open_behind_bouncer())
}

stepwell_store_tests::suite!(crate::open);
