use crate::{
    cases::failures::fail,
    prelude::*,
    views::{VIEWS, compare, differences},
};

async fn agree(w: &World) {
    let differences = differences(w).await;
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Jobs in every state, with what makes their rows different.
async fn jobs_of_every_kind(w: &mut World) {
    let mut long = plan_of("long", &["a", "b", "c"]);
    long.phases[1].queue = Some("two".into());
    let mut wide = plan_of("wide", &["list", "each", "sum"]);
    wide.phases[1].fan_out = true;
    let worker = w.worker_of(vec![plan(), long, wide], &[QUEUE, "two"]).await;

    // Completed, with a large result and one of nothing.
    w.add().await;
    let hold = w.claim_one(&worker).await;
    let large = Command::CompletePhase { phase: "a".into(), result: json_of_bytes(3_000) };
    w.own(&hold, large).await.expect("recorded");
    w.own(&hold, Command::StartPhase).await.expect("started");
    let nothing = Command::CompletePhase { phase: "b".into(), result: json("null") };
    w.own(&hold, nothing).await.expect("recorded");
    w.own(&hold, Command::StartPhase).await.expect("started");
    w.complete(&hold, "c").await;

    // Failed, set going again, and failed in its second run.
    let twice = w.add().await;
    for _ in 0..2 {
        let hold = w.claim_one(&worker).await;
        if hold.job.run == 1 {
            w.complete(&hold, "a").await;
        }
        w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed");
        if hold.job.run == 1 {
            let retry = Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload: None };
            w.ask(twice, retry).await.expect("retried");
        }
    }

    // Run again from the start, so that its results are archived, and waiting for its next try.
    let again = w.add().await;
    let hold = w.claim_one(&worker).await;
    let large = Command::CompletePhase { phase: "a".into(), result: json_of_bytes(3_000) };
    w.own(&hold, large).await.expect("recorded");
    w.own(&hold, Command::StartPhase).await.expect("started");
    w.complete(&hold, "b").await;
    w.complete(&hold, "c").await;
    w.ask(again, Command::Retry { from: RetryFrom::Start, rerun: true, payload: None }).await.expect("again");
    let hold = w.claim_one(&worker).await;
    w.own(&hold, fail("a", Verdict::RetryIn(seconds(60)))).await.expect("failed");

    // Handed over to another queue.
    let new = NewJob { priority: -2, ..w.job_of("long") };
    w.put(new).await;
    let hold = w.claim_one(&worker).await;
    w.own(&hold, complete("a", "1")).await.expect("handed over");

    // Cancelled before it ran, and deleted.
    for delete in [false, true] {
        let job = w.add().await;
        w.ask(job, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
        if delete {
            w.ask(job, Command::Delete).await.expect("deleted");
        }
    }
    // Running in the midst of its elements.
    let new = w.job_of("wide");
    w.put(new).await;
    let holds = w.claim(&worker, 9).await;
    let hold = holds.iter().find(|hold| &*hold.job.kind == "wide").expect("it is claimed");
    w.own(hold, complete("list", "[1,2,3]")).await.expect("recorded");
    w.own(hold, Command::StartPhase).await.expect("started");
    for index in [0, 2] {
        let (input_hash, result) = (format!("h{index}"), json("[1]"));
        let end = Command::EndElement { phase: "each".into(), index, input_hash, result };
        w.own(hold, end).await.expect("recorded");
    }
    // Asked to stop, snoozed, interrupted, expired.
    for what in 0..3 {
        let job = w.add().await;
        let hold = w.claim_one(&worker).await;
        match what {
            0 => drop(w.ask(job, Command::Cancel { grace: seconds(600) }).await.expect("asked")),
            1 => drop(w.own(&hold, Command::Snooze { delay: seconds(600) }).await.expect("snoozed")),
            _ => drop(
                w.own(&hold, Command::SaveCheckpoint { phase: "a".into(), value: json("[7]") })
                    .await
                    .expect("saved"),
            ),
        }
    }
    let late = NewJob { expires: Some(When::After(seconds(1))), ..w.new_job() };
    w.put(late).await;
    // Waiting, with everything that can be said about a job.
    let full = NewJob {
        when: When::After(seconds(900)),
        tags: vec!["b".into(), "a\"'".into()],
        attributes: BTreeMap::from([("customer".into(), "ä 42".into())]),
        priority: 9,
        expires: Some(When::After(seconds(5_000))),
        ..w.unique_job("x")
    };
    w.put(full).await;
    let stranger = w.job_of("nobody");
    w.put(stranger).await;
}

pub async fn the_views_show_what_the_store_shows(w: &mut World) {
    agree(w).await;
    jobs_of_every_kind(w).await;
    agree(w).await;
    w.outlive_sessions();
    w.maintain().await;
    agree(w).await;
    let keep = Retention {
        completed: Keep::EVERYTHING.at_most(0),
        events: Keep::EVERYTHING.at_most(4),
        ..Retention::KEEP_EVERYTHING
    };
    w.prune(keep).await;
    agree(w).await;
}

/// What the views are held against has every state in it, and a view that showed something else would be caught.
pub async fn a_view_that_is_wrong_is_caught(w: &mut World) {
    jobs_of_every_kind(w).await;
    let column = |rows: &[crate::fixture::ViewRow], column: &str| -> std::collections::BTreeSet<String> {
        rows.iter().filter_map(|row| row[column].as_str()).map(str::to_owned).collect()
    };
    let mut views = Vec::new();
    for name in VIEWS {
        let Some(rows) = w.view(name).await else { return };
        views.push((name, rows));
    }
    assert_eq!(column(&views[0].1, "state").len(), 6, "every state of a job");
    assert_eq!(column(&views[1].1, "state").len(), 6, "every state of a phase");
    assert!(column(&views[2].1, "type").len() >= 12, "many types of events");
    for (name, rows) in views {
        let columns: Vec<String> = rows[0].keys().cloned().collect();
        for column in columns {
            let mut wrong = rows.clone();
            wrong[0].insert(column.clone(), value!("something else"));
            assert_eq!(compare(name, &wrong, &rows).len(), 1, "{name}.{column}");
            wrong[0].remove(&column);
            assert_eq!(compare(name, &wrong, &rows).len(), 1, "{name} without {column}");
        }
        assert!(!compare(name, &rows[1..], &rows).is_empty());
    }
}
