//! Small records of the layers above, cursors, what a fan-out does, and requests that count once.

use stepwell_core::{
    machine::Once,
    setting::{Expected, PutSetting, SettingsRequest},
    store::FanOut,
    webhook::{self, JobWebhook},
};

use crate::prelude::*;

const SCOPE: &str = "thing";

fn put(key: &str, value: &str) -> PutSetting {
    PutSetting {
        scope: SCOPE.into(),
        key: key.into(),
        value: Some(json(value)),
        expected: Expected::Anything,
    }
}
fn remove(key: &str) -> PutSetting {
    PutSetting { value: None, ..put(key, "null") }
}

async fn keys(w: &World, request: SettingsRequest) -> Vec<String> {
    let settings = w.store().settings(request).await.expect("readable");
    settings.items.into_iter().map(|setting| setting.key).collect()
}
async fn write(w: &World, puts: Vec<PutSetting>) -> Vec<u64> {
    w.store().put_settings(puts).await.expect("written")
}

pub async fn a_record_is_kept_as_it_was_written(w: &mut World) {
    let versions = write(w, vec![put("ä/1", r#"{ "b":1.00, "a":[] }"#)]).await;
    let found = w.store().setting(SCOPE.into(), "ä/1".into()).await.expect("readable").expect("there");
    assert_eq!((&*found.scope, &*found.key, found.at), (SCOPE, "ä/1", w.now()));
    assert_eq!((found.value.as_str(), vec![found.version]), (r#"{ "b":1.00, "a":[] }"#, versions));
    assert_eq!(w.store().setting("other".into(), "ä/1".into()).await.expect("readable"), None);
}

pub async fn records_are_listed_by_key_page_by_page(w: &mut World) {
    write(w, ["b", "a/2", "a/1", "a/3", "c"].map(|key| put(key, "1")).to_vec()).await;
    let all = SettingsRequest::of(SCOPE);
    assert_eq!(keys(w, all.clone()).await, ["a/1", "a/2", "a/3", "b", "c"]);
    let page = SettingsRequest { prefix: "a/".into(), limit: 2, ..all.clone() };
    assert_eq!(keys(w, page.clone()).await, ["a/1", "a/2"]);
    assert_eq!(keys(w, SettingsRequest { after: Some("a/2".into()), ..page.clone() }).await, ["a/3"]);
    let back = SettingsRequest { descending: true, ..page };
    assert_eq!(keys(w, back.clone()).await, ["a/3", "a/2"]);
    assert_eq!(keys(w, SettingsRequest { after: Some("a/2".into()), ..back.clone() }).await, ["a/1"]);
    let none: [&str; 0] = [];
    assert_eq!(keys(w, SettingsRequest { after: Some("a".into()), ..back }).await, none);
    assert_eq!(keys(w, SettingsRequest { after: Some("x".into()), ..all }).await, none);
    assert_eq!(keys(w, SettingsRequest::of("other")).await, none);
}

pub async fn a_write_on_something_else_than_was_seen_changes_nothing(w: &mut World) {
    let absent = |key| PutSetting { expected: Expected::Absent, ..put(key, "1") };
    let first = write(w, vec![absent("a")]).await[0];
    let refused = w.store().put_settings(vec![put("b", "1"), absent("a")]).await.expect_err("it exists");
    assert!(refused.is_version_mismatch(), "{refused}");
    assert_eq!(keys(w, SettingsRequest::of(SCOPE)).await, ["a"], "all or nothing");
    let seen = |version| PutSetting { expected: Expected::Version(version), ..put("a", "2") };
    let second = write(w, vec![seen(first)]).await[0];
    assert!(second > first);
    assert!(w.store().put_settings(vec![seen(first)]).await.expect_err("stale").is_version_mismatch());
    let gone = PutSetting { value: None, ..seen(second) };
    write(w, vec![gone.clone()]).await;
    assert!(w.store().put_settings(vec![gone]).await.expect_err("gone").is_version_mismatch());
}

pub async fn a_version_never_comes_twice(w: &mut World) {
    let first = write(w, vec![put("a", "1")]).await[0];
    write(w, vec![remove("a")]).await;
    let second = write(w, vec![put("a", "1")]).await[0];
    assert!(second > first);
    let settings = w.store().settings(SettingsRequest::of(SCOPE)).await.expect("readable");
    assert_eq!(settings.revision, second);
    assert_eq!(w.store().settings(SettingsRequest::of("other")).await.expect("readable").revision, 0);
}

pub async fn a_record_over_the_limit_is_refused(w: &mut World) {
    let long = format!("\"{}\"", "x".repeat(limits::SETTING_BYTES_MAX));
    let refused = w.store().put_settings(vec![put("b", "1"), put("a", &long)]).await.expect_err("too long");
    assert_eq!(refused.field(), Some("value"));
    let refused = w.store().put_settings(vec![put("a", "\"\\u0000\"")]).await.expect_err("a NUL");
    assert_eq!(refused.field(), Some("value"));
    assert!(keys(w, SettingsRequest::of(SCOPE)).await.is_empty());
}

pub async fn records_outlive_the_process(w: &mut World) {
    let version = write(w, vec![put("a", "1")]).await[0];
    if w.reopen().await {
        let settings = w.store().settings(SettingsRequest::of(SCOPE)).await.expect("readable");
        assert_eq!((settings.items[0].version, settings.revision), (version, version));
    }
}

fn once(key: &str, fingerprint: &str) -> Option<Once> {
    Some(Once { key: key.into(), fingerprint: fingerprint.into() })
}

pub async fn a_request_that_comes_again_is_answered_with_the_same_job(w: &mut World) {
    let new = NewJob { once: once("k", "f"), ..w.new_job() };
    let id = w.put(new).await;
    let again = NewJob { once: once("k", "f"), ..w.new_job() };
    let answer = w.try_put(again).await.expect("answered");
    assert_eq!((answer.id, answer.duplicate, answer.replayed), (id, false, true));
    let other = NewJob { once: once("other", "f"), ..w.new_job() };
    assert!(!w.try_put(other).await.expect("a new job").replayed);
    let another = NewJob { once: once("k", "g"), ..w.new_job() };
    assert!(w.try_put(another).await.expect_err("another request").is_idempotency_mismatch());
}

pub async fn a_request_counts_once_although_its_job_is_gone(w: &mut World) {
    let new = NewJob { once: once("k", "f"), ..w.new_job() };
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.ask(id, Command::Delete).await.expect("deleted");
    let again = NewJob { once: once("k", "f"), ..w.new_job() };
    assert_eq!(w.try_put(again).await.expect("answered").id, id);
    assert!(!w.exists(id).await);
}

pub async fn a_request_counts_once_for_a_day(w: &mut World) {
    let new = NewJob { once: once("k", "f"), ..w.new_job() };
    let id = w.put(new).await;
    w.advance(limits::IDEMPOTENCY_KEPT - Duration::from_secs(1));
    w.prune(Retention::default()).await;
    let again = NewJob { once: once("k", "f"), ..w.new_job() };
    assert_eq!(w.try_put(again).await.expect("answered").id, id);
    w.advance(Duration::from_secs(1));
    let late = NewJob { once: once("k", "g"), ..w.new_job() };
    assert!(!w.try_put(late).await.expect("a new job").replayed);
}

pub async fn a_refused_request_does_not_use_up_its_key(w: &mut World) {
    let wrong = NewJob { once: once("k", "f"), max_crashes: Some(0), ..w.new_job() };
    assert!(w.try_put(wrong).await.expect_err("wrong").is_invalid());
    let right = NewJob { once: once("k", "g"), ..w.new_job() };
    assert!(!w.try_put(right).await.expect("a new job").replayed);
}

fn hook() -> JobWebhook {
    JobWebhook { url: "https://example.org/hook".into(), secret: Some("whsec_x".into()), events: Vec::new() }
}
async fn cursor(w: &World) -> Option<u64> {
    w.store().cursor(webhook::CURSOR.into()).await.expect("readable")
}
fn fan_out(from: u64, to: u64, jobs: Vec<NewJob>) -> FanOut {
    let (cursor, scope) = (webhook::CURSOR.into(), webhook::ENDPOINTS.into());
    FanOut { generation: None, cursor, from, to, scope, revision: 0, jobs, reports: Vec::new() }
}

pub async fn a_jobs_webhook_is_kept_apart_from_its_row(w: &mut World) {
    let before = w.add().await;
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(w.row(id).await.details.webhook, Some(hook().shown()));
    let kept = w.store().setting(webhook::OF_JOBS.into(), id.to_string()).await.expect("readable");
    assert_eq!(kept.expect("there").value.decode::<JobWebhook>().expect("decodes"), hook());
    assert_eq!(cursor(w).await, Some(1), "the log is read from that job on, not from {before}");
}

pub async fn events_of_a_job_with_a_webhook_can_be_found(w: &mut World) {
    w.add().await;
    let new = NewJob { webhook: Some(hook()), tags: vec!["vip".into()], ..w.new_job() };
    let id = w.put(new).await;
    let types = vec![EventType::Cancelled];
    let filter = EventFilter { types: types.clone(), hooked: true, ..EventFilter::default() };
    let found = w.events(0, filter).await.events;
    assert_eq!(found.iter().map(|event| (event.job, event.hooked)).collect::<Vec<_>>(), [(id, true)]);
    let without = EventFilter { types, ..EventFilter::default() };
    assert!(w.events(0, without).await.events.is_empty());
    let tagged = EventFilter { tag: Some("vip".into()), ..EventFilter::default() };
    assert_eq!(w.events(0, tagged).await.events.len(), 1);
    let other = EventFilter { tag: Some("other".into()), ..EventFilter::default() };
    assert!(w.events(0, other).await.events.is_empty());
}

async fn is_kept(w: &World, job: JobId) -> bool {
    w.store().setting(webhook::OF_JOBS.into(), job.to_string()).await.expect("readable").is_some()
}
/// A job with a webhook that has ended, and two deliveries about it.
async fn told(w: &mut World) -> (JobId, [JobId; 2]) {
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let delivery = |new: NewJob| NewJob {
        queue: Some(format!("{}07", webhook::QUEUE_OF_JOBS).into()),
        tags: vec![webhook::about(id)],
        ..new
    };
    let deliveries = [delivery(w.job_of(webhook::KIND)), delivery(w.job_of(webhook::KIND))];
    let ids = [deliveries[0].id, deliveries[1].id];
    let at = cursor(w).await.expect("there");
    w.store().fan_out(fan_out(at, w.store().head(), deliveries.to_vec())).await.expect("read");
    (id, ids)
}
/// Ends a delivery and removes it.
async fn drop_delivery(w: &World, id: JobId) {
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let at = cursor(w).await.expect("there");
    w.store().fan_out(fan_out(at, w.store().head(), Vec::new())).await.expect("read");
    w.ask(id, Command::Delete).await.expect("deleted");
}

pub async fn a_jobs_webhook_is_forgotten_with_the_last_that_needs_it(w: &mut World) {
    let (id, [one, other]) = told(w).await;
    w.ask(id, Command::Delete).await.expect("deleted");
    assert!(is_kept(w, id).await, "two deliveries are still to be sent");
    drop_delivery(w, one).await;
    assert!(is_kept(w, id).await, "one is still to be sent");
    drop_delivery(w, other).await;
    assert!(!is_kept(w, id).await);

    // The other way round: while the job is there, it can run again.
    let (id, [one, other]) = told(w).await;
    let (bystander, _) = told(w).await;
    drop_delivery(w, one).await;
    drop_delivery(w, other).await;
    assert!(is_kept(w, id).await);
    w.ask(id, Command::Delete).await.expect("deleted");
    assert!(!is_kept(w, id).await && is_kept(w, bystander).await);
}

pub async fn retention_forgets_the_webhooks_of_jobs(w: &mut World) {
    let (id, deliveries) = told(w).await;
    w.advance(Duration::from_hours(24 * 365));
    w.prune(Retention::default()).await;
    assert!(!w.exists(id).await && w.exists(deliveries[0]).await);
    assert!(is_kept(w, id).await, "the deliveries still wait");
    for delivery in deliveries {
        w.ask(delivery, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    }
    let at = cursor(w).await.expect("there");
    w.store().fan_out(fan_out(at, w.store().head(), Vec::new())).await.expect("read");
    w.advance(Duration::from_hours(24 * 365));
    w.prune(Retention::default()).await;
    assert!(!w.exists(deliveries[0]).await && !is_kept(w, id).await);
}

pub async fn nothing_is_deleted_that_a_durable_reader_has_yet_to_read(w: &mut World) {
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    let id = w.put(new).await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    assert!(w.ask(id, Command::Delete).await.expect_err("not read yet").is_held());
    w.advance(Duration::from_hours(24 * 365));
    w.prune(Retention::default()).await;
    assert!(w.exists(id).await);
    assert_eq!(w.events(0, EventFilter::default()).await.events.len(), 2);
    w.store().fan_out(fan_out(0, 2, Vec::new())).await.expect("read");
    w.ask(id, Command::Delete).await.expect("deleted");
}

pub async fn a_fan_out_happens_once(w: &mut World) {
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    w.put(new).await;
    let (one, other) = (w.job_of(webhook::KIND), w.job_of(webhook::KIND));
    w.store().fan_out(fan_out(0, 1, vec![one.clone()])).await.expect("read");
    let late = w.store().fan_out(fan_out(0, 1, vec![other.clone()])).await.expect_err("somebody was faster");
    assert!(late.is_version_mismatch());
    assert!(w.exists(one.id).await && !w.exists(other.id).await);
    assert_eq!(cursor(w).await, Some(1));
}

pub async fn a_fan_out_that_fails_leaves_nothing_behind(w: &mut World) {
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    w.put(new).await;
    let (right, wrong) = (w.job_of(webhook::KIND), NewJob { max_crashes: Some(0), ..w.new_job() });
    let jobs = vec![right.clone(), wrong];
    assert!(w.store().fan_out(fan_out(0, 1, jobs)).await.expect_err("one is wrong").is_invalid());
    assert!(!w.exists(right.id).await);
    assert_eq!(cursor(w).await, Some(0));
}

pub async fn a_fan_out_by_outdated_records_does_not_happen(w: &mut World) {
    let endpoint = PutSetting { scope: webhook::ENDPOINTS.into(), ..put("e", "1") };
    w.add().await;
    let revision = write(w, vec![endpoint]).await[0];
    assert_eq!(cursor(w).await, Some(1), "the first endpoint begins the reading");
    w.add().await;
    assert!(w.store().fan_out(fan_out(1, 2, Vec::new())).await.expect_err("outdated").is_version_mismatch());
    w.store().fan_out(FanOut { revision, ..fan_out(1, 2, Vec::new()) }).await.expect("read");
}

pub async fn a_fan_out_reports_on_jobs_that_are_still_there(w: &mut World) {
    let new = NewJob { webhook: Some(hook()), ..w.new_job() };
    let id = w.put(new).await;
    let gone = w.id();
    let report = |id| (id, Command::RecordWebhook { delivered: true, data: json(r#"{"endpoint":"e"}"#) });
    let request = FanOut { reports: vec![report(gone), report(id)], ..fan_out(0, 1, Vec::new()) };
    w.store().fan_out(request).await.expect("read");
    assert_eq!(w.types(id).await, ["job:enqueued", "job:webhook:delivered"]);
}
