use crate::prelude::*;

use super::failures::fail;

fn retry(from: RetryFrom) -> Command {
    Command::Retry { from, rerun: false, payload: None }
}

fn rerun(from: RetryFrom) -> Command {
    Command::Retry { from, rerun: true, payload: None }
}

/// A job that failed in its last phase.
async fn failed(w: &mut World) -> (Worker, Hold) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    let large = Command::CompletePhase { phase: "b".into(), result: json_of_bytes(9_000) };
    w.send(hold.id, hold.fence, vec![large, Command::StartPhase]).await.expect("recorded");
    w.own(&hold, fail("c", Verdict::Permanent)).await.expect("failed");
    (worker, hold)
}

fn hashes(job: &Job) -> Vec<Option<String>> {
    job.phases.iter().map(|phase| phase.result.as_ref().map(|result| result.hash.clone())).collect()
}

pub async fn partial_retry_keeps_completed_results(w: &mut World) {
    let (worker, hold) = failed(w).await;
    let before = w.row(hold.id).await;
    let row = w.ask(hold.id, retry(RetryFrom::Unfinished)).await.expect("retried").job;
    assert_eq!((row.state, row.reason, row.run), (JobState::Pending, Some(Reason::Retried), 2));
    assert_eq!((shape(&row).as_str(), hashes(&row)), ("CCP", hashes(&before)));
    assert_eq!((row.attempt, row.crashes, row.phases[2].tries), (0, 0, 0));
    assert_eq!(
        (row.finished_at, row.details.failure.clone(), row.phases[2].error.clone()),
        (None, None, None)
    );
    assert!(row.epoch > before.epoch);
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.run), (EventType::Retried, 2));
    assert_eq!(data(&event), value!({ "from": "unfinished" }));
    let again = w.claim_one(&worker).await;
    assert_eq!(shape(&again.job), "CCR");
    let result = w.store().result(hold.id, "b".into()).await.expect("readable");
    assert_eq!(result, Some(json_of_bytes(9_000)), "a large result as well");
    assert_eq!(w.complete(&again, "c").await.state, JobState::Completed);
}

pub async fn a_retry_from_the_start_runs_everything_again(w: &mut World) {
    let (worker, hold) = failed(w).await;
    let key = w.row(hold.id).await.phases[0].idempotency_key(hold.id);
    let row = w.ask(hold.id, retry(RetryFrom::Start)).await.expect("retried").job;
    assert_eq!((shape(&row).as_str(), hashes(&row)), ("PPP", vec![None, None, None]));
    assert_eq!(row.phases.iter().map(|phase| phase.discarded).collect::<Vec<_>>(), [1, 1, 0]);
    assert_ne!(row.phases[0].idempotency_key(hold.id), key);
    for phase in ["a", "b"] {
        assert_eq!(w.store().result(hold.id, phase.into()).await.expect("readable"), None);
    }
    assert_eq!(data(&w.last_event(hold.id).await), value!({ "from": "start" }));
    let again = w.claim_one(&worker).await;
    assert_eq!(shape(&again.job), "RPP");
    let row = w.complete(&again, "a").await;
    assert_eq!(row.phases[0].result.as_ref().map(|result| result.bytes), Some(10));
}

pub async fn a_retry_from_a_phase_keeps_what_comes_before_it(w: &mut World) {
    let (worker, hold) = failed(w).await;
    let row = w.ask(hold.id, retry(RetryFrom::Phase("b".into()))).await.expect("retried").job;
    assert_eq!(shape(&row), "CPP");
    assert_eq!(w.store().result(hold.id, "b".into()).await.expect("readable"), None);
    assert!(w.store().result(hold.id, "a".into()).await.expect("readable").is_some());
    assert_eq!(data(&w.last_event(hold.id).await), value!({ "from": "phase", "phase": "b" }));
    let again = w.claim_one(&worker).await;
    assert_eq!(again.job.running_phase().map(|phase| &*phase.name), Some("b"));
}

pub async fn a_retry_from_a_phase_that_is_not_there_names_those_that_are(w: &mut World) {
    let (_, hold) = failed(w).await;
    let before = w.row(hold.id).await;
    let error = w.ask(hold.id, retry(RetryFrom::Phase("z".into()))).await.expect_err("no such phase");
    assert_eq!(error.field(), Some("phase"));
    assert!(error.to_string().contains("a, b, c"), "{error}");
    assert_eq!(w.row(hold.id).await, before);
}

