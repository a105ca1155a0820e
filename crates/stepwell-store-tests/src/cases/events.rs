use crate::prelude::*;

use super::failures::fail;

fn of(types: &[EventType]) -> EventFilter {
    EventFilter { types: types.to_vec(), ..EventFilter::default() }
}

pub async fn positions_are_dense_and_in_commit_order(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let other = w.add().await;
    w.complete(&hold, "a").await;
    w.ask(other, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.own(&hold, Command::Release).await.expect("released");
    w.claim_one(&worker).await;
    let events = w.all_events().await;
    let positions: Vec<u64> = events.iter().map(|event| event.pos).collect();
    assert_eq!(positions, (1..=events.len() as u64).collect::<Vec<_>>());
    let page = w.events(0, EventFilter::default()).await;
    assert_eq!((page.floor, page.head, page.next), (1, events.len() as u64, events.len() as u64));
}

pub async fn a_jobs_own_order_has_no_gap(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.add().await;
    w.finish(&hold).await;
    let history = w.history(hold.id).await;
    let seqs: Vec<u64> = history.iter().map(|event| event.job_seq).collect();
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
    assert_eq!(w.row(hold.id).await.next_seq, 10);
    let whole: Vec<Event> = w.all_events().await.into_iter().filter(|event| event.job == hold.id).collect();
    assert_eq!(history, whole, "both ways of reading agree");
}

pub async fn a_history_can_be_read_from_anywhere(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.finish(&hold).await;
    let history = w.history(hold.id).await;
    let last = history.last().expect("there are some").pos;
    for after in (0..=last + 1).chain([u64::MAX]) {
        let part = w.store().history(hold.id, after, 100).await.expect("readable");
        let expected: Vec<Event> = history.iter().filter(|event| event.pos > after).cloned().collect();
        assert_eq!(part, expected, "after {after}");
    }
    let stranger = w.id();
    assert!(w.store().history(stranger, 0, 100).await.expect("readable").is_empty());
}

pub async fn a_history_can_be_read_piece_by_piece(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.finish(&hold).await;
    let history = w.history(hold.id).await;
    for limit in [1, 2, 3] {
        let (mut read, mut after, mut pieces) = (Vec::new(), 0, 0);
        loop {
            let piece = w.store().history(hold.id, after, limit).await.expect("readable");
            let Some(last) = piece.last() else { break };
            after = last.pos;
            pieces += 1;
            read.extend(piece);
        }
        assert_eq!(read, history, "{limit} at a time");
        // It was enqueued, claimed, and three phases ended.
        assert_eq!(pieces, 5_usize.div_ceil(limit), "{limit} at a time");
    }
}

pub async fn one_commits_events_can_be_read_from_their_middle(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    let all = w.all_events().await;
    for after in 0..=all.len() {
        let page = w.events(after as u64, EventFilter::default()).await;
        assert_eq!(page.events, all[after..], "after {after}");
    }
}

pub async fn pages_join_without_loss(w: &mut World) {
    for _ in 0..3 {
        let (_, hold) = w.claimed().await;
        w.finish(&hold).await;
    }
    let all = w.all_events().await;
    for limit in [1, 2, 5] {
        let (mut after, mut read) = (0, Vec::new());
        loop {
            let page = w.store().events(after, limit, EventFilter::default()).await.expect("readable");
            if page.next == after {
                break;
            }
            read.extend(page.events);
            after = page.next;
        }
        assert_eq!(read, all, "{limit} rows at a time");
    }
}

pub async fn a_page_without_a_match_still_moves_on(w: &mut World) {
    for _ in 0..20 {
        w.add().await;
    }
    let filter = of(&[EventType::Completed]);
    let page = w.store().events(0, 10, filter.clone()).await.expect("readable");
    assert_eq!((page.events.len(), page.next, page.head), (0, 10, 20));
    let page = w.store().events(page.next, 10, filter).await.expect("readable");
    assert_eq!(page.next, 20);
}

pub async fn the_end_of_the_log_stays_the_end(w: &mut World) {
    w.add().await;
    let page = w.events(1, EventFilter::default()).await;
    assert_eq!((page.events.len(), page.next, page.head), (0, 1, 1));
    assert_eq!(w.store().head(), 1);
}

pub async fn an_empty_log_has_no_head(w: &mut World) {
    let page = w.events(0, EventFilter::default()).await;
    assert_eq!((page.events.len(), page.next, page.floor, page.head), (0, 0, 1, 0));
    assert_eq!(w.store().head(), 0);
}

pub async fn a_cursor_of_another_log_can_be_told(w: &mut World) {
    w.add().await;
    let page = w.events(1_000, EventFilter::default()).await;
    assert!(page.events.is_empty());
    assert_eq!(page.head, 1, "the reader is ahead of it");
}

pub async fn events_are_found_by_job(w: &mut World) {
    let (first, second) = (w.add().await, w.add().await);
    w.ask(first, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    for (id, n) in [(first, 2), (second, 1)] {
        let page = w.events(0, EventFilter { job: Some(id), ..EventFilter::default() }).await;
        assert_eq!(page.events.len(), n);
        assert!(page.events.iter().all(|event| event.job == id));
        assert_eq!(page.next, 3, "the rest was looked at");
    }
    let stranger = Some(w.id());
    assert!(w.events(0, EventFilter { job: stranger, ..EventFilter::default() }).await.events.is_empty());
}

pub async fn events_are_found_by_kind(w: &mut World) {
    for kind in ["x", "y", "x"] {
        let new = w.job_of(kind);
        w.put(new).await;
    }
    for (kind, n) in [("x", 2), ("y", 1), ("z", 0)] {
        let page = w.events(0, EventFilter { kind: Some(kind.into()), ..EventFilter::default() }).await;
        assert_eq!(page.events.len(), n, "{kind}");
    }
}

pub async fn events_are_found_by_the_queue_of_their_time(w: &mut World) {
    let id = w.add().await;
    w.ask(id, Command::Edit(Edit { queue: Some("other".into()), ..Edit::default() })).await.expect("edited");
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    for (queue, n) in [(QUEUE, 1), ("other", 2)] {
        let page = w.events(0, EventFilter { queue: Some(queue.into()), ..EventFilter::default() }).await;
        assert_eq!(page.events.len(), n, "{queue}");
    }
}

pub async fn events_are_found_by_type(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.finish(&hold).await;
    let page = w.events(0, of(&[EventType::PhaseCompleted, EventType::Completed])).await;
    let types: Vec<&str> = page.events.iter().map(|event| event.ty.as_str()).collect();
    assert_eq!(types, ["job:phase:completed", "job:phase:completed", "job:phase:completed", "job:completed"]);
    assert!(w.events(0, of(&[EventType::Deleted])).await.events.is_empty());
}

pub async fn filters_join(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let other = w.job_of("other");
    w.put(other).await;
    let filter = EventFilter {
        job: Some(hold.id),
        kind: Some(KIND.into()),
        queue: Some(QUEUE.into()),
        types: vec![EventType::Enqueued],
        ..EventFilter::default()
    };
    assert_eq!(w.events(0, filter.clone()).await.events.len(), 1);
    let nothing = EventFilter { kind: Some("other".into()), ..filter };
    assert!(w.events(0, nothing).await.events.is_empty());
}

pub async fn internal_kinds_are_hidden_unless_asked_for(w: &mut World) {
    let internal = w.job_of("stepwell.webhook");
    w.put(internal).await;
    w.add().await;
    let found = |filter| async { w.events(0, filter).await.events.len() };
    assert_eq!(found(EventFilter::default()).await, 1);
    assert_eq!(found(EventFilter { internal: true, ..EventFilter::default() }).await, 2);
    let named = EventFilter { kind: Some("stepwell.webhook".into()), ..EventFilter::default() };
    assert_eq!(found(named).await, 1);
}

pub async fn a_refused_operation_says_nothing(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let before = w.all_events().await;
    assert!(w.own(&hold, complete("b", "1")).await.is_err());
    assert!(w.ask(hold.id, Command::Delete).await.is_err());
    let second = vec![complete("a", "1"), complete("c", "1")];
    assert!(w.send(hold.id, hold.fence, second).await.is_err(), "the whole request is refused");
    assert_eq!(w.all_events().await, before);
    assert_eq!(shape(&w.row(hold.id).await), "RPP");
    w.complete(&hold, "a").await;
    assert_eq!(w.all_events().await.len(), before.len() + 2);
}

pub async fn a_request_without_commands_changes_nothing(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let applied = w.send(hold.id, hold.fence, Vec::new()).await.expect("answered");
    assert!(!applied.changed);
    assert_eq!(applied.job, hold.job);
    assert_eq!(w.row(hold.id).await, hold.job);
}

pub async fn events_carry_the_time_and_attempt_of_their_commit(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let start = w.now();
    w.advance(seconds(5));
    w.own(&hold, fail("a", Verdict::RetryIn(seconds(5)))).await.expect("failed");
    w.advance(seconds(5));
    w.claim_one(&worker).await;
    let seen: Vec<(u64, u32)> = w
        .history(hold.id)
        .await
        .iter()
        .map(|event| (event.at.since(start).as_secs(), event.attempt))
        .collect();
    assert_eq!(seen, [(0, 0), (0, 1), (0, 1), (5, 1), (5, 1), (10, 2), (10, 2)]);
}

pub async fn listeners_are_told_of_commits(w: &mut World) {
    use std::sync::{Arc, Mutex};
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    w.store().listen(Box::new(move |change| ear.lock().expect("no panic while listening").push(change)));
    let drain = || std::mem::take(&mut *heard.lock().expect("no panic while listening"));

    w.add().await;
    assert!(drain().iter().any(|change| change.ready && change.events));
    let later = NewJob { when: When::After(seconds(60)), ..w.new_job() };
    w.put(later).await;
    let due = Some(w.now() + seconds(60));
    assert!(drain().iter().any(|change| change.due == due && !change.ready));
    let worker = w.worker().await;
    let hold = w.claim_one(&worker).await;
    drain();
    w.ask(hold.id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    assert!(drain().iter().any(|change| change.cancelling && change.events));
    assert!(w.ask(hold.id, Command::Delete).await.is_err());
    assert!(drain().is_empty(), "nothing was committed");
}
