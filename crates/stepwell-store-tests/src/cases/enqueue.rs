use stepwell_core::webhook::JobWebhook;

use crate::prelude::*;

pub async fn a_job_has_the_defaults(w: &mut World) {
    let id = w.add().await;
    let row = w.row(id).await;
    assert_eq!((&*row.kind, &*row.queue, &*row.home_queue), (KIND, QUEUE, QUEUE));
    assert_eq!((row.state, row.reason, row.priority), (JobState::Pending, None, 0));
    assert_eq!((row.run, row.attempt, row.crashes, row.epoch), (1, 0, 0, 0));
    assert_eq!(row.max_crashes, limits::CRASHES_MAX);
    assert_eq!((row.enqueued_at, row.available_at), (w.now(), w.now()));
    assert_eq!((row.expires_at, row.finished_at, row.cancel_requested_at), (None, None, None));
    assert_eq!((row.lease, row.unique_key.clone(), row.plan.clone()), (None, None, None));
    assert!(row.phases.is_empty(), "no plan is known yet");
    assert_eq!(row.next_seq, 2);
    assert_eq!(row.details, stepwell_core::job::Details::default());
}

pub async fn every_field_is_kept(w: &mut World) {
    let new = NewJob {
        queue: Some("slow".into()),
        priority: -7,
        when: When::After(seconds(60)),
        expires: Some(When::After(seconds(600))),
        unique: Some(Unique::key("order-1")),
        tags: vec!["b".into(), "a".into(), "b".into()],
        attributes: BTreeMap::from([("customer".into(), "42".to_owned()), ("größe".into(), String::new())]),
        webhook: Some(JobWebhook {
            url: "https://example.org/hook".into(),
            secret: None,
            events: Vec::new(),
        }),
        max_crashes: Some(2),
        ..w.new_job()
    };
    let now = w.now();
    let id = w.put(new.clone()).await;
    let row = w.row(id).await;
    assert_eq!((&*row.queue, row.priority, row.max_crashes), ("slow", -7, 2));
    assert_eq!((row.available_at, row.expires_at), (now + seconds(60), Some(now + seconds(600))));
    assert_eq!(row.unique_key.as_deref(), Some("order-1"));
    assert_eq!(row.details.tags, ["a".into(), "b".into()], "sorted, each once");
    assert_eq!(row.details.attributes, new.attributes);
    assert_eq!(row.details.webhook, new.webhook.map(|webhook| webhook.shown()));
    assert!(!row.details.webhook_sent);
}

pub async fn a_payload_is_kept_byte_for_byte(w: &mut World) {
    let text = "{ \"b\" : 1.000 ,\"a\":[ 1e2, \"\\u00e4\u{1F980}\\n\" ], \"b\": 18446744073709551616 }";
    let new = NewJob { payload: json(text), ..w.new_job() };
    let id = w.put(new).await;
    let payload = w.store().payload(id).await.expect("readable").expect("there");
    assert_eq!(payload.as_str(), text);
    let stranger = w.id();
    assert_eq!(w.store().payload(stranger).await.expect("readable"), None, "of a job that does not exist");
}

