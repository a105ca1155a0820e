use crate::prelude::*;

async fn found(w: &World, filter: JobFilter) -> Vec<JobId> {
    pages(w, filter, PageRequest { order: Order::OldestFirst, ..PageRequest::default() }).await
}

/// Every page, one after the other.
async fn pages(w: &World, filter: JobFilter, mut request: PageRequest) -> Vec<JobId> {
    let mut ids = Vec::new();
    loop {
        let page = w.store().list(filter.clone(), request.clone()).await.expect("readable");
        assert!(page.items.len() <= request.limit());
        ids.extend(page.items.iter().map(|job| job.id));
        match page.next {
            Some(next) => request.after = Some(next),
            None => return ids,
        }
    }
}

pub async fn the_newest_comes_first_unless_asked_otherwise(w: &mut World) {
    let mut put = Vec::new();
    for _ in 0..5 {
        put.push(w.add().await);
        w.advance(seconds(1));
    }
    assert_eq!(found(w, JobFilter::default()).await, put);
    let newest = pages(w, JobFilter::default(), PageRequest::default()).await;
    put.reverse();
    assert_eq!(newest, put);
}

pub async fn a_listed_job_is_the_whole_row(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let page = w.store().list(JobFilter::default(), PageRequest::default()).await.expect("readable");
    assert_eq!(page.items, [hold.job]);
    assert_eq!(page.next, None);
}

pub async fn jobs_are_found_by_state(w: &mut World) {
    let worker = w.worker().await;
    let mut by_state = Vec::new();
    for state in [JobState::Completed, JobState::Failed, JobState::Running, JobState::Cancelling] {
        let id = w.add().await;
        let hold = w.claim_one(&worker).await;
        match state {
            JobState::Completed => drop(w.finish(&hold).await),
            JobState::Failed => {
                w.own(&hold, super::failures::fail("a", Verdict::Permanent)).await.expect("failed");
            }
            JobState::Cancelling => {
                w.ask(id, Command::Cancel { grace: seconds(99) }).await.expect("asked");
            }
            _ => {}
        }
        by_state.push((state, id));
    }
    let id = w.add().await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    by_state.push((JobState::Cancelled, id));
    by_state.push((JobState::Pending, w.add().await));
    for (state, id) in by_state {
        assert_eq!(found(w, JobFilter { state: Some(state), ..JobFilter::default() }).await, [id], "{state}");
    }
}

pub async fn jobs_are_found_by_kind(w: &mut World) {
    let new = w.job_of("other");
    let (other, _) = (w.put(new).await, w.add().await);
    let of = |kind: &str| JobFilter { kind: Some(kind.into()), ..JobFilter::default() };
    assert_eq!(found(w, of("other")).await, [other]);
    assert!(found(w, of("nothing")).await.is_empty());
}

pub async fn jobs_are_found_by_queue(w: &mut World) {
    let new = NewJob { queue: Some("slow".into()), ..w.new_job() };
    let (slow, _) = (w.put(new).await, w.add().await);
    let of = |queue: &str| JobFilter { queue: Some(queue.into()), ..JobFilter::default() };
    assert_eq!(found(w, of("slow")).await, [slow]);
    assert!(found(w, of("nothing")).await.is_empty());
}

pub async fn jobs_are_found_by_tag(w: &mut World) {
    let mut put = Vec::new();
    for tags in [vec!["red", "big"], vec!["red"], vec!["big"], vec![]] {
        let new = NewJob { tags: tags.into_iter().map(Name::from).collect(), ..w.new_job() };
        put.push(w.put(new).await);
    }
    let of = |tag: &str| JobFilter { tag: Some(tag.into()), ..JobFilter::default() };
    assert_eq!(found(w, of("red")).await, put[..2]);
    assert_eq!(found(w, of("big")).await, [put[0], put[2]]);
    assert!(found(w, of("Red")).await.is_empty());
}

