//! What operators and callers can do to jobs, each through the public API and on both stores.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use stepwell::{
    Change, Clock, Edit, EventStream, EventType, JobFilter, JobHandle, JobId, JobState, Json, Order,
    PageRequest, Priority, Retention, RetryFrom, Stepwell, Unique, When, testing::TestBed,
};
use support::{Second, Spell, Speller};

const MINUTE: Duration = Duration::from_mins(1);

/// Plays the same on a queue in memory and on one in a file.
async fn on_both(second: Second, play: impl AsyncFn(&TestBed, &Speller)) {
    let speller = Speller::new(second);
    play(&TestBed::from(Stepwell::in_memory().worker(speller.clone())).await, &speller).await;
    #[cfg(feature = "sqlite")]
    {
        let dir = tempfile::tempdir().unwrap();
        let speller = Speller::new(second);
        let builder = Stepwell::sqlite(dir.path().join("queue.db")).worker(speller.clone());
        let bed = TestBed::from(builder).await;
        play(&bed, &speller).await;
        bed.close().await.unwrap();
    }
}

async fn add(bed: &TestBed, word: &str) -> JobHandle<Spell> {
    bed.enqueue(Spell::new(word)).await.unwrap()
}

async fn state(job: &JobHandle<Spell>) -> JobState {
    job.state().await.unwrap()
}

/// The ids of everything that matches, from pages of so many.
async fn all(bed: &TestBed, filter: &JobFilter, order: Order, limit: usize) -> Vec<JobId> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = bed.list(filter.clone(), PageRequest { order, limit, after }).await.unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|job| job.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn jobs_are_listed_by_every_filter_in_pages_and_counted() {
    on_both(Second::Return, async |bed, _| {
        let mut ids = Vec::new();
        for n in 0..25 {
            let enqueue = bed.enqueue(Spell::new(&n.to_string()));
            let enqueue = if n % 5 == 0 { enqueue.queue("night") } else { enqueue };
            let enqueue = if n % 3 == 0 { enqueue.tag("third") } else { enqueue };
            ids.push(enqueue.attribute("n", n).await.unwrap().id());
        }
        let other = bed.enqueue_untyped("other", Json::null()).await.unwrap().id();
        let pick = |wanted: fn(usize) -> bool| -> Vec<JobId> {
            (0..25).filter(|n| wanted(*n)).map(|n| ids[n]).collect()
        };
        let any = JobFilter::default();
        let of_kind = JobFilter { kind: Some("spell".into()), ..any.clone() };
        for limit in [1, 7, 25, 1_000] {
            assert_eq!(all(bed, &of_kind, Order::OldestFirst, limit).await, ids);
        }
        let newest: Vec<JobId> = std::iter::once(other).chain(ids.iter().rev().copied()).collect();
        assert_eq!(all(bed, &any, Order::NewestFirst, 7).await, newest);
        let of_queue = JobFilter { queue: Some("night".into()), ..any.clone() };
        assert_eq!(all(bed, &of_queue, Order::OldestFirst, 2).await, pick(|n| n % 5 == 0));
        let of_tag = JobFilter { tag: Some("third".into()), ..any.clone() };
        assert_eq!(all(bed, &of_tag, Order::OldestFirst, 4).await, pick(|n| n % 3 == 0));
        let both = JobFilter { tag: Some("third".into()), ..of_queue.clone() };
        assert_eq!(all(bed, &both, Order::OldestFirst, 4).await, pick(|n| n % 15 == 0));
        let of_attribute = JobFilter { attribute: Some(("n".into(), "17".into())), ..any.clone() };
        assert_eq!(all(bed, &of_attribute, Order::OldestFirst, 4).await, [ids[17]]);

        bed.cancel(ids[3]).await.unwrap();
        bed.run_until_idle().await;
        let in_state = |state| JobFilter { state: Some(state), ..any.clone() };
        assert_eq!(all(bed, &in_state(JobState::Cancelled), Order::OldestFirst, 4).await, [ids[3]]);
        let completed = all(bed, &in_state(JobState::Completed), Order::OldestFirst, 4).await;
        assert_eq!(completed, pick(|n| n % 5 != 0 && n != 3), "nobody works the queue `night`");
        let counts = bed.counts().await.unwrap();
        let count = |queue: &str, kind: &str, state| {
            let found = counts.iter().find(|c| &*c.queue == queue && &*c.kind == kind && c.state == state);
            found.map_or(0, |count| count.n)
        };
        assert_eq!(count("default", "spell", JobState::Completed), 19);
        assert_eq!(count("default", "spell", JobState::Cancelled), 1);
        assert_eq!(count("night", "spell", JobState::Pending), 5);
        assert_eq!(count("default", "other", JobState::Pending), 1);
        assert_eq!(counts.iter().map(|count| count.n).sum::<u64>(), 26);
    })
    .await;
}

