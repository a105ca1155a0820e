use stepwell_core::{OnConflict, machine::Once};

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

fn replacing(w: &mut World, payload: &str) -> NewJob {
    NewJob { payload: json(payload), on_conflict: OnConflict::Replace, ..w.unique_job("x") }
}
async fn payload(w: &World, id: JobId) -> String {
    w.store().payload(id).await.expect("readable").expect("there").as_str().to_owned()
}

pub async fn a_waiting_job_takes_on_what_replaces_it(w: &mut World) {
    let first = NewJob { tags: vec!["old".into()], ..w.unique_job("x") };
    let id = w.put(first).await;
    let second = NewJob {
        priority: 7,
        queue: Some("other".into()),
        when: When::After(seconds(30)),
        tags: vec!["b".into(), "a".into()],
        attributes: [("k".into(), "v".to_owned())].into(),
        ..replacing(w, "2")
    };
    same(w, second, id).await;
    let row = w.row(id).await;
    assert_eq!(payload(w, id).await, "2");
    assert_eq!((row.priority, &*row.queue, &*row.home_queue), (7, "other", "other"));
    assert_eq!(row.available_at, w.now() + seconds(30));
    assert_eq!(row.details.tags, ["a".into(), "b".into()]);
    assert_eq!(row.details.attributes.len(), 1);
    assert_eq!(w.types(id).await, ["job:enqueued", "job:edited"]);
    // What is not named is what a new job would have.
    let third = replacing(w, "3");
    same(w, third, id).await;
    let row = w.row(id).await;
    assert_eq!((row.priority, &*row.queue, row.details.tags.len()), (0, "default", 0));
    assert_eq!(row.available_at, w.now());
}

pub async fn what_replaces_finds_a_job_of_the_same_batch(w: &mut World) {
    let batch = vec![replacing(w, "1"), replacing(w, "2"), replacing(w, "3")];
    let id = batch[0].id;
    let answers = w.store().enqueue(batch).await.expect("answered");
    assert!(answers.into_iter().all(|answer| answer.expect("answered").id == id));
    assert_eq!(payload(w, id).await, "3");
    assert_eq!(w.types(id).await, ["job:enqueued", "job:edited", "job:edited"]);
}

pub async fn nothing_replaces_a_job_that_does_not_wait(w: &mut World) {
    let worker = w.worker().await;
    let new = w.unique_job("x");
    let id = w.put(new).await;
    let hold = w.claim_one(&worker).await;
    let second = replacing(w, "2");
    assert_eq!(w.try_put(second).await.expect_err("it runs").unique_holder(), Some(id));
    w.finish(&hold).await;
    // An ended one, within the window.
    let unique = Some(Unique::key("x").within(seconds(60)));
    let third = NewJob { unique, ..replacing(w, "3") };
    assert_eq!(w.try_put(third).await.expect_err("it has ended").unique_holder(), Some(id));
    let before = w.types(id).await;
    assert!(!before.contains(&"job:edited"));
    let fourth = replacing(w, "4");
    assert_ne!(w.put(fourth).await, id, "the key is free");
}

pub async fn a_job_in_another_queue_than_is_allowed_is_no_answer(w: &mut World) {
    let first = NewJob { queue: Some("theirs".into()), ..w.unique_job("x") };
    let id = w.put(first).await;
    let only = |queue: &str| Some([queue.into()].into());
    for on_conflict in [OnConflict::Replace, OnConflict::Return] {
        let second = NewJob { on_conflict, unique_in: only("ours"), ..replacing(w, "2") };
        assert_eq!(w.try_put(second).await.expect_err("not ours").unique_holder(), Some(id));
    }
    assert_eq!(&*w.row(id).await.queue, "theirs");
    let third = NewJob { queue: Some("theirs".into()), unique_in: only("theirs"), ..replacing(w, "3") };
    same(w, third, id).await;
    assert_eq!(payload(w, id).await, "3");
}

pub async fn a_second_job_with_the_key_is_refused_if_that_is_asked_for(w: &mut World) {
    let rejecting = |new: NewJob| NewJob { on_conflict: OnConflict::Reject, ..new };
    let first = rejecting(w.unique_job("x"));
    let id = w.put(first).await;
    let second = rejecting(w.unique_job("x"));
    let error = w.try_put(second).await.expect_err("the key is taken");
    assert_eq!(error.unique_holder(), Some(id));
    assert_eq!(w.types(id).await, ["job:enqueued"]);
}

pub async fn a_replacement_counts_once(w: &mut World) {
    let once = || Some(Once { key: "k".into(), fingerprint: "f".into() });
    let worker = w.worker().await;
    let new = w.unique_job("x");
    let id = w.put(new).await;
    let second = NewJob { once: once(), ..replacing(w, "2") };
    same(w, second, id).await;
    let edit = Edit { payload: Some(json("3")), ..Edit::default() };
    w.ask(id, Command::Edit(edit)).await.expect("edited");
    for state in [JobState::Pending, JobState::Completed] {
        if state == JobState::Completed {
            let hold = w.claim_one(&worker).await;
            w.finish(&hold).await;
        }
        let again = NewJob { once: once(), ..replacing(w, "2") };
        let answer = w.try_put(again).await.expect("answered as before");
        assert_eq!((answer.id, answer.duplicate, answer.replayed), (id, true, true));
        assert_eq!(w.row(id).await.state, state);
        assert_eq!(payload(w, id).await, "3", "what came in between stays");
    }
}

pub async fn what_happens_on_a_conflict_takes_a_key(w: &mut World) {
    let new = NewJob { on_conflict: OnConflict::Reject, ..w.new_job() };
    assert_eq!(w.try_put(new).await.expect_err("no key").field(), Some("on conflict"));
}
