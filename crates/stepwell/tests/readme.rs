//! The README, executed.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Change, Ctx, Job, JobState, Phase, PhaseError, PhaseResult, Plan, Priority, ResultExt, Retry, Stepwell,
    Unique, Worker, testing::TestBed,
};

// 1. What is enqueued ------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct TranscodeVideo {
    source: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Published {
    url: String,
    stills: usize,
}

impl Job for TranscodeVideo {
    const KIND: &'static str = "transcode_video";
    type Output = Published;
}

// 2. How it is done --------------------------------------------------------------------------------

#[derive(Default)]
struct Transcoder {
    bucket: String,
    encodes: AtomicU32,
    failing_encodes: u32,
}

#[derive(Serialize, Deserialize)]
struct LocalFile(String);
#[derive(Serialize, Deserialize)]
struct Encoded {
    bytes: u64,
}

impl Worker for Transcoder {
    type Job = TranscodeVideo;

    fn plan(plan: &Plan<Self>) -> Phase<'_, Published> {
        let file = plan.phase("download", (), Self::download);
        let video = plan
            .phase("encode", file, Self::encode)
            .retry(Retry::exponential(5).starting_at(Duration::from_secs(10)))
            .timeout(Duration::from_mins(30))
            .queue("gpu");
        let stills = plan.phase("thumbnails", file, Self::thumbnails);
        plan.phase("publish", (video, stills), Self::publish)
    }
}

impl Transcoder {
    async fn download(&self, cx: &Ctx<TranscodeVideo>) -> PhaseResult<LocalFile> {
        cx.progress(1, 1);
        Ok(LocalFile(cx.job().source.clone()))
    }

    async fn encode(&self, cx: &Ctx<TranscodeVideo>, file: LocalFile) -> PhaseResult<Encoded> {
        if file.0.is_empty() {
            return Err(PhaseError::permanent("nothing to encode"));
        }
        cx.log(format_args!("encoding {}", file.0));
        if self.encodes.fetch_add(1, Ordering::Relaxed) < self.failing_encodes {
            return Err("the encoder crashed".into());
        }
        Ok(Encoded { bytes: file.0.len() as u64 })
    }

    // A phase may return any error type that converts.
    async fn thumbnails(
        &self,
        _: &Ctx<TranscodeVideo>,
        file: LocalFile,
    ) -> Result<Vec<String>, std::io::Error> {
        Ok(vec![file.0])
    }

    async fn publish(
        &self,
        cx: &Ctx<TranscodeVideo>,
        video: Encoded,
        stills: Vec<String>,
    ) -> PhaseResult<Published> {
        let _digits: u64 = "8".parse::<u64>().permanent()?;
        let url = format!("{}/{}?{}", self.bucket, cx.job().source, video.bytes);
        Ok(Published { url, stills: stills.len() })
    }
}

// 3. Tests -----------------------------------------------------------------------------------------

#[tokio::test]
async fn outputs_flow_into_later_phases() {
    let bed = TestBed::with(Transcoder { bucket: "s3://b".into(), ..Default::default() }).await;
    let job = bed.enqueue(TranscodeVideo { source: "a.mp4".into() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), Published { url: "s3://b/a.mp4?5".into(), stills: 1 });
    assert_eq!(bed.trace(job.id()), ["download#1", "encode#1", "thumbnails#1", "publish#1"]);
}

#[tokio::test]
async fn a_retry_resumes_at_the_failed_phase() {
    let bed = TestBed::with(Transcoder { failing_encodes: 2, ..Default::default() }).await;
    let job = bed.enqueue(TranscodeVideo { source: "a.mp4".into() }).await.unwrap();

    bed.run_until_idle().await;
    assert_eq!(job.state().await.unwrap(), JobState::Pending);
    bed.advance(Duration::from_secs(9));
    bed.run_until_idle().await;
    assert_eq!(bed.trace(job.id()).len(), 2, "too early");
    bed.advance(Duration::from_secs(1));
    bed.run_until_idle().await;
    bed.advance(Duration::from_secs(20));
    bed.run_until_idle().await;

    assert_eq!(job.state().await.unwrap(), JobState::Completed);
    assert_eq!(
        bed.trace(job.id()),
        ["download#1", "encode#1", "encode#2", "encode#3", "thumbnails#1", "publish#1"]
    );
}

