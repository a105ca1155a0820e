//! The kind of job that `serve --demo` can work: something to try the API with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Retry, Worker};

/// How long `work` waits after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Tries of `work`.
const TRIES: u32 = 20;
/// Steps in which a phase tells of its progress.
const STEPS: u64 = 10;

/// What a demo job is told to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DemoSteps {
    /// How often `work` fails before it succeeds.
    failures: u32,
    /// Whether `work` fails for good.
    fails: bool,
    /// How long each phase takes.
    pause_ms: u64,
}

impl Job for DemoSteps {
    const KIND: &'static str = "demo.steps";
    type Output = Done;
}

/// What a demo job returns.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    steps: u64,
    work_tries: u32,
}

pub(super) struct Demo;

impl Worker for Demo {
    type Job = DemoSteps;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Done> {
        let prepared = plan.phase("prepare", (), Self::prepare);
        let worked = plan.phase("work", prepared, Self::work).retry(Retry::fixed(TRIES, PAUSE_AFTER_FAILURE));
        plan.phase("finish", (prepared, worked), Self::finish)
    }
}

impl Demo {
    async fn prepare(&self, cx: &Ctx<DemoSteps>) -> PhaseResult<u64> {
        pause(cx).await?;
        Ok(STEPS)
    }
    async fn work(&self, cx: &Ctx<DemoSteps>, steps: u64) -> PhaseResult<u32> {
        let DemoSteps { failures, fails, .. } = *cx.job();
        cx.log(format!("try {}", cx.attempt()));
        for step in 1..=steps {
            pause_for(cx, cx.job().pause_ms / steps).await?;
            cx.progress(step, steps);
        }
        if fails {
            return Err(PhaseError::permanent("it was told to fail"));
        }
        if cx.attempt() <= failures {
            return Err(format!("failure {} of {failures}", cx.attempt()).into());
        }
        Ok(cx.attempt())
    }
    async fn finish(&self, cx: &Ctx<DemoSteps>, steps: u64, work_tries: u32) -> PhaseResult<Done> {
        pause(cx).await?;
        Ok(Done { steps, work_tries })
    }
}

async fn pause(cx: &Ctx<DemoSteps>) -> PhaseResult<()> {
    pause_for(cx, cx.job().pause_ms).await
}

async fn pause_for(cx: &Ctx<DemoSteps>, ms: u64) -> PhaseResult<()> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
        () = cx.cancelled() => Err("it was asked to stop".into()),
    }
}
