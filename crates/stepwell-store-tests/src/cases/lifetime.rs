use crate::prelude::*;

pub async fn a_store_describes_itself(w: &mut World) {
    let description = w.store().describe();
    assert!(!description.store.is_empty() && !description.location.is_empty());
    assert!(!description.durability.is_empty() && !description.generation.is_empty());
    assert_eq!(w.store().describe().generation, description.generation);
}

pub async fn the_stores_clock_decides(w: &mut World) {
    assert!(w.clock().is_manual());
    let before = w.now();
    w.advance(seconds(5));
    let id = w.add().await;
    assert_eq!(w.row(id).await.enqueued_at, before + seconds(5));
}

fn is_closed<T>(answer: stepwell_core::Result<T>) -> bool {
    answer.err().is_some_and(|error: Error| error.is_closed())
}

pub async fn a_closed_store_says_so(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let new = w.new_job();
    let store = w.store();
    store.close().await.expect("closed");
    assert!(is_closed(store.enqueue(vec![new]).await));
    assert!(is_closed(w.own(&hold, Command::Release).await));
    assert!(is_closed(store.register(vec![plan()]).await));
    assert!(is_closed(store.maintain(stepwell_core::store::Maintain { jitter: 0.0, session: None }).await));
    assert!(is_closed(store.prune(Retention::default()).await));
    assert!(is_closed(store.job(hold.id).await));
    assert!(is_closed(store.list(JobFilter::default(), PageRequest::default()).await));
    assert!(is_closed(store.events(0, 10, EventFilter::default()).await));
    assert!(is_closed(store.counts().await));
    assert!(is_closed(store.owned(worker.session).await));
    assert!(is_closed(store.close_session(worker.session).await));
    assert!(is_closed(store.beat(worker.session)));
    assert!(is_closed(w.try_claim(&worker, 1).await));
}

pub async fn a_second_close_is_no_error(w: &mut World) {
    w.store().close().await.expect("closed");
    w.store().close().await.expect("closed already");
    assert!(!w.store().describe().store.is_empty(), "what it was can still be said");
}

pub async fn everything_acknowledged_survives_a_restart(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.own(&hold, Command::SaveCheckpoint { phase: "b".into(), value: json("1") }).await.expect("saved");
    // What a session still holds is given back when its store closes, which would be a change.
    w.own(&hold, Command::Release).await.expect("released");
    let new = NewJob { when: When::After(seconds(60)), tags: vec!["t".into()], ..w.unique_job("x") };
    let later = w.put(new).await;
    let before = (w.row(hold.id).await, w.row(later).await, w.all_events().await);
    let counts = w.store().counts().await.expect("readable");
    let generation = w.store().describe().generation;
    w.reopen().await;
    assert_eq!((w.row(hold.id).await, w.row(later).await, w.all_events().await), before);
    assert_eq!(w.store().counts().await.expect("readable"), counts);
    assert_eq!(w.store().describe().generation, generation);
    assert_eq!(w.store().head(), before.2.len() as u64);
    let next = w.add().await;
    assert_eq!(w.last_event(next).await.pos, before.2.len() as u64 + 1);
    let other = w.worker().await;
    let mut claimed: Vec<JobId> = w.claim(&other, 9).await.iter().map(|hold| hold.id).collect();
    claimed.sort();
    let mut expected = [hold.id, next];
    expected.sort();
    assert_eq!(claimed, expected);
}
