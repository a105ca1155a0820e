//! What applications insert by themselves.

use stepwell_core::store::Store;

use crate::support::{KIND, Place, Worker, enqueue, is_pending, maintain, new_job};

fn insert(payload: &str, idempotency_key: &str) -> String {
    format!(
        "INSERT INTO stepwell.stepwell_inbox (id, v, kind, payload, idempotency_key)
         VALUES (gen_random_uuid(), 1, '{KIND}', {payload}, {idempotency_key})"
    )
}

#[tokio::test]
async fn two_nodes_make_one_job_of_rows_with_one_idempotency_key() {
    let place = Place::new();
    let (store, other) = (place.open(), place.open());
    let held = place.hold_commits().await;
    place.sql(&insert("'1'", "'same'"));
    let mut taking = Box::pin(maintain(&store));
    // The pass has steps, and somebody must take them.
    drop(futures_util::future::select(&mut taking, Box::pin(place.until_waiting(1))).await);
    place.sql(&insert("'2'", "'same'"));
    let also_taking = tokio::time::timeout(crate::support::AT_ONCE, maintain(&other));
    let (taken, also_taken) = tokio::join!(taking, async {
        let also_taken =
            futures_util::future::select(Box::pin(also_taking), Box::pin(place.until_waiting(2))).await;
        held.batch_execute("COMMIT").await.unwrap();
        match also_taken {
            futures_util::future::Either::Left((taken, _)) => taken,
            futures_util::future::Either::Right(((), taking)) => taking.await,
        }
    });
    assert_eq!((taken.unwrap().taken_in, also_taken.unwrap().unwrap().taken_in), (1, 0));
    assert_eq!(maintain(&other).await.unwrap().taken_in, 1);
    assert_eq!(place.number("SELECT count(*) FROM stepwell.job"), 1);
}

#[tokio::test]
async fn a_row_that_is_far_too_long_is_refused_unread() {
    let place = Place::new();
    let store = place.open();
    place.sql(&insert("repeat('1', 30000000)", "NULL"));
    place.sql(&insert("'1'", "NULL"));
    assert_eq!(maintain(&store).await.unwrap().taken_in, 2);
    let refused = place.sql("SELECT error FROM stepwell.inbox_done WHERE job_id IS NULL");
    assert!(refused[0][0].as_ref().unwrap().contains("`payload` is 30000000 bytes long"), "{refused:?}");
    assert_eq!(place.number("SELECT count(*) FROM stepwell.job"), 1);
}

#[tokio::test]
async fn an_inbox_that_cannot_be_read_keeps_nobody_from_being_reaped() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store).await;
    let id = enqueue(&store, new_job()).await.unwrap();
    store.claim(worker.request(1)).await.unwrap();
    store.close_session(worker.session).await.unwrap();
    place.sql("ALTER TABLE stepwell.stepwell_inbox RENAME TO away");
    maintain(&store).await.unwrap_err();
    assert!(is_pending(&store, id).await);
}
