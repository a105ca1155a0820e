//! Commits whose answers are lost: they are found out about, and never done twice.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use stepwell_core::{
    JobState,
    lease::Fence,
    machine::Command,
    store::{Request, Store},
};
use stepwell_postgres_rig::{Database, Loss, Proxy};
use support::{new_job, node, sound_log};

async fn lost_in_between(loss: Loss) {
    let database = Database::create().unwrap();
    let proxy = Proxy::start(database.server(), 1).unwrap();
    let store = node(proxy.address().url(database.name()), 1);
    let first = new_job("k");
    let id = first.id;
    store.enqueue(vec![first]).await.unwrap().pop().unwrap().unwrap();

    proxy.lose_next_commit(loss);
    let second = new_job("k");
    let enqueued = store.enqueue(vec![second.clone()]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!((enqueued.id, enqueued.duplicate), (second.id, false));

    proxy.lose_next_commit(loss);
    let cancel = Command::Cancel { grace: std::time::Duration::ZERO };
    let request = Request { job: id, fence: Fence::None, commands: vec![cancel] };
    let applied = store.apply(request).await.unwrap();
    assert!(applied.changed && applied.job.state == JobState::Cancelled, "once, and by this request");

    assert_eq!(sound_log(&store).await.len(), 3);
    assert_eq!(store.head(), 3);
    let rows = database.query("SELECT key FROM stepwell.job").unwrap();
    assert_eq!(rows.len(), 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_server_never_heard_of_is_made_again() {
    lost_in_between(Loss::Request).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_not_made_again() {
    lost_in_between(Loss::Answer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_still_on_its_way_is_waited_for() {
    lost_in_between(Loss::Late).await;
}
