//! The log, and those who do not come to the end of a write to it.

use stepwell_core::{event::EventFilter, store::Store};
use stepwell_postgres::Postgres;

use crate::support::{Place, enqueue, maintain, new_job};

/// Takes the positions back that the last commit gave, as if its node had been killed between the two.
fn take_positions(place: &Place) {
    place.sql(
        "WITH taken AS (UPDATE stepwell.event_batch SET last_pos = NULL RETURNING n)
         UPDATE stepwell.log_head SET next_pos = next_pos - (SELECT sum(n) FROM taken)",
    );
}

async fn count_events(store: &Postgres) -> usize {
    store.events(0, 100, EventFilter { internal: true, ..EventFilter::default() }).await.unwrap().events.len()
}

#[tokio::test]
async fn a_pass_of_maintenance_numbers_what_a_killed_node_committed() {
    let place = Place::new();
    let store = place.open();
    enqueue(&store, new_job()).await.unwrap();
    let n = count_events(&store).await;
    assert!(n > 0);
    take_positions(&place);
    assert_eq!(count_events(&store).await, 0);
    maintain(&store).await.unwrap();
    assert_eq!(count_events(&store).await, n);
}

#[tokio::test]
async fn a_store_that_opens_numbers_what_a_killed_node_committed() {
    let place = Place::new();
    let store = place.open();
    enqueue(&store, new_job()).await.unwrap();
    let n = count_events(&store).await;
    store.close().await.unwrap();
    take_positions(&place);
    let store = place.open();
    assert_eq!((count_events(&store).await, store.head()), (n, u64::try_from(n).unwrap()));
}
