//! The log, and those who do not come to the end of a write to it.

use std::time::Duration;

use stepwell_core::{event::EventFilter, retention::Retention, store::Store};
use stepwell_postgres::Postgres;

use crate::support::{AT_ONCE, Place, enqueue, maintain, new_job};

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

#[tokio::test]
async fn a_partition_that_is_there_is_not_waited_for() {
    let place = Place::new();
    enqueue(&place.open(), new_job()).await.unwrap();
    let foreign = place.foreign().await;
    let hold = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('stepwell.event', 0))";
    foreign.batch_execute(hold).await.unwrap();
    let store = place.open();
    tokio::time::timeout(AT_ONCE, enqueue(&store, new_job())).await.unwrap().unwrap();
}

#[tokio::test]
async fn partitions_come_a_day_before_and_go_when_they_are_empty() {
    const PARTS: &str = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'stepwell.event'::regclass";
    let place = Place::new();
    let store = place.open();
    enqueue(&store, new_job()).await.unwrap();
    assert_eq!(place.number(PARTS), 1);
    maintain(&store).await.unwrap();
    assert_eq!(place.number(PARTS), 2, "tomorrow's");
    let retention = || {
        let mut retention = Retention::default();
        retention.events.age_max = Duration::from_hours(24);
        retention
    };
    place.clock.advance(Duration::from_hours(10 * 24));
    enqueue(&store, new_job()).await.unwrap();
    assert_eq!(place.number(PARTS), 3);
    // The walk comes before what it has passed can go.
    for _ in 0..3 {
        store.prune(retention()).await.unwrap();
    }
    assert_eq!(place.number(PARTS), 1, "today's");
    enqueue(&store, new_job()).await.unwrap();
    assert_eq!(count_events(&store).await, 2);
}

#[tokio::test]
async fn two_nodes_may_open_a_day_at_once() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    // Both see that it is not there, and then one after the other would make it.
    let held = place.foreign().await;
    held.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('stepwell.event', 0))")
        .await
        .unwrap();
    let (first, second) = (one.enqueue(vec![new_job()]), other.enqueue(vec![new_job()]));
    place.until_waiting(2).await;
    held.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap().remove(0).unwrap();
    second.await.unwrap().remove(0).unwrap();
}
