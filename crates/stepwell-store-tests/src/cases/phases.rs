use crate::prelude::*;

async fn result(w: &World, id: JobId, phase: &str) -> Option<Json> {
    w.store().result(id, phase.into()).await.expect("the result can be read")
}

pub async fn a_job_runs_through_its_phases(w: &mut World) {
    let (_, hold) = w.claimed().await;
    assert_eq!(shape(&w.complete(&hold, "a").await), "CRP");
    assert_eq!(shape(&w.complete(&hold, "b").await), "CCR");
    w.advance(seconds(3));
    let row = w.complete(&hold, "c").await;
    assert_eq!((row.state, row.reason, row.lease), (JobState::Completed, None, None));
    assert_eq!((row.finished_at, row.epoch), (Some(w.now()), 2));
    assert_eq!(shape(&row), "CCC");
    assert_eq!(
        w.types(hold.id).await,
        [
            "job:enqueued",
            "job:started",
            "job:phase:started",
            "job:phase:completed",
            "job:phase:started",
            "job:phase:completed",
            "job:phase:started",
            "job:phase:completed",
            "job:completed",
        ]
    );
}

pub async fn a_completed_phase_says_its_hash(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let row = w.complete(&hold, "a").await;
    let recorded = row.phases[0].result.clone().expect("recorded");
    let event = &w.history(hold.id).await[3];
    assert_eq!(event.phase.as_deref(), Some("a"));
    assert_eq!(data(event), value!({ "bytes": recorded.bytes, "hash": recorded.hash }));
}

pub async fn a_small_result_is_kept_in_the_row(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let text = "[ 1.0,\"\u{e9}\" ]";
    w.own(&hold, complete("a", text)).await.expect("recorded");
    let recorded = w.row(hold.id).await.phases[0].result.clone().expect("recorded");
    assert_eq!(recorded.inline, Some(json(text)));
    assert_eq!(result(w, hold.id, "a").await, Some(json(text)));
}

pub async fn results_around_the_inline_limit_are_kept_byte_for_byte(w: &mut World) {
    let (_, hold) = w.claimed().await;
    for (phase, more) in [("a", 0), ("b", 1), ("c", 100_000)] {
        let value = json_of_bytes(limits::INLINE_RESULT_BYTES_MAX + more);
        let end = Command::CompletePhase { phase: phase.into(), result: value.clone() };
        w.send(hold.id, hold.fence, vec![end, Command::StartPhase]).await.expect("recorded");
        let row = w.row(hold.id).await;
        let recorded = row.phase(phase).and_then(|phase| phase.result.clone()).expect("recorded");
        assert_eq!(recorded.inline.is_some(), more == 0);
        assert_eq!(recorded.bytes, value.bytes());
        assert_eq!(recorded.hash, stepwell_core::phase::short_hash(value.as_str()));
        assert_eq!(result(w, hold.id, phase).await, Some(value));
    }
}

pub async fn what_has_no_result_has_none(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let stranger = w.id();
    for (id, phase) in [(hold.id, "a"), (hold.id, "nothing"), (stranger, "a")] {
        assert_eq!(result(w, id, phase).await, None);
        assert_eq!(w.store().checkpoint(id, phase.into()).await.expect("readable"), None);
        assert!(w.store().elements(id, phase.into()).await.expect("readable").is_empty());
    }
    assert!(w.store().log(stranger).await.expect("readable").is_empty());
}

pub async fn a_result_over_the_limit_is_refused(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let result = json_of_bytes(limits::COLLECTED_BYTES_MAX + 1);
    let before = w.row(hold.id).await;
    let error =
        w.own(&hold, Command::CompletePhase { phase: "a".into(), result }).await.expect_err("too long");
    assert_eq!(error.field(), Some("result"));
    assert_eq!(w.row(hold.id).await, before);
}