#[tokio::test]
async fn a_job_waits_for_its_delay_and_for_its_time() {
    on_both(Second::Return, async |bed, _| {
        let delayed = bed.enqueue(Spell::new("a")).delay(MINUTE).await.unwrap();
        let at: SystemTime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + 2 * MINUTE;
        let timed = bed.enqueue(Spell::new("b")).run_at(at).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!((state(&delayed).await, state(&timed).await), (JobState::Pending, JobState::Pending));
        bed.advance(MINUTE);
        bed.run_until_idle().await;
        assert_eq!((state(&delayed).await, state(&timed).await), (JobState::Completed, JobState::Pending));
        bed.advance(MINUTE);
        bed.run_until_idle().await;
        assert_eq!(state(&timed).await, JobState::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_higher_priority_runs_first() {
    on_both(Second::Return, async |bed, _| {
        let low = bed.enqueue(Spell::new("a")).priority(Priority::LOW).await.unwrap();
        let normal = add(bed, "b").await;
        let high = bed.enqueue(Spell::new("c")).priority(Priority::HIGH).await.unwrap();
        let mut events = bed.events().of_types([EventType::Completed]).after(0).subscribe();
        bed.run_until_idle().await;
        let mut ended = Vec::new();
        for _ in 0..3 {
            ended.push(support::soon("a job ends", events.next()).await.unwrap().job);
        }
        assert_eq!(ended, [high.id(), normal.id(), low.id()]);
    })
    .await;
}

#[tokio::test]
async fn tags_and_attributes_are_kept_and_a_waiting_job_can_be_changed() {
    on_both(Second::Return, async |bed, _| {
        let job =
            bed.enqueue(Spell::new("a")).delay(MINUTE).tag("x").attribute("customer", 42).await.unwrap();
        let record = job.record().await.unwrap();
        assert_eq!(record.details.tags, ["x".into()]);
        assert_eq!(record.details.attributes, BTreeMap::from([("customer".into(), "42".to_owned())]));
        let edit = Edit {
            payload: Some(Json::of(&Spell::new("b")).unwrap()),
            priority: Some(7),
            when: Some(When::Now),
            tags: Some(vec!["y".into()]),
            ..Edit::default()
        };
        bed.edit(job.id(), edit.clone()).await.unwrap();
        let error = bed.edit_at(job.id(), record.version, edit.clone()).await.unwrap_err();
        assert!(error.is_version_mismatch(), "it was changed since: {error}");
        bed.run_until_idle().await;
        assert_eq!(job.result().await.unwrap(), "b123");
        let record = job.record().await.unwrap();
        assert_eq!((record.priority, &*record.details.tags), (7, &["y".into()][..]));
        assert!(bed.edit(job.id(), edit).await.unwrap_err().is_wrong_state());
    })
    .await;
}

#[tokio::test]
async fn a_job_that_expires_is_closed_and_says_so() {
    on_both(Second::Return, async |bed, speller| {
        let job = bed.enqueue(Spell::new("a")).delay(MINUTE).expires_in(MINUTE).await.unwrap();
        bed.advance(2 * MINUTE);
        bed.run_until_idle().await;
        assert_eq!(state(&job).await, JobState::Failed);
        assert!(job.result().await.unwrap_err().to_string().contains("expired"));
        assert_eq!(speller.runs(), [0, 0, 0]);
        let wrong = bed.enqueue(Spell::new("a")).expires_at(SystemTime::UNIX_EPOCH).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!(state(&wrong).await, JobState::Failed, "it had expired before it began");
    })
    .await;
}

#[tokio::test]
async fn a_unique_key_counts_while_its_job_lives_and_within_its_window() {
    on_both(Second::Return, async |bed, _| {
        let enqueue = |unique| bed.enqueue(Spell::new("a")).unique(unique);
        let first = enqueue(Unique::key("k")).await.unwrap();
        let second = enqueue(Unique::key("k")).await.unwrap();
        assert_eq!((second.is_duplicate(), second.id()), (true, first.id()));
        bed.run_until_idle().await;
        let within = enqueue(Unique::key("k").within(2 * MINUTE)).await.unwrap();
        assert!(within.is_duplicate(), "it has ended, and the window has not");
        bed.advance(3 * MINUTE);
        let late = enqueue(Unique::key("k").within(2 * MINUTE)).await.unwrap();
        assert!(!late.is_duplicate());
        assert!(!enqueue(Unique::key("other")).await.unwrap().is_duplicate());
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_keeps_its_jobs_until_it_is_resumed() {
    on_both(Second::Return, async |bed, _| {
        bed.pause("default", Some("stocktaking")).await.unwrap();
        let job = add(bed, "a").await;
        bed.run_until_idle().await;
        assert_eq!(state(&job).await, JobState::Pending);
        let told = bed.explain(job.id()).await.unwrap().to_string();
        assert_eq!(told, "queue `default` is paused: stocktaking");
        assert_eq!(bed.queues().await.unwrap()[0].paused_reason.as_deref(), Some("stocktaking"));
        bed.resume("default").await.unwrap();
        bed.run_until_idle().await;
        assert_eq!(state(&job).await, JobState::Completed);
        assert_eq!(bed.pause("", None).await.unwrap_err().field(), Some("queue"));
    })
    .await;
}

#[tokio::test]
async fn a_retry_takes_up_what_is_missing_all_or_from_a_phase() {
    on_both(Second::FailForGood, async |bed, speller| {
        let job = add(bed, "a").await;
        bed.run_until_idle().await;
        assert_eq!((state(&job).await, speller.runs()), (JobState::Failed, [1, 1, 0]));
        bed.retry(job.id()).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!(speller.runs(), [1, 2, 0], "the first phase keeps its result");
        bed.retry_from_start(job.id()).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!(speller.runs(), [2, 3, 0]);
        bed.retry_from(job.id(), "first").await.unwrap();
        speller.script(Second::Return);
        bed.run_until_idle().await;
        assert_eq!((state(&job).await, speller.runs()), (JobState::Completed, [3, 4, 1]));
        assert!(bed.retry_from(job.id(), "first").await.unwrap_err().is_wrong_state(), "it has completed");
        assert_eq!(job.record().await.unwrap().run, 4);
    })
    .await;
}

#[tokio::test]
async fn a_completed_job_is_rerun_from_a_phase_with_another_payload() {
    on_both(Second::Return, async |bed, speller| {
        let job = add(bed, "a").await;
        assert!(bed.rerun(job.id(), RetryFrom::Start, None).await.unwrap_err().is_wrong_state(), "it waits");
        bed.run_until_idle().await;
        assert_eq!(job.result().await.unwrap(), "a123");
        bed.rerun(job.id(), RetryFrom::Phase("third".into()), None).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!((job.result().await.unwrap(), speller.runs()), ("a123".into(), [1, 1, 2]));
        let payload = Json::of(&Spell::new("b")).unwrap();
        bed.rerun(job.id(), RetryFrom::Start, Some(payload)).await.unwrap();
        bed.run_until_idle().await;
        assert_eq!((job.result().await.unwrap(), speller.runs()), ("b123".into(), [2, 2, 3]));
        let error = bed.rerun(job.id(), RetryFrom::Phase("fourth".into()), None).await.unwrap_err();
        assert!(error.to_string().contains("fourth"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn only_a_job_that_has_ended_can_be_deleted() {
    on_both(Second::Return, async |bed, _| {
        let job = add(bed, "a").await;
        assert!(bed.delete(job.id()).await.unwrap_err().is_wrong_state());
        bed.run_until_idle().await;
        bed.delete(job.id()).await.unwrap();
        assert!(job.state().await.unwrap_err().is_not_found());
        let error = bed.delete(job.id()).await.unwrap_err();
        assert!(error.is_not_found() && error.to_string().contains(&job.id().to_string()), "{error}");
    })
    .await;
}

/// A reader that was away names its place, and is told if what came after it is gone.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_subscription_goes_on_after_its_place_and_tells_of_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let open = async |clock: &Clock| {
        let builder = Stepwell::sqlite(dir.path().join("queue.db")).worker(Speller::new(Second::Return));
        let builder = builder.retention(Retention::for_age(Duration::from_hours(1)));
        builder.clock(clock.clone()).open().await.unwrap()
    };
    let run = async |stepwell: &Stepwell, word: &str| {
        let job = stepwell.enqueue(Spell::new(word)).await.unwrap();
        support::soon("the job ends", job.result()).await.unwrap();
        job.id()
    };
    let subscribe = |stepwell: &Stepwell, after| {
        let types = [EventType::Started, EventType::Completed];
        stepwell.events().of_types(types).of_kind::<Spell>().after(after).subscribe()
    };
    let next = async |events: &mut EventStream| support::soon("an event", events.next()).await.unwrap();

    let stepwell = open(&clock).await;
    let workers = stepwell.start();
    let first = run(&stepwell, "a").await;
    let mut events = subscribe(&stepwell, 0);
    let started = next(&mut events).await;
    assert_eq!((started.job, started.event_type), (first, EventType::Started));
    drop(events);
    let second = run(&stepwell, "b").await;
    let mut events = subscribe(&stepwell, started.pos);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = next(&mut events).await;
        seen.push((event.job, event.event_type));
    }
    let wanted =
        [(first, EventType::Completed), (second, EventType::Started), (second, EventType::Completed)];
    assert_eq!(seen, wanted, "what was not read, once and in order, and nothing else");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();

    // Retention takes what the reader had not seen: it looks when the workers start.
    clock.advance(Duration::from_hours(3));
    let stepwell = open(&clock).await;
    let workers = stepwell.start();
    let gone = async {
        while stepwell.job(second).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    support::soon("retention takes the jobs", gone).await;
    let third = run(&stepwell, "c").await;
    let mut events = subscribe(&stepwell, started.pos);
    let gap = next(&mut events).await;
    let Change::StreamGap { oldest } = gap.change else { panic!("{gap:?} is no gap") };
    assert!(oldest > started.pos + 1);
    // What is kept follows, in order: the log is trimmed behind its jobs.
    let mut before = oldest - 1;
    loop {
        let event = next(&mut events).await;
        assert!(event.pos > before, "{event:?} after {before}");
        before = event.pos;
        if (event.job, event.event_type) == (third, EventType::Completed) {
            break;
        }
    }
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}
