//! What the engine's tests share: small jobs whose behaviour a test decides, and ways to wait without sleeping.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part"
)]

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Builder, Ctx, Job, JobHandle, JobState, Phase, PhaseError, PhaseResult, Plan, Retry, Stepwell, Worker,
};
use tokio::sync::{Notify, Semaphore};

/// A job of three phases, `first` → `second` → `third`, each of which adds its letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spell {
    pub word: String,
}
impl Spell {
    pub fn new(word: &str) -> Self {
        Self { word: word.into() }
    }
}
impl Job for Spell {
    const KIND: &'static str = "spell";
    type Output = String;
}

/// What the second phase does, and what has been seen. Shared between a test and its worker.
#[derive(Clone)]
pub struct Speller(pub Arc<Script>);

pub struct Script {
    pub second: Mutex<Second>,
    pub runs: [AtomicU32; 3],
    /// Told when the second phase has begun.
    pub begun: Notify,
    /// Told when the second phase has saved its last cursor.
    pub saved: Notify,
    /// The second phase waits for a permit if its script says so.
    pub gate: Semaphore,
    pub interrupted: AtomicBool,
    pub cursor: Mutex<Option<u64>>,
    pub saw_cancel: AtomicBool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Second {
    Return,
    Fail,
    FailForGood,
    Panic,
    /// Waits for the gate, whatever it is told.
    Wait,
    /// Waits for the gate, and stops when it is asked to.
    WaitPolitely,
    /// Saves a cursor, then waits for the gate.
    SaveAndWait,
    Snooze,
    /// Never reaches an `await`, until the gate is closed.
    Spin,
}

impl Speller {
    pub fn new(second: Second) -> Self {
        Self(Arc::new(Script {
            second: Mutex::new(second),
            runs: Default::default(),
            begun: Notify::new(),
            saved: Notify::new(),
            gate: Semaphore::new(0),
            interrupted: AtomicBool::new(false),
            cursor: Mutex::new(None),
            saw_cancel: AtomicBool::new(false),
        }))
    }
    pub fn script(&self, second: Second) {
        *self.0.second.lock().unwrap() = second;
    }
    pub fn runs(&self) -> [u32; 3] {
        [0, 1, 2].map(|nth| self.0.runs[nth].load(Ordering::SeqCst))
    }
    /// Resolves when the second phase has begun since the last time.
    pub async fn begun(&self) {
        soon("the second phase begins", self.0.begun.notified()).await;
    }
    pub fn open_gate(&self) {
        self.0.gate.add_permits(1_000);
    }
}

impl Worker for Speller {
    type Job = Spell;
    fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
        let first = plan.phase("first", (), Self::first);
        let second = plan
            .phase("second", first, Self::second)
            .retry(Retry::exponential(3).starting_at(Duration::from_secs(10)));
        plan.phase("third", second, Self::third)
    }
}

impl Speller {
    async fn first(&self, cx: &Ctx<Spell>) -> PhaseResult<String> {
        self.0.runs[0].fetch_add(1, Ordering::SeqCst);
        Ok(format!("{}1", cx.job().word))
    }
    async fn second(&self, cx: &Ctx<Spell>, word: String) -> PhaseResult<String> {
        let script = &self.0;
        script.runs[1].fetch_add(1, Ordering::SeqCst);
        script.interrupted.store(cx.interrupted(), Ordering::SeqCst);
        *script.cursor.lock().unwrap() = cx.cursor()?;
        script.begun.notify_one();
        let second = *script.second.lock().unwrap();
        match second {
            Second::Return => {}
            Second::Fail => return Err("the second phase failed".into()),
            Second::FailForGood => return Err(PhaseError::permanent("no use")),
            Second::Panic => panic!("the second phase panicked"),
            Second::Wait => script.gate.acquire().await.unwrap().forget(),
            Second::WaitPolitely => tokio::select! {
                permit = script.gate.acquire() => permit.unwrap().forget(),
                () = cx.cancelled() => {
                    script.saw_cancel.store(true, Ordering::SeqCst);
                    return Err("told to stop".into());
                }
            },
            Second::SaveAndWait => {
                cx.save_cursor(&41_u64).await?;
                cx.save_cursor(&42_u64).await?;
                script.saved.notify_one();
                script.gate.acquire().await.unwrap().forget();
            }
            Second::Snooze => return Err(PhaseError::snooze(Duration::from_mins(5))),
            Second::Spin => {
                while !script.gate.is_closed() {
                    std::thread::yield_now();
                }
            }
        }
        Ok(format!("{word}2"))
    }
    async fn third(&self, _: &Ctx<Spell>, word: String) -> PhaseResult<String> {
        self.0.runs[2].fetch_add(1, Ordering::SeqCst);
        Ok(format!("{word}3"))
    }
}

/// Fails the test if something does not happen in a time that no sound run takes.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Waits until a job is in a state, by its events.
pub async fn reaches<J: Job>(stepwell: &Stepwell, job: &JobHandle<J>, state: JobState) {
    let mut events = stepwell.events().of_job(job.id()).after(0).subscribe();
    soon(&format!("the job is {state}"), async {
        while job.state().await.unwrap() != state {
            events.next().await.expect("the queue is open");
        }
    })
    .await;
}

/// The names of a job's events, in order.
pub async fn names<J: Job>(stepwell: &Stepwell, job: &JobHandle<J>) -> Vec<&'static str> {
    let history = stepwell.history(job.id()).await.unwrap();
    history.iter().map(|event| event.event_type.as_str()).collect()
}

/// A queue that forgets quickly: leases and graces are short, so that tests of them are.
pub fn brisk(builder: Builder) -> Builder {
    builder.lease(Duration::from_millis(600)).cancel_grace(Duration::from_millis(100))
}