pub async fn a_value_that_is_nested_too_deep_is_refused(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let deepest = limits::JSON_DEPTH_MAX;
    let save = |text: String| Command::SaveCheckpoint { phase: "a".into(), value: json(&text) };
    let error = w.own(&hold, save(nested(deepest + 1))).await.expect_err("refused");
    assert_eq!(error.field(), Some("checkpoint"), "{error}");
    w.own(&hold, save(nested(deepest))).await.expect("stored");
    // One more level for the list of what elements came to.
    let error = w.own(&hold, complete("a", &nested(deepest + 2))).await.expect_err("refused");
    assert_eq!(error.field(), Some("result"), "{error}");
    w.own(&hold, complete("a", &nested(deepest + 1))).await.expect("stored");
}

pub async fn a_result_with_the_null_character_is_refused(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let error = w.own(&hold, complete("a", r#""\u0000""#)).await.expect_err("refused");
    assert_eq!(error.field(), Some("result"));
}

pub async fn a_phase_that_does_not_run_cannot_end(w: &mut World) {
    let (_, hold) = w.claimed().await;
    for phase in ["b", "nothing"] {
        assert!(w.own(&hold, complete(phase, "1")).await.expect_err("it does not run").is_lease_lost());
    }
    w.complete(&hold, "a").await;
    let again = w.own(&hold, complete("a", "2")).await;
    assert!(again.expect_err("it was recorded already").is_lease_lost());
    assert_eq!(result(w, hold.id, "a").await, Some(json(r#"{"of":"a"}"#)));
}

pub async fn a_second_phase_does_not_start_beside_the_first(w: &mut World) {
    let (_, hold) = w.claimed().await;
    assert!(w.own(&hold, Command::StartPhase).await.expect_err("one runs").is_wrong_state());
}

pub async fn a_phase_of_another_queue_hands_the_job_over(w: &mut World) {
    let mut spec = plan();
    spec.phases[1].queue = Some("gpu".into());
    let worker = w.worker_of(vec![spec.clone()], &[QUEUE]).await;
    let id = w.add().await;
    let hold = w.claim_one(&worker).await;
    let row = w.complete(&hold, "a").await;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::HandedOver)));
    assert_eq!((&*row.queue, row.crashes, row.lease, row.available_at), ("gpu", 0, None, w.now()));
    assert_eq!(w.last_event(id).await.ty, EventType::PhaseCompleted);
    assert!(w.claim(&worker, 10).await.is_empty(), "it waits elsewhere");
    let gpu = w.worker_of(vec![spec], &["gpu"]).await;
    let second = w.claim_one(&gpu).await;
    assert_eq!(shape(&second.job), "CRP");
    let row = w.complete(&second, "b").await;
    assert_eq!((&*row.queue, row.state), (QUEUE, JobState::Pending), "and back");
}

pub async fn a_checkpoint_is_replaced_and_goes_with_the_phases_end(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let read = || w.store().checkpoint(hold.id, "a".into());
    for value in [r#"{"at":1}"#, r#"{ "at":2 }"#] {
        let save = Command::SaveCheckpoint { phase: "a".into(), value: json(value) };
        let row = w.own(&hold, save).await.expect("saved").job;
        assert!(row.phases[0].checkpoint);
        assert_eq!(read().await.expect("readable"), Some(json(value)));
    }
    assert_eq!(w.types(hold.id).await.len(), 3, "a checkpoint says nothing");
    assert!(!w.complete(&hold, "a").await.phases[0].checkpoint);
    assert_eq!(read().await.expect("readable"), None);
}

pub async fn checkpoints_belong_to_the_running_phase(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let save = |phase: &str, value: Json| Command::SaveCheckpoint { phase: phase.into(), value };
    assert!(w.own(&hold, save("b", json("1"))).await.expect_err("it does not run").is_lease_lost());
    let long = json_of_bytes(limits::CHECKPOINT_BYTES_MAX + 1);
    assert_eq!(w.own(&hold, save("a", long)).await.expect_err("too long").field(), Some("checkpoint"));
    let longest = json_of_bytes(limits::CHECKPOINT_BYTES_MAX);
    w.own(&hold, save("a", longest.clone())).await.expect("saved");
    assert_eq!(w.store().checkpoint(hold.id, "a".into()).await.expect("readable"), Some(longest));
}

fn element(index: u32, result: &str) -> Command {
    let (phase, input_hash) = ("a".into(), format!("hash-{index}"));
    Command::EndElement { phase, index, input_hash, result: json(result) }
}

pub async fn elements_are_kept_in_order_until_the_phase_ends(w: &mut World) {
    let (_, hold) = w.claimed().await;
    for index in [10, 2, 100_000, 0] {
        w.own(&hold, element(index, &format!("[{index}]"))).await.expect("recorded");
    }
    let elements = w.store().elements(hold.id, "a".into()).await.expect("readable");
    assert_eq!(elements.iter().map(|one| one.index).collect::<Vec<_>>(), [0, 2, 10, 100_000]);
    assert_eq!((&*elements[2].input_hash, elements[2].result.as_str()), ("hash-10", "[10]"));
    w.complete(&hold, "a").await;
    assert!(w.store().elements(hold.id, "a".into()).await.expect("readable").is_empty());
}

pub async fn many_elements_of_one_request_are_one_commit(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let commands = (0..50).map(|index| element(index, "1")).collect();
    w.send(hold.id, hold.fence, commands).await.expect("recorded");
    assert_eq!(w.store().elements(hold.id, "a".into()).await.expect("readable").len(), 50);
    let mut commands: Vec<Command> = (50..60).map(|index| element(index, "1")).collect();
    commands.push(complete("b", "1"));
    assert!(w.send(hold.id, hold.fence, commands).await.is_err());
    let kept = w.store().elements(hold.id, "a".into()).await.expect("readable").len();
    assert_eq!(kept, 50, "a request that is refused changes nothing");
}

pub async fn an_element_over_the_limit_is_refused(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let result = json_of_bytes(limits::RESULT_BYTES_MAX + 1);
    let command = Command::EndElement { phase: "a".into(), index: 0, input_hash: String::new(), result };
    assert_eq!(w.own(&hold, command).await.expect_err("too long").field(), Some("element's result"));
}

pub async fn elements_survive_a_failed_try(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, element(3, "3")).await.expect("recorded");
    w.own(&hold, super::failures::fail("a", Verdict::RetryIn(seconds(0)))).await.expect("failed");
    w.claim_one(&worker).await;
    assert_eq!(w.store().elements(hold.id, "a".into()).await.expect("readable").len(), 1);
}

pub async fn progress_is_shown_and_said(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let progress = Progress { done: 3, total: 9, note: Some("third".into()) };
    let annotate = Command::Annotate { progress: Some(progress.clone()), lines: Vec::new() };
    let row = w.own(&hold, annotate).await.expect("annotated").job;
    assert_eq!(row.details.progress, Some(progress));
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.phase.as_deref()), (EventType::Progress, Some("a")));
    assert_eq!(data(&event), value!({ "done": 3, "total": 9, "note": "third" }));
    assert_eq!(w.complete(&hold, "a").await.details.progress, None, "it was the phase's");
}

