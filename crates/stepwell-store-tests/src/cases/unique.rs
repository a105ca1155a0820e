use crate::prelude::*;

async fn same(w: &World, new: NewJob, as_what: JobId) {
    let asked = new.id;
    let enqueued = w.try_put(new).await.expect("answered");
    assert_eq!((enqueued.id, enqueued.duplicate), (as_what, true));
    assert!(asked == as_what || !w.exists(asked).await, "nothing else was stored");
}

pub async fn a_live_job_stands_for_its_key(w: &mut World) {
    let new = w.unique_job("x");
    let id = w.put(new).await;
    let other = w.unique_job("x");
    same(w, other, id).await;
    assert_eq!(w.types(id).await, ["job:enqueued"], "a duplicate says nothing");
}

pub async fn other_keys_are_other_jobs(w: &mut World) {
    for key in ["x", "X", "x ", ""] {
        let new = w.unique_job(key);
        w.put(new).await;
    }
    w.add().await;
    w.add().await;
}

pub async fn a_key_belongs_to_its_kind(w: &mut World) {
    let (one, other) = (w.unique_job("x"), NewJob { kind: "other".into(), ..w.unique_job("x") });
    w.put(one).await;
    w.put(other).await;
}

pub async fn a_running_job_holds_its_key(w: &mut World) {
    let worker = w.worker().await;
    let new = w.unique_job("x");
    let id = w.put(new).await;
    let hold = w.claim_one(&worker).await;
    let other = w.unique_job("x");
    same(w, other, id).await;
    w.ask(id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    let other = w.unique_job("x");
    same(w, other, id).await;
    w.own(&hold, Command::AcknowledgeCancel).await.expect("stopped");
    let other = w.unique_job("x");
    w.put(other).await;
}

pub async fn a_completed_job_frees_its_key(w: &mut World) {
    let worker = w.worker().await;
    let new = w.unique_job("x");
    w.put(new).await;
    let hold = w.claim_one(&worker).await;
    w.finish(&hold).await;
    let other = w.unique_job("x");
    w.put(other).await;
}

pub async fn a_failed_job_frees_its_key(w: &mut World) {
    let worker = w.worker().await;
    let new = w.unique_job("x");
    w.put(new).await;
    let hold = w.claim_one(&worker).await;
    w.own(&hold, super::failures::fail("a", Verdict::Permanent)).await.expect("failed");
    let other = w.unique_job("x");
    w.put(other).await;
}

pub async fn an_ended_job_stands_for_its_key_within_the_window(w: &mut World) {
    let within = |new: NewJob| NewJob { unique: Some(Unique::key("x").within(seconds(60))), ..new };
    let new = within(w.new_job());
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.advance(seconds(59));
    let other = within(w.new_job());
    same(w, other, id).await;
    w.advance(seconds(1));
    let other = within(w.new_job());
    w.put(other).await;
}

pub async fn the_window_counts_from_the_newest_holder(w: &mut World) {
    let within = |new: NewJob| NewJob { unique: Some(Unique::key("x").within(seconds(60))), ..new };
    let new = w.unique_job("x");
    let first = w.put(new).await;
    w.ask(first, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.advance(seconds(50));
    let new = w.unique_job("x");
    let second = w.put(new).await;
    w.ask(second, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.advance(seconds(50));
    let other = within(w.new_job());
    same(w, other, second).await;
}

pub async fn a_window_is_of_no_use_to_those_who_ask_without_it(w: &mut World) {
    let new = NewJob { unique: Some(Unique::key("x").within(seconds(60))), ..w.new_job() };
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let other = w.unique_job("x");
    w.put(other).await;
}

pub async fn duplicates_in_one_batch_find_each_other(w: &mut World) {
    let (one, other) = (w.unique_job("x"), w.unique_job("x"));
    let id = one.id;
    let answers = w.store().enqueue(vec![one, other]).await.expect("answered");
    let ids: Vec<_> = answers.into_iter().map(|answer| answer.expect("answered").id).collect();
    assert_eq!(ids, [id, id]);
    assert_eq!(w.all_events().await.len(), 1);
}

pub async fn a_retry_is_refused_while_another_holds_the_key(w: &mut World) {
    let new = w.unique_job("x");
    let first = w.put(new).await;
    w.ask(first, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let new = w.unique_job("x");
    let second = w.put(new).await;
    let before = w.row(first).await;
    let retry = || Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload: None };
    let error = w.ask(first, retry()).await.expect_err("the key is taken");
    assert!(error.is_unique_taken());
    assert_eq!(error.unique_holder(), Some(second));
    assert_eq!(w.row(first).await, before);
    w.ask(second, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(first, retry()).await.expect("the key is free again");
    let other = w.unique_job("x");
    same(w, other, first).await;
}

pub async fn a_deleted_job_stands_for_nothing(w: &mut World) {
    let within = |new: NewJob| NewJob { unique: Some(Unique::key("x").within(seconds(60))), ..new };
    let new = within(w.new_job());
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    let other = within(w.new_job());
    w.put(other).await;
}
