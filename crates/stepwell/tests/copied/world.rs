//! A store with work in every state, left behind by a process that is gone.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use stepwell::{
    Builder, Ctx, Event, Job, JobFilter, JobId, JobRecord, JobState, Keep, Order, PageRequest, Phase,
    PhaseResult, Plan, Priority, Reason, Retention, Retry, RetryFrom, Stepwell, Unique, Worker, Workers,
    copy::Place,
    webhook::{NewEndpoint, WebhookOptions},
};

use crate::support::{Second, Spell, Speller, reaches, soon};

/// A list, each element of which takes a try of its own.
#[derive(Serialize, Deserialize)]
pub struct Sift {
    grains: Vec<u32>,
}
impl Job for Sift {
    const KIND: &'static str = "sift";
    type Output = u32;
}

/// Which elements were done, and whether the last one can be.
#[derive(Clone, Default)]
pub struct Sifter {
    pub sifted: Arc<Mutex<Vec<u32>>>,
    pub is_broken: bool,
}
impl Worker for Sifter {
    type Job = Sift;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u32> {
        let grains = plan.phase("grains", (), Self::grains);
        let sifted = plan.each("sift", grains, Self::sift).retry(Retry::fixed(3, Duration::from_hours(1)));
        plan.phase("sum", sifted, Self::sum)
    }
}
impl Sifter {
    async fn grains(&self, cx: &Ctx<Sift>) -> PhaseResult<Vec<u32>> {
        cx.log("here they are");
        cx.log("all of them");
        Ok(cx.job().grains.clone())
    }
    async fn sift(&self, _: &Ctx<Sift>, grain: u32) -> PhaseResult<u32> {
        if grain == 4 && self.is_broken {
            return Err("the sieve is torn".into());
        }
        self.sifted.lock().unwrap().push(grain);
        Ok(grain * 2)
    }
    async fn sum(&self, _: &Ctx<Sift>, sifted: Vec<u32>) -> PhaseResult<u32> {
        Ok(sifted.iter().sum())
    }
}

/// Jobs by what has become of them.
pub struct Jobs {
    pub rerun: JobId,
    pub failed: JobId,
    pub held: JobId,
    pub sifting: JobId,
    pub cancelling: JobId,
    pub crashed: JobId,
    pub in_inbox: JobId,
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub jobs: Jobs,
    /// What the process still has open that seems to be gone.
    pub left: (Stepwell, Workers),
    pub speller: Speller,
    /// The last event that a client has seen.
    pub seen: u64,
}

/// How a queue of these jobs is opened, wherever it is.
pub fn queue(builder: Builder, speller: &Speller, sifter: &Sifter) -> Builder {
    let webhooks = WebhookOptions::new().allow("127.0.0.0/8").plain_http();
    let builder = builder.worker(speller.clone()).worker(sifter.clone()).webhooks(webhooks).queue("slow", 4);
    builder.cancel_grace(Duration::from_hours(1)).retention(Retention::KEEP_EVERYTHING)
}