pub async fn a_long_note_is_cut_at_a_character(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let note = Some("€".repeat(limits::NOTE_BYTES_MAX));
    let progress = Some(Progress { done: 0, total: 1, note });
    let row = w.own(&hold, Command::Annotate { progress, lines: Vec::new() }).await.expect("annotated").job;
    let note = row.details.progress.and_then(|progress| progress.note).expect("a note");
    assert!(note.ends_with("€…") && note.len() <= limits::NOTE_BYTES_MAX + 3);
}

fn lines(texts: impl IntoIterator<Item = String>) -> Command {
    let line = |text| LogLine { at: Timestamp::from_micros(7), phase: Some("a".into()), text };
    Command::Annotate { progress: None, lines: texts.into_iter().map(line).collect() }
}

pub async fn log_lines_are_kept_in_order(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.own(&hold, lines(["one".into(), "two".into()])).await.expect("logged");
    w.own(&hold, lines(["three \u{1F980}".into()])).await.expect("logged");
    let log = w.store().log(hold.id).await.expect("readable");
    assert_eq!(log.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["one", "two", "three \u{1F980}"]);
    assert_eq!((log[0].at, log[0].phase.as_deref()), (Timestamp::from_micros(7), Some("a")));
    assert_eq!(w.types(hold.id).await.len(), 3, "a log line is no event");
}