pub async fn results_are_archived_run_by_run(w: &mut World) {
    let worker = w.worker().await;
    let id = w.add().await;
    for run in 1..4 {
        let hold = w.claim_one(&worker).await;
        let large = Command::CompletePhase { phase: "a".into(), result: json_of_bytes(1_000 * run) };
        w.send(id, hold.fence, vec![large, Command::StartPhase]).await.expect("recorded");
        w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed");
        let result = w.store().result(id, "a".into()).await.expect("readable");
        assert_eq!(result.map(|result| result.bytes()), Some(1_000 * run));
        w.ask(id, retry(RetryFrom::Start)).await.expect("retried");
    }
    let row = w.row(id).await;
    assert_eq!((row.run, row.phases[0].discarded), (4, 3));
}

pub async fn a_retry_keeps_checkpoints_and_elements_of_what_did_not_complete(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let save = Command::SaveCheckpoint { phase: "a".into(), value: json("3") };
    let end = Command::EndElement { phase: "a".into(), index: 1, input_hash: "h".into(), result: json("1") };
    w.send(hold.id, hold.fence, vec![save, end]).await.expect("recorded");
    w.own(&hold, fail("a", Verdict::Permanent)).await.expect("failed");
    w.ask(hold.id, retry(RetryFrom::Unfinished)).await.expect("retried");
    assert_eq!(w.store().checkpoint(hold.id, "a".into()).await.expect("readable"), Some(json("3")));
    assert_eq!(w.store().elements(hold.id, "a".into()).await.expect("readable").len(), 1);
    let again = w.claim_one(&worker).await;
    w.own(&again, fail("a", Verdict::Permanent)).await.expect("failed");
    let row = w.ask(hold.id, retry(RetryFrom::Start)).await.expect("retried").job;
    assert!(!row.phases[0].checkpoint);
    assert_eq!(w.store().checkpoint(hold.id, "a".into()).await.expect("readable"), None);
    assert!(w.store().elements(hold.id, "a".into()).await.expect("readable").is_empty());
}

pub async fn a_retry_may_bring_a_new_payload(w: &mut World) {
    let (worker, hold) = failed(w).await;
    let payload = json(r#"{"n":2}"#);
    let command = |payload| Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload };
    let long = Some(json_of_bytes(limits::PAYLOAD_BYTES_MAX + 1));
    assert_eq!(w.ask(hold.id, command(long)).await.expect_err("too long").field(), Some("payload"));
    w.ask(hold.id, command(Some(payload.clone()))).await.expect("retried");
    assert_eq!(w.claim_one(&worker).await.payload, payload);
}

pub async fn a_cancelled_job_can_be_retried(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.ask(hold.id, Command::Cancel { grace: seconds(0) }).await.expect("asked");
    w.own(&hold, Command::AcknowledgeCancel).await.expect("stopped");
    let row = w.ask(hold.id, retry(RetryFrom::Unfinished)).await.expect("retried").job;
    assert_eq!((shape(&row).as_str(), row.cancel_requested_at, row.cancel_deadline), ("CPP", None, None));
    assert_eq!(w.claim_one(&worker).await.id, hold.id);
}

pub async fn an_expired_job_can_be_retried(w: &mut World) {
    let worker = w.worker().await;
    let new = NewJob { expires: Some(When::After(seconds(1))), ..w.new_job() };
    let id = w.put(new).await;
    w.advance(seconds(2));
    w.maintain().await;
    let row = w.ask(id, retry(RetryFrom::Unfinished)).await.expect("retried").job;
    assert_eq!((row.state, row.expires_at, shape(&row).as_str()), (JobState::Pending, None, "PPP"));
    assert_eq!(w.claim_one(&worker).await.id, id);
}

pub async fn a_live_job_cannot_be_retried(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let waiting = w.add().await;
    for id in [hold.id, waiting] {
        let error = w.ask(id, rerun(RetryFrom::Start)).await.expect_err("it has not ended");
        assert!(error.is_wrong_state());
    }
}

pub async fn a_completed_job_runs_again_only_when_told_so(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.finish(&hold).await;
    for command in
        [retry(RetryFrom::Start), retry(RetryFrom::Phase("b".into())), rerun(RetryFrom::Unfinished)]
    {
        assert!(w.ask(hold.id, command).await.expect_err("it has completed").is_wrong_state());
    }
    let row = w.ask(hold.id, rerun(RetryFrom::Phase("c".into()))).await.expect("again").job;
    assert_eq!((row.state, row.run, shape(&row).as_str()), (JobState::Pending, 2, "CCP"));
    let again = w.claim_one(&worker).await;
    assert_eq!(w.complete(&again, "c").await.state, JobState::Completed);
    let terminal = w.history(hold.id).await.iter().filter(|event| event.ty.is_terminal()).count();
    assert_eq!(terminal, 2, "one for each run");
}