pub async fn a_large_payload_is_kept(w: &mut World) {
    let payload = json_of_bytes(limits::PAYLOAD_BYTES_MAX);
    let new = NewJob { payload: payload.clone(), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(w.store().payload(id).await.expect("readable"), Some(payload));
}

pub async fn enqueueing_says_so(w: &mut World) {
    let id = w.add().await;
    let event = w.last_event(id).await;
    assert_eq!((event.ty, event.job, event.job_seq, event.run), (EventType::Enqueued, id, 1, 1));
    assert_eq!((&*event.kind, &*event.queue, event.attempt), (KIND, QUEUE, 0));
    assert_eq!((event.at, event.phase.clone(), event.data.as_str()), (w.now(), None, "{}"));
}

pub async fn a_scheduled_job_says_when(w: &mut World) {
    let new = NewJob { when: When::After(seconds(5)), ..w.new_job() };
    let id = w.put(new).await;
    let at = (w.now() + seconds(5)).as_micros();
    assert_eq!(w.last_event(id).await.data.as_str(), format!(r#"{{"availableAt":{at}}}"#));
}

pub async fn a_time_in_the_past_means_now(w: &mut World) {
    let new = NewJob { when: When::At(w.now() - seconds(9)), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(w.row(id).await.available_at, w.now());
}

pub async fn a_job_is_bound_to_the_newest_plan(w: &mut World) {
    let plan_ref = w.store().register(vec![plan()]).await.expect("registered").remove(0);
    let id = w.add().await;
    let row = w.row(id).await;
    assert_eq!(row.plan, Some(plan_ref));
    assert_eq!(shape(&row), "PPP");
    assert_eq!(row.phases[1].max_tries, Retry::default().attempts());
}

pub async fn a_first_phase_with_a_queue_of_its_own_decides_where_the_job_waits(w: &mut World) {
    let mut spec = plan();
    spec.phases[0].queue = Some("gpu".into());
    w.store().register(vec![spec]).await.expect("registered");
    let id = w.add().await;
    let row = w.row(id).await;
    assert_eq!((&*row.queue, &*row.home_queue), ("gpu", QUEUE));
}

pub async fn a_batch_is_answered_in_order(w: &mut World) {
    let jobs: Vec<NewJob> = (0..50).map(|_| w.new_job()).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let answers = w.store().enqueue(jobs).await.expect("answered");
    let stored: Vec<JobId> = answers.into_iter().map(|answer| answer.expect("stored").id).collect();
    assert_eq!(stored, ids);
    assert!(w.store().enqueue(Vec::new()).await.expect("an empty batch is no error").is_empty());
}

pub async fn one_refused_job_keeps_no_other_from_being_stored(w: &mut World) {
    let wrong = NewJob { kind: "".into(), ..w.new_job() };
    let jobs = vec![w.new_job(), wrong.clone(), w.new_job()];
    let (first, last) = (jobs[0].id, jobs[2].id);
    let answers = w.store().enqueue(jobs).await.expect("the batch is answered");
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1].as_ref().expect_err("refused").field(), Some("kind"));
    assert!(w.exists(first).await && w.exists(last).await && !w.exists(wrong.id).await);
    assert_eq!(w.all_events().await.len(), 2, "the refused one said nothing");
}

pub async fn an_id_is_taken_once(w: &mut World) {
    let id = w.add().await;
    let again = NewJob { id, kind: "other".into(), ..w.new_job() };
    let error = w.try_put(again).await.expect_err("the id is taken");
    assert!(error.is_invalid(), "{error}");
    assert_eq!(error.field(), Some("id"));
    assert_eq!(&*w.row(id).await.kind, KIND, "the first one is as it was");
    assert_eq!(w.all_events().await.len(), 1);
}

pub async fn a_refused_id_leaves_no_name_behind(w: &mut World) {
    let id = w.add().await;
    // Alone in its transaction, which thus writes nothing, and not of the usual shape, so that it is refused at once.
    let named =
        |new: NewJob, queue: &str| NewJob { queue: Some(queue.into()), tags: vec!["t".into()], ..new };
    let again = NewJob { id, ..named(w.new_job(), "new") };
    w.try_put(again).await.expect_err("the id is taken");
    let new = named(w.new_job(), "new");
    let first = w.put(new).await;
    let newer = named(w.new_job(), "newer");
    let second = w.put(newer).await;
    for _ in 0..2 {
        assert_eq!(&*w.row(first).await.queue, "new");
        assert_eq!(&*w.row(second).await.queue, "newer");
        w.reopen().await;
    }
}

pub async fn an_id_given_twice_in_one_batch_is_taken_once(w: &mut World) {
    let (first, other) = (w.new_job(), w.new_job());
    let batch = vec![first.clone(), first, other];
    let answers = w.store().enqueue(batch).await.expect("the batch is answered");
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

async fn refused(w: &mut World, field: &str, spoil: impl FnOnce(&mut NewJob)) {
    let mut new = w.new_job();
    spoil(&mut new);
    let id = new.id;
    let error = w.try_put(new).await.expect_err("a field breaks a rule");
    assert!(error.is_invalid());
    assert_eq!(error.field(), Some(field), "{error}");
    assert!(!w.exists(id).await && w.all_events().await.is_empty());
}

pub async fn a_payload_over_the_limit_is_refused(w: &mut World) {
    refused(w, "payload", |new| new.payload = json_of_bytes(limits::PAYLOAD_BYTES_MAX + 1)).await;
}
pub async fn a_payload_with_the_null_character_is_refused(w: &mut World) {
    refused(w, "payload", |new| new.payload = json(r#"{"a":"\u0000"}"#)).await;
}
pub async fn a_payload_that_is_nested_too_deep_is_refused(w: &mut World) {
    let nested = |levels: usize| json(&("[".repeat(levels) + &"]".repeat(levels)));
    refused(w, "payload", |new| new.payload = nested(limits::JSON_DEPTH_MAX + 1)).await;
    let new = NewJob { payload: nested(limits::JSON_DEPTH_MAX), ..w.new_job() };
    let id = w.put(new).await;
    let payload = w.store().payload(id).await.expect("readable").expect("there");
    payload.decode::<serde_json::Value>().expect("what is accepted can be decoded");
}
pub async fn an_empty_kind_is_refused(w: &mut World) {
    refused(w, "kind", |new| new.kind = "".into()).await;
}
pub async fn a_kind_over_the_limit_is_refused(w: &mut World) {
    refused(w, "kind", |new| new.kind = "x".repeat(limits::NAME_BYTES_MAX + 1).into()).await;
}
pub async fn a_queue_with_a_control_character_is_refused(w: &mut World) {
    refused(w, "queue", |new| new.queue = Some("a\nb".into())).await;
}
pub async fn a_unique_key_over_the_limit_is_refused(w: &mut World) {
    refused(w, "unique key", |new| new.unique = Some(Unique::key("x".repeat(limits::KEY_BYTES_MAX + 1))))
        .await;
}
pub async fn too_many_tags_are_refused(w: &mut World) {
    refused(w, "tags", |new| new.tags = (0..=limits::TAGS_MAX).map(|n| n.to_string().into()).collect()).await;
}
pub async fn a_tag_over_the_limit_is_refused(w: &mut World) {
    refused(w, "tag", |new| new.tags = vec!["x".repeat(limits::NAME_BYTES_MAX + 1).into()]).await;
}
pub async fn too_many_attributes_are_refused(w: &mut World) {
    let many = (0..=limits::ATTRIBUTES_MAX).map(|n| (n.to_string().into(), String::new())).collect();
    refused(w, "attributes", |new| new.attributes = many).await;
}
pub async fn an_attribute_over_the_limit_is_refused(w: &mut World) {
    let long = "x".repeat(limits::KEY_BYTES_MAX + 1);
    refused(w, "attribute customer", |new| {
        new.attributes.insert("customer".into(), long);
    })
    .await;
}
pub async fn a_delay_of_more_than_a_century_is_refused(w: &mut World) {
    refused(w, "delay", |new| new.when = When::After(limits::DELAY_MAX + seconds(1))).await;
}
pub async fn no_crashes_at_all_are_refused(w: &mut World) {
    refused(w, "max_crashes", |new| new.max_crashes = Some(0)).await;
}

pub async fn names_at_their_limits_are_kept(w: &mut World) {
    let name: Name = "ü".repeat(limits::NAME_BYTES_MAX / 2).into();
    let key = "k".repeat(limits::KEY_BYTES_MAX);
    let new = NewJob {
        kind: name.clone(),
        queue: Some(name.clone()),
        tags: vec![name.clone()],
        attributes: BTreeMap::from([(name.clone(), key.clone())]),
        unique: Some(Unique::key(&key)),
        ..w.new_job()
    };
    let id = w.put(new).await;
    let row = w.row(id).await;
    assert_eq!((&row.kind, &row.queue, row.unique_key.as_deref()), (&name, &name, Some(&*key)));
    assert_eq!(row.details.attributes.get(&name), Some(&key));
}
