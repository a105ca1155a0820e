//! What a node does: it enqueues jobs, works them, and tells whoever has started it.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Builder, Ctx, Event, Job, Phase, PhaseResult, Plan, Retention, Stepwell, Unique, Worker};

use super::sink::local;

/// So long after its last sign of life a node is taken for dead.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// A queue of which each node works few jobs at once.
pub(crate) const NARROW: &str = "narrow";
pub(crate) const NARROW_AT_ONCE: usize = 2;
/// How many jobs of it all nodes work at once together: less than they would.
pub(crate) const NARROW_LIMIT: u32 = 3;
/// Queues of which each has at most one live job, because all of its jobs have the same unique key.
pub(crate) const SINGLE: &str = "single-";
const SINGLES: u64 = 6;
const CALLERS: u64 = 2;

const URL: &str = "STEPWELL_CHAOS_URL";
const NODE: &str = "STEPWELL_CHAOS_NODE";

/// What a node is told by its environment.
pub(crate) struct Orders {
    url: String,
    name: String,
}

impl Orders {
    pub(crate) fn of_a_node() -> Option<Self> {
        Some(Self { url: std::env::var(URL).ok()?, name: std::env::var(NODE).ok()? })
    }
    pub(crate) fn environment(url: String, name: &str) -> [(&'static str, String); 2] {
        [(URL, url), (NODE, name.to_owned())]
    }
}

/// A job of three phases, each of which adds one.
#[derive(Serialize, Deserialize)]
struct Chain {
    n: u64,
    is_narrow: bool,
}
impl Job for Chain {
    const KIND: &'static str = "chain";
    type Output = u64;
}

struct Links {
    /// How many jobs of the narrow queue are running here.
    narrow: AtomicUsize,
}

impl Worker for Links {
    type Job = Chain;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
        let one = plan.phase("one", (), Self::one);
        let two = plan.phase("two", one, Self::two);
        plan.phase("three", two, Self::three)
    }
}

impl Links {
    async fn one(&self, cx: &Ctx<Chain>) -> PhaseResult<u64> {
        Ok(cx.job().n + 1)
    }
    /// Takes a little, so that whatever happens finds some of them running.
    async fn two(&self, cx: &Ctx<Chain>, n: u64) -> PhaseResult<u64> {
        let pause = Duration::from_millis(5 + cx.job().n * 7 % 60);
        if !cx.job().is_narrow {
            tokio::time::sleep(pause).await;
            return Ok(n + 1);
        }
        let at_once = self.narrow.fetch_add(1, Ordering::SeqCst) + 1;
        if at_once > NARROW_AT_ONCE {
            say(&format!("broken: {at_once} jobs of the queue {NARROW} at once"));
        }
        // Also when the future is dropped.
        let _one = Leave(&self.narrow);
        tokio::time::sleep(pause).await;
        Ok(n + 1)
    }
    async fn three(&self, cx: &Ctx<Chain>, n: u64) -> PhaseResult<u64> {
        if n != cx.job().n + 2 {
            say(&format!("broken: {} was handed {n} as what came of its job {}", cx.id(), cx.job().n));
        }
        Ok(n + 1)
    }
}

struct Leave<'n>(&'n AtomicUsize);
impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("whoever has started the node listens");
}

/// A queue on this database that works nothing yet.
pub(crate) fn queue(url: &str, name: &str) -> Builder {
    Stepwell::postgres(url).retention(Retention::KEEP_EVERYTHING).lease(LEASE).node(name).webhooks(local())
}

fn builder(orders: &Orders) -> Builder {
    let links = Links { narrow: AtomicUsize::new(0) };
    let builder = queue(&orders.url, &orders.name).worker(links).queue(NARROW, NARROW_AT_ONCE);
    (0..SINGLES).fold(builder, |builder, n| builder.queue(format!("{SINGLE}{n}"), 4))
}

/// Works and enqueues until it is told that it is enough, and works on until its input ends.
pub(crate) async fn work(orders: Orders) {
    let stepwell = loop {
        match builder(&orders).open().await {
            Ok(stepwell) => break stepwell,
            // The database may be away just now.
            Err(error) => say(&format!("refused: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let workers = stepwell.start();
    let is_enough = Arc::new(AtomicBool::new(false));
    let callers = (0..CALLERS).map(|caller| tokio::spawn(call(stepwell.clone(), caller, is_enough.clone())));
    let callers: Vec<_> = callers.collect();
    let read_line = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(read_line).await.unwrap().unwrap();
    is_enough.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    say("enough");
    tokio::task::spawn_blocking(read_line).await.unwrap().unwrap();
    workers.shutdown(Duration::from_secs(20)).await.unwrap();
    say("ended in order");
}

/// Enqueues jobs one after another, and says what was acknowledged.
async fn call(stepwell: Stepwell, caller: u64, is_enough: Arc<AtomicBool>) {
    for n in 0.. {
        if is_enough.load(Ordering::SeqCst) {
            return;
        }
        // However often nodes die: none of these jobs is to blame.
        let job = stepwell.enqueue(Chain { n, is_narrow: n % 4 == 0 }).max_crashes(1_000);
        let single = n / 4 % SINGLES;
        let job = match n % 4 {
            0 => job.queue(NARROW),
            1 => job.queue(format!("{SINGLE}{single}")).unique(Unique::key(single)),
            _ => job,
        };
        match job.await {
            Ok(job) => say(&format!("acknowledged {}", job.id())),
            Err(error) => say(&format!("refused: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(40 + (n * 31 + caller * 17) % 60)).await;
    }
}

/// What happened to two jobs that ran one after the other.
pub(crate) async fn two_histories() -> (Vec<Event>, Vec<Event>) {
    let bed = stepwell::testing::TestBed::with(Links { narrow: AtomicUsize::new(0) }).await;
    let mut histories = Vec::new();
    for n in 0..2 {
        let job = bed.enqueue(Chain { n, is_narrow: false }).await.unwrap();
        bed.run_until_idle().await;
        histories.push(bed.history(job.id()).await.unwrap());
    }
    let second = histories.remove(1);
    (histories.remove(0), second)
}
