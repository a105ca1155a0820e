//! A store of its own, beside the one that is named: on the same disk, or in the same database.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use stepwell::{Builder, Ctx, Job, JobState, Phase, PhaseResult, Plan, Stepwell, Stopwatch, Worker, Workers};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Options,
    report::{Counted, Measured},
    samples::Samples,
};
use crate::{
    failure::{FailedTo, Failure},
    output::{Bar, Output},
    store::StoreAddress,
};

/// Between two looks whether all is done.
const LOOK: Duration = Duration::from_millis(5);

/// Where it is, and how it goes away.
pub(super) enum Place {
    Directory(PathBuf),
    Schema { url: String, name: String },
}

impl Place {
    /// A place that nobody else has.
    pub(super) fn beside(store: &StoreAddress, token: &str) -> Result<Self, Failure> {
        match store {
            StoreAddress::Postgres(url) => {
                Ok(Self::Schema { url: url.clone(), name: format!("stepwell_bench_{token}") })
            }
            StoreAddress::Sqlite(file) => {
                let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                let place = parent.unwrap_or(Path::new(".")).join(format!(".stepwell-bench-{token}"));
                std::fs::create_dir(&place).failed_to(format!("make the directory {}", place.display()))?;
                Ok(Self::Directory(place))
            }
        }
    }
    pub(super) fn builder(&self) -> Builder {
        match self {
            Self::Directory(place) => Stepwell::sqlite(place.join("bench.db")),
            Self::Schema { url, name } => Stepwell::postgres(url).schema(name),
        }
    }
    pub(super) fn words(&self) -> String {
        match self {
            Self::Directory(place) => format!("a store of its own in {}", place.display()),
            Self::Schema { name, .. } => format!("a schema of its own, {name}"),
        }
    }
    /// Leaves nothing of it.
    pub(super) async fn remove(self) -> Result<(), Failure> {
        let what = format!("remove {}", self.words());
        match &self {
            Self::Directory(place) => std::fs::remove_dir_all(place).failed_to(what),
            Self::Schema { .. } => self.builder().drop_schema().await.failed_to(what),
        }
    }
}

/// A job that does nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct Nothing {
    x: String,
}

impl Job for Nothing {
    const KIND: &'static str = "stepwell-bench";
    type Output = ();
}

/// Counts, and tells whoever waits for one to begin.
pub(super) struct Counter {
    worked: Arc<AtomicU64>,
    begun: UnboundedSender<()>,
}

impl Worker for Counter {
    type Job = Nothing;
    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        plan.phase("run", (), Self::work)
    }
}

impl Counter {
    async fn work(&self, _cx: &Ctx<Nothing>) -> PhaseResult<()> {
        self.worked.fetch_add(1, Ordering::Relaxed);
        // In the end nobody waits any more.
        self.begun.send(()).ok();
        Ok(())
    }
}

/// A store with its worker, which is started later.
pub(super) struct Queue {
    pub(super) stepwell: Stepwell,
    worked: Arc<AtomicU64>,
    acknowledged: AtomicU64,
    begun: UnboundedReceiver<()>,
    workers: Option<Workers>,
}

impl Queue {
    pub(super) async fn open(place: &Place, options: &Options) -> Result<Self, Failure> {
        let (sender, begun) = unbounded_channel();
        let worked = Arc::new(AtomicU64::new(0));
        let counter = Counter { worked: worked.clone(), begun: sender };
        let builder = place.builder().worker(counter).queue("default", options.slots.into());
        let stepwell = builder.open().await.failed_to(format!("make {}", place.words()))?;
        Ok(Self { stepwell, worked, acknowledged: AtomicU64::new(0), begun, workers: None })
    }
    pub(super) async fn close(self) -> Result<(), Failure> {
        let closed = match self.workers {
            Some(workers) => {
                // Whatever still runs belongs to nobody.
                workers.shutdown(Duration::ZERO).await.ok();
                Ok(())
            }
            None => self.stepwell.close().await,
        };
        closed.failed_to("close the store")
    }

    pub(super) async fn measure(&mut self, options: &Options, out: Output) -> Result<Measured, Failure> {
        let stored = self.store(options, out).await?;
        let worked = self.work(options, out).await?;
        let begun = self.begin(options, out).await?;
        let stored_in_all = self.acknowledged.load(Ordering::Relaxed);
        self.wait_for(stored_in_all).await?;
        let counted = Counted {
            stored: stored_in_all,
            completed: self.completed().await?,
            worked: self.worked.load(Ordering::Relaxed),
        };
        Ok(Measured { stored, worked, begun, counted })
    }

    /// Several callers, each of whom waits for the disk before the next job.
    async fn store(&self, options: &Options, out: Output) -> Result<(Duration, Samples), Failure> {
        let bar = Bar::of_steps(out, "enqueue", options.jobs.into());
        let left = AtomicU64::new(options.jobs.into());
        let caller = async || {
            let mut samples = Samples::default();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                samples.add(self.store_one(options).await?);
                bar.step();
            }
            Ok::<_, Failure>(samples)
        };
        let watch = Stopwatch::start();
        let mut samples = Samples::default();
        for of_caller in join_all((0..options.callers).map(|_| caller())).await {
            samples.merge(of_caller?);
        }
        Ok((watch.elapsed(), samples))
    }
    async fn store_one(&self, options: &Options) -> Result<Duration, Failure> {
        let watch = Stopwatch::start();
        let job = self.stepwell.enqueue(Nothing { x: options.payload() });
        job.await.failed_to("enqueue a job")?;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(watch.elapsed())
    }

    async fn work(&mut self, options: &Options, out: Output) -> Result<Duration, Failure> {
        let bar = Bar::of_steps(out, "work", options.jobs.into());
        let watch = Stopwatch::start();
        self.workers = Some(self.stepwell.start());
        for _ in 0..options.jobs {
            self.begun.recv().await;
            bar.step();
        }
        self.wait_for(options.jobs.into()).await?;
        Ok(watch.elapsed())
    }

    /// One job after the other: the queue is idle before each.
    async fn begin(&mut self, options: &Options, out: Output) -> Result<Samples, Failure> {
        let bar = Bar::of_steps(out, "begin", options.single().into());
        let mut samples = Samples::default();
        for _ in 0..options.single() {
            let watch = Stopwatch::start();
            self.store_one(options).await?;
            self.begun.recv().await;
            samples.add(watch.elapsed());
            bar.step();
        }
        Ok(samples)
    }

    /// Waits until so many have completed, as the store has it.
    async fn wait_for(&self, jobs: u64) -> Result<(), Failure> {
        while self.completed().await? < jobs {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
    async fn completed(&self) -> Result<u64, Failure> {
        let counts = self.stepwell.counts().await.failed_to("count the jobs")?;
        Ok(counts.iter().filter(|count| count.state == JobState::Completed).map(|count| count.n).sum())
    }
}
