//! Wrong input: each has a message that a user can act on.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::time::Duration;

use stepwell::{
    Ctx, Job, JobState, Json, Phase, PhaseResult, Plan, Stepwell, Unique, Worker, limits, testing::TestBed,
};
use support::{Second, Spell, Speller};

#[derive(serde::Serialize, serde::Deserialize)]
struct Twice;
impl Job for Twice {
    const KIND: &'static str = "twice";
    type Output = ();
}
struct DeclaresTwice;
impl Worker for DeclaresTwice {
    type Job = Twice;
    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        plan.phase("same", (), Self::nothing);
        plan.phase("same", (), Self::nothing)
    }
}
impl DeclaresTwice {
    async fn nothing(&self, _: &Ctx<Twice>) -> PhaseResult<()> {
        Ok(())
    }
}
struct ReturnsTheFirst;
impl Worker for ReturnsTheFirst {
    type Job = Twice;
    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        let first = plan.phase("first", (), Self::nothing);
        plan.phase("second", (), Self::nothing);
        first
    }
}
impl ReturnsTheFirst {
    async fn nothing(&self, _: &Ctx<Twice>) -> PhaseResult<()> {
        Ok(())
    }
}

async fn refusal(builder: stepwell::Builder) -> String {
    match builder.open().await {
        Ok(_) => panic!("it was to be refused"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn wrong_plans_are_told_when_the_queue_is_opened() {
    let text = refusal(Stepwell::in_memory().worker(DeclaresTwice)).await;
    assert_eq!(text, "`plan of `twice`` declares the phase `same` twice; rename one of them");
    let text = refusal(Stepwell::in_memory().worker(ReturnsTheFirst)).await;
    assert!(text.contains("returns phase `first`, but its last phase is `second`"), "{text}");
    let builder =
        Stepwell::in_memory().worker(Speller::new(Second::Return)).worker(Speller::new(Second::Return));
    assert!(refusal(builder).await.contains("has two workers"));
    assert!(refusal(Stepwell::in_memory().queue("", 1)).await.contains("`queue` must not be empty"));
}

#[tokio::test]
async fn a_payload_over_the_limit_names_the_limit() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let error = bed.enqueue(Spell::new(&"x".repeat(limits::PAYLOAD_BYTES_MAX))).await.unwrap_err();
    assert_eq!(error.field(), Some("payload"));
    assert!(error.to_string().contains("the limit is 1048576"), "{error}");
}

#[tokio::test]
async fn one_wrong_job_of_many_does_not_cost_the_others_their_place() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let words = ["a", "b", "c"].map(Spell::new);
    let answers = bed
        .enqueue_many(words)
        .each(|spell, enqueue| if spell.word == "b" { enqueue.tag("") } else { enqueue })
        .await
        .unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(answers[1].as_ref().unwrap_err().field(), Some("tag"));
}

#[tokio::test]
async fn a_unique_key_is_refused_to_a_retry_while_another_job_holds_it() {
    let bed = TestBed::with(Speller::new(Second::FailForGood)).await;
    let first = bed.enqueue(Spell::new("a")).unique(Unique::key("k")).await.unwrap();
    bed.run_until_idle().await;
    let second =
        bed.enqueue(Spell::new("b")).unique(Unique::key("k")).delay(Duration::from_mins(1)).await.unwrap();
    assert!(!second.is_duplicate());
    let error = first.retry().await.unwrap_err();
    assert_eq!(error.unique_holder(), Some(second.id()));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn files_that_cannot_be_a_queue_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "these are notes, and more than a hundred bytes of them; ".repeat(20)).unwrap();
    let told = refusal(Stepwell::sqlite(&text)).await;
    assert!(told.contains("is not an SQLite database"), "{told}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("these are notes"), "it was left alone");
    let told = refusal(Stepwell::sqlite(dir.path().join("nowhere/queue.db"))).await;
    assert!(told.contains("nowhere"), "{told}");
}

#[tokio::test]
async fn a_kind_that_nobody_knows_waits_and_is_explained() {
    let stepwell = Stepwell::in_memory().worker(Speller::new(Second::Return)).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue_untyped("unknown", Json::null()).await.unwrap();
    let known = stepwell.enqueue(Spell::new("a")).await.unwrap();
    support::soon("the known one ends", known.result()).await.unwrap();
    assert_eq!(job.state().await.unwrap(), JobState::Pending);
    let told = stepwell.explain(job.id()).await.unwrap().to_string();
    assert_eq!(told, "no live worker knows the kind `unknown`; start one that registers it");
    stepwell.pause("default", Some("maintenance")).await.unwrap();
    let told = stepwell.explain(job.id()).await.unwrap().to_string();
    assert_eq!(told, "queue `default` is paused: maintenance");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}
