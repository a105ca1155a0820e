use stepwell_core::store::settled;

use crate::prelude::*;

use super::failures::fail;

/// Leaves what the application's own transaction leaves: here as an element, which is the same to every store.
async fn commit_end(w: &World, hold: &Hold, phase: &str, epoch: u64) {
    let (phase, input_hash) = (phase.into(), epoch.to_string());
    let end = Command::EndElement { phase, index: settled::INDEX, input_hash, result: json("7") };
    w.own(hold, end).await.expect("committed");
}

fn is_recorded(row: &Job, at: usize) -> bool {
    let result = row.phases[at].result.as_ref().and_then(|recorded| recorded.inline.clone());
    row.phases[at].state == PhaseState::Completed && result == Some(json("7"))
}

pub async fn a_committed_end_counts_whatever_its_owner_says(w: &mut World) {
    for command in [
        complete("a", "666"),
        fail("a", Verdict::Permanent),
        fail("a", Verdict::RetryIn(seconds(0))),
        Command::Snooze { delay: seconds(9) },
    ] {
        let (_, hold) = w.claimed().await;
        commit_end(w, &hold, "a", hold.job.epoch).await;
        let row =
            w.send(hold.id, hold.fence, vec![command, Command::StartPhase]).await.expect("recorded").job;
        assert_eq!((row.state, shape(&row).as_str()), (JobState::Running, "CRP"));
        assert!(is_recorded(&row, 0), "{row:?}");
        assert!(w.store().elements(hold.id, "a".into()).await.expect("readable").is_empty());
        w.finish_from_b(&hold).await;
    }
}

pub async fn a_job_that_is_given_back_keeps_a_committed_end(w: &mut World) {
    let (_, hold) = w.claimed().await;
    commit_end(w, &hold, "a", hold.job.epoch).await;
    let row = w.own(&hold, Command::Release).await.expect("released").job;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::Released)));
    assert_eq!(shape(&row), "CPP");
    assert!(is_recorded(&row, 0));
}

pub async fn a_dead_owners_committed_end_is_recorded_first(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    commit_end(w, &hold, "a", hold.job.epoch).await;
    w.kill(&worker).await;
    let row = w.row(hold.id).await;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::Interrupted)));
    assert_eq!(shape(&row), "CPP");
    assert!(is_recorded(&row, 0));
    let said = w.types(hold.id).await;
    assert_eq!(said[said.len() - 2..], ["job:phase:completed", "job:interrupted"]);
}

pub async fn a_dead_owners_committed_end_may_be_the_jobs(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    for (phase, next) in [("a", "b"), ("b", "c")] {
        let row = w.send(hold.id, hold.fence, vec![complete(phase, "1"), Command::StartPhase]).await;
        assert_eq!(row.expect("recorded").job.running_phase().map(|phase| &*phase.name), Some(next));
    }
    commit_end(w, &hold, "c", hold.job.epoch).await;
    w.kill(&worker).await;
    let row = w.row(hold.id).await;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Completed, "CCC"));
    assert!(is_recorded(&row, 2));
    assert_eq!(w.types(hold.id).await.last(), Some(&"job:completed"));
}

pub async fn a_forced_cancellation_keeps_a_committed_end(w: &mut World) {
    let (_, hold) = w.claimed().await;
    commit_end(w, &hold, "a", hold.job.epoch).await;
    w.ask(hold.id, Command::Cancel { grace: seconds(30) }).await.expect("asked");
    w.advance(seconds(30));
    w.maintain().await;
    let row = w.row(hold.id).await;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Cancelled, "CXX"));
    assert!(is_recorded(&row, 0));
}

pub async fn an_end_of_another_claim_counts_no_more(w: &mut World) {
    let (_, hold) = w.claimed().await;
    commit_end(w, &hold, "a", hold.job.epoch - 1).await;
    let row = w.own(&hold, fail("a", Verdict::Permanent)).await.expect("failed").job;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Failed, "FSS"));
}