pub async fn a_retry_goes_to_the_queue_of_the_phase_that_is_due(w: &mut World) {
    let mut spec = plan();
    spec.phases[1].queue = Some("gpu".into());
    let worker = w.worker_of(vec![spec], &[QUEUE, "gpu"]).await;
    let id = w.add().await;
    let hold = w.claim_one(&worker).await;
    w.complete(&hold, "a").await;
    let hold = w.claim_one(&worker).await;
    w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed");
    assert_eq!(&*w.ask(id, retry(RetryFrom::Start)).await.expect("retried").job.queue, QUEUE);
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let counts = w.store().counts().await.expect("readable");
    assert_eq!(counts.iter().map(|count| (&*count.queue, count.n)).collect::<Vec<_>>(), [(QUEUE, 1)]);
}

async fn edited(w: &World, id: JobId, edit: Edit) -> Job {
    let row = w.ask(id, Command::Edit(edit)).await.expect("edited").job;
    assert_eq!(w.last_event(id).await.ty, EventType::Edited);
    assert_eq!(w.row(id).await, row);
    row
}

pub async fn a_waiting_jobs_payload_can_be_edited(w: &mut World) {
    let id = w.add().await;
    let payload = json(r#"{ "n" : 3 }"#);
    edited(w, id, Edit { payload: Some(payload.clone()), ..Edit::default() }).await;
    assert_eq!(w.store().payload(id).await.expect("readable"), Some(payload));
    assert_eq!(data(&w.last_event(id).await), value!({ "payload": true }));
}

pub async fn a_waiting_jobs_priority_can_be_edited(w: &mut World) {
    let (worker, first, second) = (w.worker().await, w.add().await, w.add().await);
    let row = edited(w, second, Edit { priority: Some(5), ..Edit::default() }).await;
    assert_eq!(row.priority, 5);
    let order: Vec<JobId> = w.claim(&worker, 2).await.iter().map(|hold| hold.id).collect();
    assert_eq!(order, [second, first]);
}

pub async fn a_waiting_jobs_queue_can_be_edited(w: &mut World) {
    let id = w.add().await;
    let row = edited(w, id, Edit { queue: Some("other".into()), ..Edit::default() }).await;
    assert_eq!((&*row.queue, &*row.home_queue), ("other", "other"));
    let here = w.worker().await;
    assert!(w.claim(&here, 1).await.is_empty());
    let there = Worker { queues: vec!["other".into()], ..here };
    assert_eq!(w.claim_one(&there).await.id, id);
}

pub async fn a_waiting_jobs_time_can_be_edited(w: &mut World) {
    let (worker, id) = (w.worker().await, w.add().await);
    let later = Edit { when: Some(When::After(seconds(60))), ..Edit::default() };
    assert_eq!(edited(w, id, later).await.available_at, w.now() + seconds(60));
    assert!(w.claim(&worker, 1).await.is_empty());
    edited(w, id, Edit { when: Some(When::Now), ..Edit::default() }).await;
    assert_eq!(w.claim_one(&worker).await.id, id);
}

pub async fn a_waiting_jobs_tags_can_be_edited(w: &mut World) {
    let new = NewJob { tags: vec!["old".into(), "both".into()], ..w.new_job() };
    let id = w.put(new).await;
    let tags = Some(vec!["new".into(), "both".into(), "new".into()]);
    let row = edited(w, id, Edit { tags, ..Edit::default() }).await;
    assert_eq!(row.details.tags, ["both".into(), "new".into()]);
    for (tag, found) in [("old", 0), ("new", 1), ("both", 1)] {
        let filter = JobFilter { tag: Some(tag.into()), ..JobFilter::default() };
        let page = w.store().list(filter, PageRequest::default()).await.expect("readable");
        assert_eq!(page.items.len(), found, "{tag}");
    }
}

pub async fn a_waiting_jobs_attributes_can_be_edited(w: &mut World) {
    let pair = |value: &str| BTreeMap::from([("customer".into(), value.to_owned())]);
    let new = NewJob { attributes: pair("1"), ..w.new_job() };
    let id = w.put(new).await;
    edited(w, id, Edit { attributes: Some(pair("2")), ..Edit::default() }).await;
    for (value, found) in [("1", 0), ("2", 1)] {
        let attribute = Some(("customer".into(), value.to_owned()));
        let filter = JobFilter { attribute, ..JobFilter::default() };
        let page = w.store().list(filter, PageRequest::default()).await.expect("readable");
        assert_eq!(page.items.len(), found, "{value}");
    }
}

pub async fn an_edit_over_a_limit_is_refused(w: &mut World) {
    let id = w.add().await;
    let before = w.row(id).await;
    let edits = [
        ("payload", Edit { payload: Some(json_of_bytes(limits::PAYLOAD_BYTES_MAX + 1)), ..Edit::default() }),
        ("queue", Edit { queue: Some("".into()), ..Edit::default() }),
        ("delay", Edit { when: Some(When::After(limits::DELAY_MAX + seconds(1))), ..Edit::default() }),
        ("tag", Edit { tags: Some(vec!["a\0b".into()]), ..Edit::default() }),
        ("attribute", Edit { attributes: Some([("".into(), String::new())].into()), ..Edit::default() }),
    ];
    for (field, edit) in edits {
        let error = w.ask(id, Command::Edit(edit)).await.expect_err("a field breaks a rule");
        assert_eq!(error.field(), Some(field), "{error}");
    }
    assert_eq!(w.row(id).await, before);
}

pub async fn only_waiting_jobs_can_be_edited(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let edit = || Command::Edit(Edit { priority: Some(1), ..Edit::default() });
    assert!(w.ask(hold.id, edit()).await.expect_err("it runs").is_wrong_state());
    w.finish(&hold).await;
    assert!(w.ask(hold.id, edit()).await.expect_err("it has ended").is_wrong_state());
}

pub async fn an_edit_compares_the_version(w: &mut World) {
    let id = w.add().await;
    let version = w.row(id).await.version;
    let edit = || vec![Command::Edit(Edit { priority: Some(1), ..Edit::default() })];
    w.send(id, Fence::Version(version), edit()).await.expect("edited");
    let error = w.send(id, Fence::Version(version), edit()).await.expect_err("it has changed");
    assert!(error.is_version_mismatch(), "{error}");
}

pub async fn a_deleted_job_is_gone(w: &mut World) {
    let new = NewJob {
        tags: vec!["t".into()],
        attributes: [("k".into(), "v".to_owned())].into(),
        unique: Some(Unique::key("x")),
        ..w.new_job()
    };
    let worker = w.worker().await;
    let id = w.put(new).await;
    let hold = w.claim_one(&worker).await;
    let save = Command::SaveCheckpoint { phase: "a".into(), value: json("1") };
    let end = Command::EndElement { phase: "a".into(), index: 1, input_hash: "h".into(), result: json("1") };
    let lines = vec![LogLine { at: w.now(), phase: None, text: "line".into() }];
    let log = Command::Annotate { progress: None, lines };
    w.send(id, hold.fence, vec![save, end, log, fail("a", Verdict::Permanent)]).await.expect("failed");
    w.ask(id, Command::Delete).await.expect("deleted");
    assert!(!w.exists(id).await);
    assert_eq!(w.store().payload(id).await.expect("readable"), None);
    assert_eq!(w.store().checkpoint(id, "a".into()).await.expect("readable"), None);
    assert!(w.store().elements(id, "a".into()).await.expect("readable").is_empty());
    assert!(w.store().log(id).await.expect("readable").is_empty());
    assert!(w.store().counts().await.expect("readable").is_empty());
    for filter in [
        JobFilter::default(),
        JobFilter { tag: Some("t".into()), ..JobFilter::default() },
        JobFilter { attribute: Some(("k".into(), "v".to_owned())), ..JobFilter::default() },
        JobFilter { unique_key: Some("x".to_owned()), ..JobFilter::default() },
    ] {
        assert!(w.store().list(filter, PageRequest::default()).await.expect("readable").items.is_empty());
    }
    assert!(w.ask(id, Command::Delete).await.expect_err("it is gone").is_not_found());
}

pub async fn a_deletion_says_only_the_id(w: &mut World) {
    let id = w.add().await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    let events = w.all_events().await;
    let event = events.last().expect("an event");
    assert_eq!((event.ty, event.pos), (EventType::Deleted, 3));
    assert_eq!(event.data.as_str(), format!(r#"{{"deletedJobId":"{id}"}}"#));
    assert_eq!(events.len(), 3, "its other events outlive it");
}

pub async fn a_live_job_cannot_be_deleted(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let waiting = w.add().await;
    for id in [hold.id, waiting] {
        assert!(w.ask(id, Command::Delete).await.expect_err("it lives").is_wrong_state());
        assert!(w.exists(id).await);
    }
}

pub async fn a_job_stored_after_a_deletion_does_not_inherit_anything(w: &mut World) {
    let id = w.add().await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    let next = w.add().await;
    assert_eq!(w.types(next).await, ["job:enqueued"], "keys are never given twice");
}

pub async fn a_webhooks_end_is_recorded_on_any_state(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.finish(&hold).await;
    let delivered = |delivered| Command::RecordWebhook { delivered, data: json(r#"{"endpoint":"e"}"#) };
    let row = w.ask(hold.id, delivered(false)).await.expect("recorded").job;
    assert!(!row.details.webhook_sent);
    let row = w.ask(hold.id, delivered(true)).await.expect("recorded").job;
    assert_eq!((row.state, row.details.webhook_sent), (JobState::Completed, true));
    let types = w.types(hold.id).await;
    assert_eq!(types[types.len() - 3..], ["job:completed", "job:webhook:failed", "job:webhook:delivered"]);
}