#[tokio::test]
async fn a_permanent_error_spends_no_retries_and_an_operator_can_retry() {
    let bed = TestBed::with(Transcoder::default()).await;
    let job = bed.enqueue(TranscodeVideo { source: String::new() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(
        job.result().await.unwrap_err().to_string(),
        "job failed in phase `encode`: nothing to encode"
    );
    job.retry().await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(bed.trace(job.id()), ["download#1", "encode#1", "encode#1"]);
}

#[tokio::test]
async fn enqueue_options() {
    let bed = TestBed::with(Transcoder::default()).await;
    let first = bed
        .enqueue(TranscodeVideo { source: "a".into() })
        .priority(Priority::HIGH)
        .delay(Duration::from_mins(5))
        .unique(Unique::key("a").within(Duration::from_hours(1)))
        .await
        .unwrap();
    let second = bed.enqueue(TranscodeVideo { source: "a".into() }).unique(Unique::key("a")).await.unwrap();
    assert!(second.is_duplicate());
    assert_eq!(first.id(), second.id());

    let at: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let later = bed.enqueue(TranscodeVideo { source: "b".into() }).run_at(at).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(later.state().await.unwrap(), JobState::Pending);
}

#[tokio::test]
async fn cancellation_takes_effect_at_the_next_boundary() {
    let bed = TestBed::with(Transcoder::default()).await;
    let job = bed.enqueue(TranscodeVideo { source: "a".into() }).await.unwrap();
    bed.step().await;
    job.cancel().await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.state().await.unwrap(), JobState::Cancelled);
    assert_eq!(bed.trace(job.id()), ["download#1"]);
}

#[tokio::test]
async fn events_can_be_replayed() {
    let bed = TestBed::with(Transcoder::default()).await;
    let job = bed.enqueue(TranscodeVideo { source: "a".into() }).await.unwrap();
    bed.run_until_idle().await;
    let mut events = bed.events().of_kind::<TranscodeVideo>().of_job(job.id()).after(0).subscribe();
    assert_eq!(events.next().await.unwrap().change, Change::Enqueued);
    assert_eq!(events.next().await.unwrap().change, Change::Started);
    assert_eq!(
        events.next().await.unwrap().change,
        Change::PhaseStarted { phase: "download".into(), attempt: 1 }
    );
}

// A job that is one function.

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}
impl Job for SendEmail {
    const KIND: &'static str = "send_email";
    type Output = ();
}
async fn send_email(cx: &Ctx<SendEmail>) -> PhaseResult<()> {
    cx.log(&cx.job().to);
    Ok(())
}

#[tokio::test]
async fn one_function_is_a_worker() {
    let stepwell = Stepwell::in_memory()
        .worker_fn(send_email)
        .worker(Transcoder::default())
        .queue("gpu", 1)
        .open()
        .await
        .unwrap();
    let workers = stepwell.start();
    let sent = stepwell.enqueue(SendEmail { to: "a@b.c".into() }).await.unwrap();
    sent.result().await.unwrap();
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

// Enqueueing inside the application's own transaction.

#[cfg(all(feature = "sqlite", feature = "rusqlite"))]
#[tokio::test]
async fn in_a_sqlite_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let stepwell = Stepwell::sqlite(&path).worker_fn(send_email).open().await.unwrap();
    let workers = stepwell.start();
    let mut db = rusqlite::Connection::open(&path).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db.execute_batch("CREATE TABLE account (id INTEGER PRIMARY KEY)").unwrap();

    let enqueue = || stepwell.enqueue(SendEmail { to: "a@b.c".into() });
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO account DEFAULT VALUES", []).unwrap();
    let forgotten = enqueue().in_sqlite(&tx).unwrap();
    tx.rollback().unwrap();

    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO account DEFAULT VALUES", []).unwrap();
    let welcome = enqueue().in_sqlite(&tx).unwrap();
    tx.commit().unwrap();

    welcome.result().await.unwrap();
    assert!(forgotten.state().await.unwrap_err().is_not_found());
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

// One phase is a method, and can be tested as one.

#[tokio::test]
async fn a_phase_by_itself() {
    let worker = Transcoder::default();
    let cx = Ctx::for_test(TranscodeVideo { source: "a.mp4".into() });
    let encoded = worker.encode(&cx, LocalFile("abc".into())).await.unwrap();
    assert_eq!(encoded.bytes, 3);
}