pub async fn jobs_are_found_by_attribute(w: &mut World) {
    let mut put = Vec::new();
    for value in ["1", "2", "1"] {
        let attributes = [("customer".into(), value.to_owned()), ("region".into(), "eu".to_owned())].into();
        let new = NewJob { attributes, ..w.new_job() };
        put.push(w.put(new).await);
    }
    let of = |key: &str, value: &str| JobFilter {
        attribute: Some((key.into(), value.to_owned())),
        ..JobFilter::default()
    };
    assert_eq!(found(w, of("customer", "1")).await, [put[0], put[2]]);
    assert_eq!(found(w, of("region", "eu")).await, put);
    assert!(found(w, of("region", "1")).await.is_empty());
}

pub async fn jobs_are_found_by_unique_key(w: &mut World) {
    let mut put = Vec::new();
    for _ in 0..2 {
        let new = w.unique_job("x");
        let id = w.put(new).await;
        w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
        put.push(id);
    }
    w.add().await;
    let of = |key: &str| JobFilter { unique_key: Some(key.to_owned()), ..JobFilter::default() };
    assert_eq!(found(w, of("x")).await, put);
    assert!(found(w, of("y")).await.is_empty());
}

pub async fn filters_join(w: &mut World) {
    let mut wanted = Vec::new();
    for n in 0..12 {
        let new = NewJob {
            queue: Some(if n % 2 == 0 { "even".into() } else { "odd".into() }),
            tags: if n % 3 == 0 { vec!["third".into()] } else { Vec::new() },
            attributes: [("n".into(), (n % 4).to_string())].into(),
            ..w.new_job()
        };
        let id = w.put(new).await;
        if n % 12 == 0 {
            wanted.push(id);
        }
    }
    let filter = JobFilter {
        state: Some(JobState::Pending),
        kind: Some(KIND.into()),
        queue: Some("even".into()),
        tag: Some("third".into()),
        attribute: Some(("n".into(), "0".to_owned())),
        unique_key: None,
        internal: false,
    };
    assert_eq!(found(w, filter.clone()).await, wanted);
    assert!(found(w, JobFilter { state: Some(JobState::Failed), ..filter }).await.is_empty());
}

pub async fn internal_kinds_are_hidden_unless_asked_for(w: &mut World) {
    let new = w.job_of("stepwell.webhook");
    let (internal, own) = (w.put(new).await, w.add().await);
    assert_eq!(found(w, JobFilter::default()).await, [own]);
    assert_eq!(found(w, JobFilter { internal: true, ..JobFilter::default() }).await, [internal, own]);
    let named = JobFilter { kind: Some("stepwell.webhook".into()), ..JobFilter::default() };
    assert_eq!(found(w, named).await, [internal]);
}

async fn pages_are_stable(w: &mut World, order: Order, filter: JobFilter) {
    let mut put = Vec::new();
    for _ in 0..10 {
        put.push(w.add().await);
    }
    if order == Order::NewestFirst {
        put.reverse();
    }
    let mut request = PageRequest { order, limit: 3, after: None };
    let mut seen = Vec::new();
    loop {
        let page = w.store().list(filter.clone(), request.clone()).await.expect("readable");
        seen.extend(page.items.iter().map(|job| job.id));
        let Some(next) = page.next else { break };
        request.after = Some(next);
        // The newest job belongs behind the last page, or before the first.
        if seen.len() < 10 {
            let new = w.add().await;
            if order == Order::OldestFirst {
                put.push(new);
            }
        }
    }
    assert_eq!(seen, put);
}

pub async fn pages_from_the_oldest_are_stable_under_inserts(w: &mut World) {
    pages_are_stable(w, Order::OldestFirst, JobFilter::default()).await;
}
pub async fn pages_from_the_newest_are_stable_under_inserts(w: &mut World) {
    pages_are_stable(w, Order::NewestFirst, JobFilter::default()).await;
}
pub async fn filtered_pages_are_stable_under_inserts(w: &mut World) {
    let filter = JobFilter { state: Some(JobState::Pending), ..JobFilter::default() };
    pages_are_stable(w, Order::NewestFirst, filter).await;
}