impl World {
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }
    pub fn place(&self) -> Place {
        Place::sqlite(self.path())
    }
    pub fn connect(&self) -> Connection {
        connect(&self.path())
    }

    pub async fn fill() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let speller = Speller::new(Second::Return);
        let sifter = Sifter { is_broken: true, ..Sifter::default() };
        let stepwell = queue(Stepwell::sqlite(&path), &speller, &sifter).open().await.unwrap();
        // Nobody listens there: what is sent does not arrive.
        stepwell.webhooks().create(NewEndpoint::new("http://127.0.0.1:9/")).await.unwrap();
        let workers = stepwell.start();

        let gone = stepwell.enqueue(Spell::new("gone")).await.unwrap();
        soon("it ends", gone.ended()).await.unwrap();
        forget(&stepwell, gone.id()).await;

        let long = "x".repeat(500);
        let done = stepwell.enqueue(Spell::new(&long)).tag("kept").attribute("customer", 42).await.unwrap();
        soon("it ends", done.ended()).await.unwrap();
        let rerun = stepwell.enqueue(Spell::new("again")).once("request-1", "abc").await.unwrap();
        soon("it ends", rerun.ended()).await.unwrap();
        stepwell.rerun(rerun.id(), RetryFrom::Start, None).await.unwrap();
        soon("it ends again", rerun.ended()).await.unwrap();
        let sifting = stepwell.enqueue(Sift { grains: vec![1, 2, 3, 4] }).await.unwrap();
        reaches_reason(&stepwell, sifting.id(), Reason::Retrying).await;

        speller.script(Second::FailForGood);
        let failed = stepwell.enqueue(Spell::new("bad")).priority(Priority::HIGH).await.unwrap();
        soon("it ends", failed.ended()).await.unwrap();
        speller.script(Second::Snooze);
        let snoozed = stepwell.enqueue(Spell::new("later")).await.unwrap();
        reaches_reason(&stepwell, snoozed.id(), Reason::Snoozed).await;

        stepwell.pause("slow", Some("it is late")).await.unwrap();
        let unique = Unique::key("report");
        let held =
            stepwell.enqueue(Spell::new("held")).queue("slow").unique(unique).tag("kept").await.unwrap();
        let cancelled = stepwell.enqueue(Spell::new("no")).queue("slow").await.unwrap();
        cancelled.cancel().await.unwrap();
        let taken = JobId::from_bytes([0x4b; 16]);
        put_into_inbox(&connect(&path), taken);
        soon("the row is taken in", async {
            while stepwell.job(taken).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stepwell.cancel(taken).await.unwrap();

        speller.script(Second::Wait);
        // Others have begun before, which is not what is waited for.
        tokio::select! {
            biased;
            () = speller.0.begun.notified() => {}
            () = std::future::ready(()) => {}
        }
        let cancelling = stepwell.enqueue(Spell::new("stop")).await.unwrap();
        speller.begun().await;
        cancelling.cancel().await.unwrap();
        reaches(&stepwell, &cancelling, JobState::Cancelling).await;
        speller.script(Second::SaveAndWait);
        let crashed = stepwell.enqueue(Spell::new("cut")).await.unwrap();
        soon("it has saved its place", speller.0.saved.notified()).await;

        let seen = stepwell.head() / 2;
        let jobs = Jobs {
            rerun: rerun.id(),
            failed: failed.id(),
            held: held.id(),
            sifting: sifting.id(),
            cancelling: cancelling.id(),
            crashed: crashed.id(),
            in_inbox: JobId::from_bytes([0x5a; 16]),
        };
        let world = Self { dir, jobs, left: (stepwell, workers), speller, seen };
        world.seem_gone();
        world
    }

    /// Puts something into the inbox that nobody takes any more: the store is sealed together with it.
    pub fn fill_inbox(&self) {
        let connection = self.connect();
        connection.execute_batch("BEGIN IMMEDIATE; UPDATE sw_meta SET sealed = 1").unwrap();
        put_into_inbox(&connection, self.jobs.in_inbox);
        connection.execute_batch("COMMIT").unwrap();
    }

    /// What others see of a process that was killed: that nobody holds its lock file.
    pub fn seem_gone(&self) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().contains("-session-") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

pub fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection
}

fn put_into_inbox(connection: &Connection, id: JobId) {
    let row = rusqlite::params![id.to_string(), r#"{"word":"put"}"#];
    let insert = "INSERT INTO stepwell_inbox (id, v, kind, payload, queue, tags, idempotency_key)
        VALUES (?1, 1, 'spell', ?2, 'slow', '[\"put\"]', ?1)";
    connection.execute(insert, row).unwrap();
}

/// Removes a job, and the beginning of the log with it.
async fn forget(stepwell: &Stepwell, job: JobId) {
    let keep = Retention { completed: Keep::EVERYTHING.at_most(0), ..Retention::KEEP_EVERYTHING };
    let keep = Retention { events: Keep::EVERYTHING.at_most(4), ..keep };
    // Whoever sends webhooks reads the log first.
    let forgotten = async {
        while stepwell.job(job).await.is_ok() {
            stepwell.prune(keep.clone()).await.unwrap();
            tokio::task::yield_now().await;
        }
        stepwell.prune(keep.clone()).await.unwrap();
    };
    soon("it is removed", forgotten).await;
}

async fn reaches_reason(stepwell: &Stepwell, id: JobId, reason: Reason) {
    let mut events = stepwell.events().of_job(id).after(0).subscribe();
    let reached = async {
        while stepwell.job(id).await.unwrap().reason != Some(reason) {
            events.next().await.expect("the queue is open");
        }
    };
    soon("the job waits", reached).await;
}

/// All jobs with all that they have said and made.
pub async fn everything(stepwell: &Stepwell) -> Vec<(JobRecord, Vec<Event>, String)> {
    let filter = JobFilter { internal: true, ..JobFilter::default() };
    let page = PageRequest { order: Order::OldestFirst, limit: 1_000, after: None };
    let jobs = stepwell.list(filter, page).await.unwrap().items;
    let mut all = Vec::new();
    for job in jobs {
        let history = stepwell.history(job.id).await.unwrap();
        let mut made = vec![stepwell.payload(job.id).await.unwrap().as_str().to_owned()];
        for phase in job.phases.iter() {
            let result = stepwell.phase_result(job.id, &phase.name).await.unwrap();
            made.extend(result.map(|result| result.as_str().to_owned()));
        }
        made.extend(stepwell.log(job.id).await.unwrap().into_iter().map(|line| line.text));
        all.push((job, history, made.join("\n")));
    }
    all
}