pub async fn the_oldest_log_lines_go(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let more = limits::LOG_LINES_MAX + 10;
    for chunk in 0..5 {
        let texts = (0..more / 5).map(|n| format!("{}", chunk * (more / 5) + n));
        w.own(&hold, lines(texts)).await.expect("logged");
    }
    let log = w.store().log(hold.id).await.expect("readable");
    assert_eq!(log.len(), limits::LOG_LINES_MAX);
    assert_eq!((&*log[0].text, &*log[log.len() - 1].text), ("10", &*(more - 1).to_string()));
}

pub async fn a_long_log_line_is_cut(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.own(&hold, lines(["x".repeat(limits::LOG_LINE_BYTES_MAX + 1), "a\0b".into()])).await.expect("logged");
    let log = w.store().log(hold.id).await.expect("readable");
    assert!(log[0].text.ends_with("x…") && log[0].text.len() <= limits::LOG_LINE_BYTES_MAX + 3);
    assert_eq!(log[1].text, "a\u{fffd}b");
}

pub async fn a_renamed_phase_keeps_its_data(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    let save = Command::SaveCheckpoint { phase: "b".into(), value: json("5") };
    w.own(&hold, save).await.expect("saved");
    w.own(&hold, Command::Release).await.expect("released");
    w.kill(&worker).await;
    let mut renamed = plan_of(KIND, &["first", "second", "c"]);
    renamed.phases[0].renamed_from = Some("a".into());
    renamed.phases[1].renamed_from = Some("b".into());
    let worker = w.worker_of(vec![renamed], &[QUEUE]).await;
    let hold = w.claim_one(&worker).await;
    assert_eq!(shape(&hold.job), "CRP");
    assert_eq!((&*hold.job.phases[1].name, &**hold.job.phases[1].stored_name()), ("second", "b"));
    assert_eq!(result(w, hold.id, "a").await, Some(json(r#"{"of":"a"}"#)));
    assert_eq!(w.store().checkpoint(hold.id, "b".into()).await.expect("readable"), Some(json("5")));
    let end = complete("second", &format!("\"{}\"", "y".repeat(500)));
    w.send(hold.id, hold.fence, vec![end, Command::StartPhase]).await.expect("recorded");
    assert_eq!(result(w, hold.id, "b").await.map(|result| result.bytes()), Some(502));
    assert_eq!(w.store().checkpoint(hold.id, "b".into()).await.expect("readable"), None);
}

pub async fn a_phase_inserted_behind_the_position_is_skipped(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.complete(&hold, "b").await;
    w.own(&hold, Command::Release).await.expect("released");
    w.kill(&worker).await;
    let mut spec = plan_of(KIND, &["a", "b", "c"]);
    spec.phases.insert(1, PhaseSpec::new("late"));
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    let hold = w.claim_one(&worker).await;
    assert_eq!(shape(&hold.job), "CCSR");
    let types = w.types(hold.id).await;
    assert_eq!(types[types.len() - 3..], ["job:resumed", "job:phase:skipped", "job:phase:started"]);
    assert_eq!(w.complete(&hold, "c").await.state, JobState::Completed);
}
