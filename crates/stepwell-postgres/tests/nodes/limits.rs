//! Limits that hold for all nodes together.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use stepwell_core::{
    machine::NewJob,
    queue::QueueChange,
    store::{ClaimedBatch, Store},
    time::Stopwatch,
};
use stepwell_postgres::Postgres;

use crate::support::{AT_ONCE, Place, Worker, enqueue, new_job};

async fn limit(store: &Postgres, limit: u32) {
    let change = QueueChange::Limit(Some(limit));
    store.change_queue(NewJob::DEFAULT_QUEUE.into(), change).await.unwrap();
}

async fn running(store: &Postgres) -> u64 {
    let counts = store.counts().await.unwrap();
    counts.iter().filter(|count| count.state.is_owned()).map(|count| count.n).sum()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, what).await.unwrap()
}

fn is_to_be_asked_again(batch: &ClaimedBatch, store: &Postgres) -> bool {
    batch.jobs.is_empty() && batch.next_due.is_some_and(|at| at > store.clock().now())
}

#[tokio::test]
async fn two_nodes_do_not_both_take_the_last_place() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    limit(&one, 1).await;
    for _ in 0..2 {
        enqueue(&one, new_job()).await.unwrap();
    }
    let (first, second) = (Worker::start(&one).await, Worker::start(&other).await);
    let held = place.hold_commits().await;
    let claiming = one.claim(first.request(1));
    place.until_waiting(1).await;
    let nothing = soon(other.claim(second.request(1))).await.unwrap();
    assert!(is_to_be_asked_again(&nothing, &other), "it cannot know yet: {nothing:?}");
    held.batch_execute("COMMIT").await.unwrap();
    assert_eq!(claiming.await.unwrap().jobs.len(), 1);
    let nothing = other.claim(second.request(1)).await.unwrap();
    assert!(nothing.jobs.is_empty() && nothing.next_due.is_none(), "now it knows: {nothing:?}");
    assert_eq!(running(&one).await, 1);
}

#[tokio::test]
async fn a_claim_from_a_queue_without_a_limit_waits_for_nobody() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    limit(&one, 1).await;
    one.change_queue(NewJob::DEFAULT_QUEUE.into(), QueueChange::Limit(None)).await.unwrap();
    for _ in 0..2 {
        enqueue(&one, new_job()).await.unwrap();
    }
    let (first, second) = (Worker::start(&one).await, Worker::start(&other).await);
    let held = place.hold_commits().await;
    let claiming = one.claim(first.request(1));
    place.until_waiting(1).await;
    // It has its job, and waits for no more than the commit that the test holds up.
    let also_claiming = other.claim(second.request(1));
    place.until_waiting(2).await;
    held.batch_execute("COMMIT").await.unwrap();
    let (claimed, also_claimed) = (claiming.await.unwrap(), also_claiming.await.unwrap());
    assert_eq!((claimed.jobs.len(), also_claimed.jobs.len()), (1, 1));
}

#[tokio::test]
async fn a_limit_counts_whatever_was_being_claimed_when_it_was_set() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    for _ in 0..3 {
        enqueue(&one, new_job()).await.unwrap();
    }
    let (first, second) = (Worker::start(&one).await, Worker::start(&other).await);
    let held = place.hold_commits().await;
    let claiming = one.claim(first.request(2));
    place.until_waiting(1).await;
    let setting = limit(&other, 2);
    let mut setting = std::pin::pin!(setting);
    assert!(futures_util::poll!(&mut setting).is_pending());
    place.until_waiting(2).await;
    held.batch_execute("COMMIT").await.unwrap();
    assert_eq!(claiming.await.unwrap().jobs.len(), 2);
    soon(setting).await;
    assert!(other.claim(second.request(1)).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn two_changes_at_once_are_both_made() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    let queue = NewJob::DEFAULT_QUEUE;
    for store in [&one, &other] {
        enqueue(store, new_job()).await.unwrap();
    }
    // Neither finds a record that it could lock.
    let held = place.foreign().await;
    held.batch_execute("BEGIN; LOCK TABLE stepwell.queue IN ROW EXCLUSIVE MODE").await.unwrap();
    let limiting = one.change_queue(queue.into(), QueueChange::Limit(Some(1)));
    let pausing = other.change_queue(queue.into(), QueueChange::Pause { reason: None });
    place.until_waiting(2).await;
    held.batch_execute("COMMIT").await.unwrap();
    soon(async { (limiting.await.unwrap(), pausing.await.unwrap()) }).await;
    let set = one.queues().await.unwrap().remove(0);
    assert!(set.limit == Some(1) && set.paused_at.is_some(), "{set:?}");
}

#[tokio::test]
async fn a_free_place_is_told_to_the_other_nodes() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    limit(&one, 1).await;
    enqueue(&one, new_job()).await.unwrap();
    let worker = Worker::start(&one).await;
    let claimed = one.claim(worker.request(1)).await.unwrap().jobs.remove(0).job;
    let told = Arc::new(AtomicBool::new(false));
    let ear = told.clone();
    other.listen(Box::new(move |change| {
        // What is found by looking at the log may be anything; this is what was said.
        ear.fetch_or(change.ready && !change.cancelling, Ordering::SeqCst);
    }));
    one.apply(stepwell_core::store::Request {
        job: claimed.id,
        fence: claimed.owner_fence().unwrap(),
        commands: vec![stepwell_core::machine::Command::CompletePhase {
            phase: "a".into(),
            result: stepwell_core::Json::null(),
        }],
    })
    .await
    .unwrap();
    let since = Stopwatch::start();
    while !told.load(Ordering::SeqCst) {
        assert!(since.elapsed() < AT_ONCE, "nobody said so");
        tokio::task::yield_now().await;
    }
}
