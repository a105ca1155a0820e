use crate::prelude::*;

fn expiring(new: NewJob, after: u64) -> NewJob {
    NewJob { expires: Some(When::After(seconds(after))), ..new }
}

pub async fn a_waiting_job_expires(w: &mut World) {
    w.worker().await;
    let new = expiring(w.new_job(), 10);
    let id = w.put(new).await;
    w.advance(seconds(10) - Duration::from_micros(1));
    assert_eq!(w.maintain().await.closed, 0);
    w.advance(Duration::from_micros(1));
    assert_eq!(w.maintain().await.closed, 1);
    let row = w.row(id).await;
    assert_eq!((row.state, row.reason), (JobState::Failed, Some(Reason::Expired)));
    assert_eq!((shape(&row).as_str(), row.finished_at), ("SSS", Some(w.now())));
    assert!(row.details.failure.is_some_and(|failure| failure.phase.is_none()));
    assert_eq!(w.types(id).await, ["job:enqueued", "job:failed"]);
    assert_eq!(w.maintain().await.closed, 0, "once");
}

pub async fn a_scheduled_job_can_expire_before_it_is_due(w: &mut World) {
    let new = NewJob { when: When::After(seconds(60)), ..expiring(w.new_job(), 10) };
    let id = w.put(new).await;
    w.advance(seconds(10));
    w.maintain().await;
    assert_eq!(w.row(id).await.state, JobState::Failed);
}

pub async fn a_job_that_waits_for_its_next_try_expires(w: &mut World) {
    let worker = w.worker().await;
    let new = expiring(w.new_job(), 10);
    let id = w.put(new).await;
    let hold = w.claim_one(&worker).await;
    w.complete(&hold, "a").await;
    w.own(&hold, super::failures::fail("b", Verdict::RetryIn(seconds(60)))).await.expect("failed");
    w.advance(seconds(10));
    assert_eq!(w.maintain_for(Some(worker.session), 0.0).await.closed, 1);
    assert_eq!(shape(&w.row(id).await), "CSS");
}

pub async fn an_expired_job_of_an_unknown_kind_is_closed(w: &mut World) {
    let new = expiring(w.job_of("unknown"), 1);
    let id = w.put(new).await;
    w.advance(seconds(1));
    w.maintain().await;
    let row = w.row(id).await;
    assert_eq!((row.state, row.phases.len()), (JobState::Failed, 0));
}

pub async fn many_expire_over_several_passes(w: &mut World) {
    let n = limits::MAINTENANCE_BATCH_MAX + 20;
    let jobs: Vec<NewJob> = (0..n).map(|_| expiring(w.new_job(), 1)).collect();
    w.store().enqueue(jobs).await.expect("stored");
    w.advance(seconds(1));
    let first = w.maintain().await;
    assert_eq!((first.closed, first.more), (limits::MAINTENANCE_BATCH_MAX, true));
    let second = w.maintain().await;
    assert_eq!((second.closed, second.more), (20, false));
}

pub async fn maintenance_of_nothing_does_nothing(w: &mut World) {
    assert_eq!(w.maintain().await, stepwell_core::store::Maintained::default());
    w.add().await;
    assert_eq!(w.maintain().await, stepwell_core::store::Maintained::default());
}
