use crate::prelude::*;

fn entry(id: JobId) -> InboxEntry {
    InboxEntry {
        id: Some(id.to_string()),
        v: Some(1),
        kind: Some(KIND.into()),
        payload: Some(r#"{"n":1}"#.into()),
        ..InboxEntry::default()
    }
}

async fn outcome(w: &World, id: JobId) -> Option<InboxOutcome> {
    w.store().inbox_outcome(id).await.expect("readable")
}

async fn take_in(w: &World, entries: Vec<InboxEntry>) -> usize {
    for entry in entries {
        assert!(w.push_inbox(entry).await, "the table takes the row");
    }
    w.maintain().await.taken_in
}

pub async fn a_row_becomes_a_job(w: &mut World) {
    let id = w.id();
    assert!(w.push_inbox(entry(id)).await);
    assert_eq!(outcome(w, id).await, None, "it is still in the inbox");
    assert!(!w.exists(id).await);
    assert_eq!(w.maintain().await.taken_in, 1);
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
    let row = w.row(id).await;
    assert_eq!((&*row.kind, &*row.queue, row.state), (KIND, QUEUE, JobState::Pending));
    assert_eq!(w.types(id).await, ["job:enqueued"]);
    assert_eq!(w.maintain().await.taken_in, 0, "once");
}

pub async fn every_column_is_understood(w: &mut World) {
    let id = w.id();
    let full = InboxEntry {
        payload: Some("{ \"n\" : 1.0 }".into()),
        queue: Some("slow".into()),
        priority: Some(-3),
        delay_ms: Some(1_500),
        unique_key: Some("x".into()),
        unique_within_ms: Some(60_000),
        tags: Some(r#"["b","a"]"#.into()),
        attributes: Some(r#"{"customer":"42"}"#.into()),
        ..entry(id)
    };
    w.push_inbox(full).await;
    w.advance(seconds(5));
    w.maintain().await;
    let row = w.row(id).await;
    assert_eq!((&*row.queue, row.priority, row.unique_key.as_deref()), ("slow", -3, Some("x")));
    let at = w.now() + Duration::from_millis(1_500);
    assert_eq!(row.available_at, at, "the delay counts from when the row is taken in");
    assert_eq!(row.details.tags, ["a".into(), "b".into()]);
    assert_eq!(row.details.attributes.get("customer").map(String::as_str), Some("42"));
    let payload = w.store().payload(id).await.expect("readable").expect("there");
    assert_eq!(payload.as_str(), "{ \"n\" : 1.0 }", "as it was written");
}

pub async fn a_row_may_name_a_time(w: &mut World) {
    let id = w.id();
    let at = w.now() + seconds(77);
    take_in(w, vec![InboxEntry { run_at: Some(at.as_micros()), ..entry(id) }]).await;
    assert_eq!(w.row(id).await.available_at, at);
}

pub async fn rows_are_taken_in_in_their_order(w: &mut World) {
    let ids: Vec<JobId> = (0..20).map(|_| w.id()).collect();
    let entries = ids.iter().rev().map(|id| entry(*id)).collect();
    assert_eq!(take_in(w, entries).await, 20);
    let page = PageRequest { order: Order::OldestFirst, ..PageRequest::default() };
    let listed = w.store().list(JobFilter::default(), page).await.expect("readable");
    let listed: Vec<JobId> = listed.items.iter().map(|job| job.id).collect();
    assert_eq!(listed, ids.into_iter().rev().collect::<Vec<_>>());
}

pub async fn a_second_row_with_the_same_id_is_the_same_job(w: &mut World) {
    let id = w.id();
    let again = InboxEntry { kind: Some("other".into()), ..entry(id) };
    assert_eq!(take_in(w, vec![entry(id), again]).await, 2);
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
    assert_eq!(&*w.row(id).await.kind, KIND);
    assert_eq!(w.types(id).await, ["job:enqueued"]);
    take_in(w, vec![entry(id)]).await;
    assert_eq!(w.types(id).await, ["job:enqueued"], "later as well");
}

pub async fn a_row_that_comes_again_does_not_bring_a_deleted_job_back(w: &mut World) {
    let id = w.id();
    take_in(w, vec![entry(id)]).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    assert_eq!(take_in(w, vec![entry(id)]).await, 1);
    assert!(!w.exists(id).await);
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
}

pub async fn a_wrong_row_with_a_known_id_does_not_hide_the_job(w: &mut World) {
    let id = w.id();
    take_in(w, vec![entry(id), InboxEntry { payload: Some("{".into()), ..entry(id) }]).await;
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
}

pub async fn a_right_row_after_a_wrong_one_with_its_id_counts(w: &mut World) {
    let id = w.id();
    take_in(w, vec![InboxEntry { payload: Some("{".into()), ..entry(id) }, entry(id)]).await;
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
    assert!(w.exists(id).await);
}

pub async fn a_row_with_the_id_of_an_enqueued_job_is_that_job(w: &mut World) {
    let id = w.add().await;
    take_in(w, vec![entry(id)]).await;
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
    assert_eq!(w.types(id).await, ["job:enqueued"]);
}

pub async fn an_idempotency_key_makes_an_alias(w: &mut World) {
    let (first, second, third) = (w.id(), w.id(), w.id());
    let keyed = |id, key: &str| InboxEntry { idempotency_key: Some(key.into()), ..entry(id) };
    take_in(w, vec![keyed(first, "a"), keyed(second, "a"), keyed(third, "b")]).await;
    assert_eq!(outcome(w, second).await, Some(InboxOutcome::Job(first)));
    assert_eq!(outcome(w, third).await, Some(InboxOutcome::Job(third)));
    assert!(!w.exists(second).await);
    let fourth = w.id();
    take_in(w, vec![keyed(fourth, "a")]).await;
    assert_eq!(outcome(w, fourth).await, Some(InboxOutcome::Job(first)), "in a later pass too");
}

pub async fn a_refused_row_does_not_use_up_its_idempotency_key(w: &mut World) {
    let (first, second) = (w.id(), w.id());
    let keyed = |id| InboxEntry { idempotency_key: Some("a".into()), ..entry(id) };
    let wrong = InboxEntry { kind: Some(String::new()), ..keyed(first) };
    take_in(w, vec![wrong, keyed(second)]).await;
    assert!(matches!(outcome(w, first).await, Some(InboxOutcome::Refused(_))));
    assert_eq!(outcome(w, second).await, Some(InboxOutcome::Job(second)));
}

pub async fn a_row_that_comes_again_is_the_first_one_whatever_key_it_has(w: &mut World) {
    let (first, second) = (w.id(), w.id());
    let keyed = |id| InboxEntry { idempotency_key: Some("a".into()), ..entry(id) };
    take_in(w, vec![entry(first), keyed(first), keyed(second)]).await;
    assert_eq!(outcome(w, first).await, Some(InboxOutcome::Job(first)));
    assert_eq!(outcome(w, second).await, Some(InboxOutcome::Job(second)));
}

pub async fn a_unique_key_makes_an_alias(w: &mut World) {
    let new = w.unique_job("x");
    let holder = w.put(new).await;
    let id = w.id();
    take_in(w, vec![InboxEntry { unique_key: Some("x".into()), ..entry(id) }]).await;
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(holder)));
    assert!(!w.exists(id).await);
}

async fn refused(w: &mut World, column: &str, spoil: impl FnOnce(&mut InboxEntry)) {
    let (wrong, right) = (w.id(), w.id());
    let mut row = entry(wrong);
    spoil(&mut row);
    if !w.push_inbox(row).await {
        return;
    }
    assert_eq!(take_in(w, vec![entry(right)]).await, 2);
    let Some(InboxOutcome::Refused(reason)) = outcome(w, wrong).await else {
        panic!("the row is refused where it can be seen");
    };
    assert!(reason.contains(column), "{reason}");
    assert!(!w.exists(wrong).await && w.exists(right).await, "and does not stand in the way");
    assert_eq!(w.maintain().await.taken_in, 0);
}

pub async fn a_row_of_another_version_is_refused(w: &mut World) {
    refused(w, "version 1", |row| row.v = Some(2)).await;
}
pub async fn a_row_without_a_version_is_refused(w: &mut World) {
    refused(w, "`v`", |row| row.v = None).await;
}
pub async fn a_row_without_a_kind_is_refused(w: &mut World) {
    refused(w, "`kind`", |row| row.kind = None).await;
}
pub async fn a_row_with_an_empty_kind_is_refused(w: &mut World) {
    refused(w, "`kind`", |row| row.kind = Some(String::new())).await;
}
pub async fn a_row_without_a_payload_is_refused(w: &mut World) {
    refused(w, "`payload`", |row| row.payload = None).await;
}
pub async fn a_row_whose_payload_is_not_json_is_refused(w: &mut World) {
    refused(w, "`payload`", |row| row.payload = Some("{'a':1}".into())).await;
}
pub async fn a_row_whose_payload_is_too_long_is_refused(w: &mut World) {
    let long = json_of_bytes(limits::PAYLOAD_BYTES_MAX + 1);
    refused(w, "the limit is", |row| row.payload = Some(long.as_str().to_owned())).await;
}
pub async fn a_row_with_the_null_character_is_refused(w: &mut World) {
    refused(w, "U+0000", |row| row.payload = Some(r#"["\u0000"]"#.into())).await;
}
pub async fn a_row_that_is_nested_too_deep_is_refused(w: &mut World) {
    let levels = limits::JSON_DEPTH_MAX + 1;
    let payload = "[".repeat(levels) + &"]".repeat(levels);
    refused(w, "the limit of 120 levels", |row| row.payload = Some(payload)).await;
}
pub async fn a_row_with_a_wrong_queue_is_refused(w: &mut World) {
    refused(w, "`queue`", |row| row.queue = Some("x".repeat(limits::NAME_BYTES_MAX + 1))).await;
}
pub async fn a_row_with_a_priority_out_of_range_is_refused(w: &mut World) {
    refused(w, "`priority`", |row| row.priority = Some(40_000)).await;
}
pub async fn a_row_with_a_negative_delay_is_refused(w: &mut World) {
    refused(w, "`delay_ms`", |row| row.delay_ms = Some(-1)).await;
}
pub async fn a_row_with_two_times_is_refused(w: &mut World) {
    refused(w, "`run_at`", |row| (row.delay_ms, row.run_at) = (Some(1), Some(1))).await;
}
pub async fn a_row_with_a_long_unique_key_is_refused(w: &mut World) {
    refused(w, "`unique key`", |row| row.unique_key = Some("x".repeat(limits::KEY_BYTES_MAX + 1))).await;
}
pub async fn a_row_whose_tags_are_no_list_is_refused(w: &mut World) {
    refused(w, "`tags`", |row| row.tags = Some(r#"{"a":1}"#.into())).await;
}
pub async fn a_row_whose_attributes_are_no_object_is_refused(w: &mut World) {
    refused(w, "`attributes`", |row| row.attributes = Some(r#"["a"]"#.into())).await;
}
pub async fn a_row_with_a_long_idempotency_key_is_refused(w: &mut World) {
    refused(w, "`idempotency_key`", |row| {
        row.idempotency_key = Some("x".repeat(limits::KEY_BYTES_MAX + 1));
    })
    .await;
}

pub async fn a_row_whose_id_is_no_uuid_does_not_stand_in_the_way(w: &mut World) {
    let id = w.id();
    let wrong = InboxEntry { id: Some("job-7".into()), ..entry(id) };
    assert_eq!(take_in(w, vec![wrong, entry(id)]).await, 2);
    assert!(w.exists(id).await);
    assert_eq!(w.all_events().await.len(), 1);
}

pub async fn the_inbox_is_taken_in_before_sessions_are_reaped(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let id = w.id();
    w.push_inbox(entry(id)).await;
    w.outlive_sessions();
    let done = w.maintain().await;
    assert_eq!((done.taken_in, done.reaped), (1, 1));
    let types: Vec<(JobId, EventType)> =
        w.all_events().await.iter().map(|event| (event.job, event.ty)).collect();
    assert_eq!(types[types.len() - 2..], [(id, EventType::Enqueued), (hold.id, EventType::Interrupted)]);
}

pub async fn a_full_inbox_takes_several_passes(w: &mut World) {
    let ids: Vec<JobId> = (0..limits::MAINTENANCE_BATCH_MAX + 7).map(|_| w.id()).collect();
    for id in &ids {
        w.push_inbox(entry(*id)).await;
    }
    let first = w.maintain().await;
    assert_eq!((first.taken_in, first.more), (limits::MAINTENANCE_BATCH_MAX, true));
    let second = w.maintain().await;
    assert_eq!((second.taken_in, second.more), (7, false));
    assert!(w.exists(ids[ids.len() - 1]).await);
}

pub async fn an_id_that_never_was_in_the_inbox_has_no_outcome(w: &mut World) {
    let stranger = w.id();
    assert_eq!(outcome(w, stranger).await, None);
}

pub async fn an_outcome_outlives_its_job(w: &mut World) {
    let id = w.id();
    take_in(w, vec![entry(id)]).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    assert_eq!(outcome(w, id).await, Some(InboxOutcome::Job(id)));
}
