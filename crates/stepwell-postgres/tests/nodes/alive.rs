//! Who is alive, and what becomes of the jobs of those who are not.

use stepwell_core::store::Store;

use crate::support::{Place, Worker, enqueue, is_pending, maintain, new_job};

#[tokio::test]
async fn a_beat_that_fails_costs_no_other_beat() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store).await;
    assert!(store.beat(worker.session).unwrap().alive);
    place.sql("ALTER TABLE stepwell.session RENAME TO away");
    store.beat(worker.session).unwrap_err();
    place.sql("ALTER TABLE stepwell.away RENAME TO session");
    assert!(store.beat(worker.session).unwrap().alive);
}

#[tokio::test]
async fn a_session_that_closes_while_it_claims_strands_no_job() {
    let place = Place::new();
    let (store, other) = (place.open(), place.open());
    let worker = Worker::start(&store).await;
    let id = enqueue(&store, new_job()).await.unwrap();
    let held = place.hold_commits().await;
    let claiming = other.claim(worker.request(1));
    place.until_waiting(1).await;
    let closing = store.close_session(worker.session);
    place.until_waiting(2).await;
    held.batch_execute("COMMIT").await.unwrap();
    assert_eq!(claiming.await.unwrap().jobs.len(), 1);
    closing.await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM stepwell.session"), 1, "it still owns something");
    assert_eq!(maintain(&store).await.unwrap().reaped, 1);
    assert!(is_pending(&store, id).await);
    assert_eq!(place.number("SELECT count(*) FROM stepwell.session"), 0);
}

#[tokio::test]
async fn a_job_whose_session_is_not_there_is_reaped() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store).await;
    let mine = Worker::start(&store).await;
    let (lost, kept) = (enqueue(&store, new_job()).await.unwrap(), enqueue(&store, new_job()).await.unwrap());
    assert_eq!(store.claim(worker.request(1)).await.unwrap().jobs[0].job.id, lost);
    assert_eq!(store.claim(mine.request(1)).await.unwrap().jobs[0].job.id, kept);
    place.sql(&format!("DELETE FROM stepwell.session WHERE id = '{}'", worker.session));
    assert_eq!(maintain(&store).await.unwrap().reaped, 1);
    assert!(is_pending(&store, lost).await);
    assert!(!is_pending(&store, kept).await);
}