pub async fn a_deleted_job_does_not_disturb_the_pages(w: &mut World) {
    let mut put = Vec::new();
    for _ in 0..6 {
        let id = w.add().await;
        w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
        put.push(id);
    }
    let mut request = PageRequest { order: Order::OldestFirst, limit: 2, after: None };
    let first = w.store().list(JobFilter::default(), request.clone()).await.expect("readable");
    w.ask(put[1], Command::Delete).await.expect("deleted");
    w.ask(put[2], Command::Delete).await.expect("deleted");
    request.after = first.next;
    assert_eq!(pages(w, JobFilter::default(), request).await, put[3..]);
}

pub async fn a_limit_is_kept_within_its_bounds(w: &mut World) {
    let jobs: Vec<NewJob> = (0..limits::PAGE_MAX + 5).map(|_| w.new_job()).collect();
    w.store().enqueue(jobs).await.expect("stored");
    for (limit, n) in [(0, 1), (7, 7), (usize::MAX, limits::PAGE_MAX)] {
        let request = PageRequest { limit, ..PageRequest::default() };
        let page = w.store().list(JobFilter::default(), request).await.expect("readable");
        assert_eq!(page.items.len(), n);
        assert!(page.next.is_some());
    }
}

pub async fn a_rare_match_is_found_beyond_one_scan(w: &mut World) {
    let rare = |new: NewJob| NewJob { tags: vec!["rare".into(), "common".into()], ..new };
    let common = |new: NewJob| NewJob { tags: vec!["common".into()], ..new };
    let first = rare(w.new_job());
    let mut wanted = vec![w.put(first).await];
    for _ in 0..6 {
        let jobs: Vec<NewJob> = (0..limits::LIST_SCAN_MAX / 5).map(|_| common(w.new_job())).collect();
        w.store().enqueue(jobs).await.expect("stored");
    }
    let last = rare(w.new_job());
    wanted.push(w.put(last).await);
    let state = Some(JobState::Pending);
    assert_eq!(found(w, JobFilter { tag: Some("rare".into()), state, ..JobFilter::default() }).await, wanted);
    let attribute = Some(("nothing".into(), "here".to_owned()));
    assert!(
        found(w, JobFilter { attribute, tag: Some("common".into()), ..JobFilter::default() })
            .await
            .is_empty()
    );
}

pub async fn counts_tell_queues_kinds_and_states_apart(w: &mut World) {
    assert!(w.store().counts().await.expect("readable").is_empty());
    for (queue, kind) in [("b", "y"), ("a", "x"), ("b", "x"), ("a", "x")] {
        let new = NewJob { queue: Some(queue.into()), ..w.job_of(kind) };
        w.put(new).await;
    }
    let id = w.add().await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let count =
        |queue: &str, kind: &str, state, n| Count { queue: queue.into(), kind: kind.into(), state, n };
    assert_eq!(
        w.store().counts().await.expect("readable"),
        [
            count("a", "x", JobState::Pending, 2),
            count("b", "x", JobState::Pending, 1),
            count("b", "y", JobState::Pending, 1),
            count(QUEUE, KIND, JobState::Cancelled, 1),
        ]
    );
}

pub async fn counts_follow_a_job_through_its_life(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let is = |state, n| Count { queue: QUEUE.into(), kind: KIND.into(), state, n };
    let counts = async |w: &World| w.store().counts().await.expect("readable");
    assert_eq!(counts(w).await, [is(JobState::Running, 1)]);
    w.own(&hold, Command::Release).await.expect("released");
    assert_eq!(counts(w).await, [is(JobState::Pending, 1)]);
    let hold = w.claim_one(&worker).await;
    w.ask(hold.id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    assert_eq!(counts(w).await, [is(JobState::Cancelling, 1)]);
    w.own(&hold, Command::AcknowledgeCancel).await.expect("stopped");
    assert_eq!(counts(w).await, [is(JobState::Cancelled, 1)]);
    w.ask(hold.id, Command::Delete).await.expect("deleted");
    assert!(counts(w).await.is_empty(), "what is not listed is zero");
}
