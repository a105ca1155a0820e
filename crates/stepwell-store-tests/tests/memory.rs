//! The suite on the store in memory.

use stepwell_store_tests::{fixture::Fixture, memory::InMemory};

async fn open() -> Box<dyn Fixture> {
    Box::new(InMemory::open())
}

stepwell_store_tests::suite!(crate::open);
