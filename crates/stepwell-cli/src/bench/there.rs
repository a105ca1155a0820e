//! A queue of its own on a server, worked over HTTP from here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use stepwell::Stopwatch;

use super::{
    Options,
    report::{Counted, Measured},
    samples::Samples,
};
use crate::{
    client::{Session, segment},
    commands::bulk,
    failure::{FailedTo, Failure, code},
    output::{Bar, field},
};

/// The queue, and the kind of the jobs in it. One name for all measurements: names are kept for ever.
const QUEUE: &str = "stepwell-bench";
/// Phases of one claim.
const CLAIMED_MAX: u32 = 10;
/// How long a claim may wait.
const WAIT: Duration = Duration::from_secs(20);
/// How long a claim waits that is one of many.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(10);
/// Endpoints that are looked at.
const ENDPOINTS_MAX: usize = 1_000;

/// What is measured on, from registration to the last job that is deleted.
pub(super) struct Queue<'s> {
    session: &'s Session,
    worker: String,
    acknowledged: AtomicU64,
    worked: AtomicU64,
}

impl<'s> Queue<'s> {
    /// Looks whether nobody is disturbed, and registers a worker.
    pub(super) async fn open(session: &'s Session, options: &Options) -> Result<Self, Failure> {
        nobody_is_told(session).await?;
        nobody_measures(session).await?;
        let client = &session.client;
        let asked = json!({
            "name": format!("stepwell bench, {} at once", options.slots), "queues": [QUEUE],
            "kinds": [{ "kind": QUEUE, "phases": [{ "name": "run" }] }],
        });
        let made = client.post("register a worker", "/api/v1/workers", &asked).await?.value()?;
        let worker = field(&made, "id").to_owned();
        Ok(Self { session, worker, acknowledged: AtomicU64::new(0), worked: AtomicU64::new(0) })
    }
    /// Leaves no job and no worker.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let path = format!("/api/v1/workers/{}", segment(&self.worker));
        self.session.client.delete("take the worker off", &path).await?;
        bulk::empty(self.session, QUEUE).await
    }

    pub(super) async fn measure(&self, options: &Options) -> Result<Measured, Failure> {
        tokio::select! {
            measured = self.in_turn(options) => measured,
            failure = self.beat() => Err(failure),
        }
    }
    async fn in_turn(&self, options: &Options) -> Result<Measured, Failure> {
        let stored = self.store(options).await?;
        let worked = self.work(options).await?;
        let begun = self.begin(options).await?;
        let path = format!("/api/v1/queues/{QUEUE}");
        let queue = self.session.client.get("count the jobs", &path).await?.value()?;
        let counted = Counted {
            stored: self.acknowledged.load(Ordering::Relaxed),
            completed: queue["jobs"]["completed"].as_u64().unwrap_or(0),
            worked: self.worked.load(Ordering::Relaxed),
        };
        Ok(Measured { stored, worked, begun, counted })
    }
    /// Tells the server that the worker lives; answers when that is no longer possible.
    async fn beat(&self) -> Failure {
        let path = format!("/api/v1/workers/{}/heartbeat", segment(&self.worker));
        loop {
            tokio::time::sleep(BEAT).await;
            let sent = self.session.client.post("send a sign of life", &path, &json!({})).await;
            if let Err(failure) = sent {
                return failure;
            }
        }
    }

    async fn store(&self, options: &Options) -> Result<(Duration, Samples), Failure> {
        let bar = Bar::of_steps(self.session.out, "enqueue", options.jobs.into());
        let left = AtomicU64::new(options.jobs.into());
        let caller = async || {
            let mut samples = Samples::default();
            while take_one(&left) {
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
        let job = json!({ "kind": QUEUE, "queue": QUEUE, "payload": { "x": options.payload() } });
        let watch = Stopwatch::start();
        self.session.client.post("enqueue a job", "/api/v1/jobs", &job).await?;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(watch.elapsed())
    }

    /// Until the last of them has completed, which is when that was answered.
    async fn work(&self, options: &Options) -> Result<Duration, Failure> {
        let bar = Bar::of_steps(self.session.out, "work", options.jobs.into());
        let left = AtomicU64::new(options.jobs.into());
        let watch = Stopwatch::start();
        let caller = async || {
            let mut last = Duration::ZERO;
            while left.load(Ordering::Relaxed) > 0 {
                for claim in &self.claim(CLAIMED_MAX, PAUSE).await? {
                    self.complete(claim).await?;
                    take_one(&left);
                    last = watch.elapsed();
                    bar.step();
                }
            }
            Ok::<_, Failure>(last)
        };
        let mut last = Duration::ZERO;
        for of_caller in join_all((0..options.slots).map(|_| caller())).await {
            last = last.max(of_caller?);
        }
        Ok(last)
    }

    /// One job after the other, each claimed by somebody who waits for it already.
    async fn begin(&self, options: &Options) -> Result<Samples, Failure> {
        let bar = Bar::of_steps(self.session.out, "begin", options.single().into());
        let mut samples = Samples::default();
        for _ in 0..options.single() {
            let watch = Stopwatch::start();
            let (stored, claims) = tokio::join!(self.store_one(options), self.claim(1, WAIT));
            stored?;
            let claims = claims?;
            samples.add(watch.elapsed());
            for claim in &claims {
                self.complete(claim).await?;
            }
            bar.step();
        }
        Ok(samples)
    }

    async fn claim(&self, max: u32, wait: Duration) -> Result<Vec<Value>, Failure> {
        let asked = json!({ "workerId": self.worker, "max": max, "waitMs": wait.as_millis() });
        let claims = self.session.client.post_within("claim jobs", "/api/v1/claims", &asked, wait).await?;
        match claims.value()?["claims"].take() {
            Value::Array(claims) => Ok(claims),
            _ => Ok(Vec::new()),
        }
    }
    async fn complete(&self, claim: &Value) -> Result<(), Failure> {
        let path = format!("/api/v1/claims/{}/complete", segment(field(claim, "lease")));
        self.session.client.post("complete a job", &path, &json!({ "output": null })).await?;
        self.worked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// Refuses to measure where endpoints would be told of every job.
async fn nobody_is_told(session: &Session) -> Result<(), Failure> {
    let what = "measure on this server";
    let listed = session.client.list(what, "/api/v1/webhooks", &[], ENDPOINTS_MAX, None).await?;
    for endpoint in &listed.items {
        let endpoint: Value = serde_json::from_str(endpoint.get()).failed_to(what)?;
        let takes = |name: &str, value: &str| {
            endpoint[name]
                .as_array()
                .is_none_or(|some| some.is_empty() || some.iter().any(|one| one == value))
        };
        let untagged = endpoint["tags"].as_array().is_none_or(Vec::is_empty);
        if endpoint["enabled"] == true && untagged && takes("queues", QUEUE) && takes("kinds", QUEUE) {
            let why = format!(
                "the webhook {} would be told of every job; limit it to queues or kinds, or disable it meanwhile",
                field(&endpoint, "url")
            );
            return Err(Failure::with_code(code::CONFLICT, what, why));
        }
    }
    Ok(())
}

/// Removes what a measurement has left that was killed, and refuses to disturb one that goes on.
async fn nobody_measures(session: &Session) -> Result<(), Failure> {
    let what = "measure on this server";
    let queues = session.client.whole(what, "/api/v1/queues").await?;
    for queue in &queues {
        let queue: Value = serde_json::from_str(queue.get()).failed_to(what)?;
        if field(&queue, "name") != QUEUE {
            continue;
        }
        if queue["workers"].as_u64().unwrap_or(0) > 0 {
            let why = "somebody else measures on it now; wait for that to end";
            return Err(Failure::with_code(code::CONFLICT, what, why));
        }
        bulk::empty(session, QUEUE).await?;
    }
    Ok(())
}
