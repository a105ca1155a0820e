//! What stands in one batch with something else.

use stepwell_core::{Json, Unique, machine::NewJob, setting::PutSetting, store::Store};

use crate::support::{Place, enqueue, new_job};

#[tokio::test]
async fn a_key_that_no_database_takes_fails_alone() {
    let place = Place::new();
    let store = place.open();
    let held = place.hold_commits().await;
    let first = enqueue(&store, new_job());
    let mut first = Box::pin(first);
    assert!(futures_util::poll!(&mut first).is_pending());
    place.until_waiting(1).await;
    // These wait for the first one, and go together.
    let unique = |key: &str| NewJob { unique: Some(Unique::key(key)), ..new_job() };
    let bad = store.enqueue(vec![unique("a\0b")]);
    let bad_kind = store.enqueue(vec![NewJob { kind: "a\0b".into(), ..new_job() }]);
    let good = store.enqueue(vec![unique("good")]);
    held.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap();
    assert!(bad.await.unwrap().remove(0).unwrap_err().is_invalid());
    assert!(bad_kind.await.unwrap().remove(0).unwrap_err().is_invalid());
    good.await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn a_damaged_record_fails_whoever_reads_it() {
    let place = Place::new();
    let store = place.open();
    let once = |key: &str| {
        let once = stepwell_core::machine::Once { key: key.into(), fingerprint: "f".into() };
        NewJob { once: Some(once), ..new_job() }
    };
    enqueue(&store, once("damaged")).await.unwrap();
    place.sql("UPDATE stepwell.setting SET value = '{'");
    let held = place.hold_commits().await;
    let mut first = Box::pin(enqueue(&store, new_job()));
    assert!(futures_util::poll!(&mut first).is_pending());
    place.until_waiting(1).await;
    let bad = store.enqueue(vec![once("damaged")]);
    let good = store.enqueue(vec![once("good")]);
    held.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap();
    bad.await.unwrap().remove(0).unwrap_err();
    good.await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn a_record_that_was_not_seen_is_not_removed() {
    let place = Place::new();
    let store = place.open();
    let put = |value: Option<Json>| PutSetting {
        scope: "s".into(),
        key: "k".into(),
        value,
        expected: stepwell_core::setting::Expected::default(),
    };
    store.put_settings(vec![put(Some(Json::of(&1).unwrap()))]).await.unwrap();
    let seen = store.setting("s".into(), "k".into()).await.unwrap().unwrap().version;
    let foreign = place.foreign().await;
    foreign.batch_execute("BEGIN; UPDATE stepwell.scope SET revision = revision + 1").await.unwrap();
    let expected = stepwell_core::setting::Expected::Version(seen);
    let removing = store.put_settings(vec![PutSetting { expected, ..put(None) }]);
    place.until_waiting(1).await;
    foreign
        .batch_execute("UPDATE stepwell.setting SET version = version + 1, value = '2'; COMMIT")
        .await
        .unwrap();
    assert!(removing.await.unwrap_err().is_version_mismatch());
    assert_eq!(store.setting("s".into(), "k".into()).await.unwrap().unwrap().value.as_str(), "2");
}

#[tokio::test]
async fn a_listener_that_panics_is_nobodys_trouble() {
    let place = Place::new();
    let store = place.open();
    store.listen(Box::new(|_| panic!("as a test wants it")));
    let calls = async {
        enqueue(&store, new_job()).await.unwrap();
        enqueue(&store, new_job()).await.unwrap();
    };
    tokio::time::timeout(crate::support::AT_ONCE, calls).await.unwrap();
}

#[tokio::test]
async fn jobs_with_idempotency_keys_do_not_wait_for_each_other() {
    let place = Place::new();
    let store = place.open();
    let foreign = place.foreign().await;
    foreign.batch_execute("BEGIN; INSERT INTO stepwell.scope VALUES ('stepwell.once', 1)").await.unwrap();
    let once = stepwell_core::machine::Once { key: "key".into(), fingerprint: "f".into() };
    let job = NewJob { once: Some(once), ..new_job() };
    let enqueueing = enqueue(&store, job.clone());
    let id = tokio::time::timeout(crate::support::AT_ONCE, enqueueing).await.unwrap().unwrap();
    assert_eq!(enqueue(&store, NewJob { id: new_job().id, ..job }).await.unwrap(), id);
}

#[tokio::test]
async fn whoever_closes_a_store_goes_on_meanwhile() {
    let place = Place::new();
    let store = place.open();
    let held = place.hold_commits().await;
    let mut waiting = Box::pin(enqueue(&store, new_job()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    place.until_waiting(1).await;
    let mut closing = store.close();
    assert!(futures_util::poll!(&mut closing).is_pending());
    held.batch_execute("COMMIT").await.unwrap();
    closing.await.unwrap();
    // Whether it was still written depends on how soon.
    drop(waiting.await);
}
