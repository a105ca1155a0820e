//! A program with an isolated phase, which does what its job says.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Builder, Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Retry, Stepwell, Worker, process::Limits,
};

/// Arguments with which the tests start this program anew.
pub(crate) const SERVE: &str = "serve";
pub(crate) const UNBEGUN: &str = "unbegun";

/// Bytes of address space that a child may use.
const MEMORY_BYTES: u64 = 2 << 30;

/// What the isolated phase does.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) enum Dish {
    Served,
    /// Fails once, with a cursor saved.
    Resumed,
    /// Never listens.
    Burning,
    /// The same, for half a second at most.
    BurningBriefly,
    /// Waits to be told to end.
    Listening,
    Panicking,
    Aborting,
    Leaving,
    Greedy,
    Later,
    TooLarge,
}

/// What is baked, and where it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bake {
    pub(crate) dish: Dish,
    pub(crate) place: PathBuf,
}

impl Job for Bake {
    const KIND: &'static str = "bake";
    type Output = Baked;
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Baked {
    pub(crate) of: Vec<u32>,
    pub(crate) try_no: u32,
    pub(crate) interrupted: bool,
    pub(crate) key: String,
    pub(crate) process: u32,
}

pub(crate) struct Oven;

impl Worker for Oven {
    type Job = Bake;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Baked> {
        let dough = plan.phase("knead", (), Self::knead);
        let mut limits = Limits::default();
        limits.memory_bytes = Some(MEMORY_BYTES);
        let baked = plan.phase("bake", dough, Self::bake).isolated().limits(limits);
        let baked = baked.retry(Retry::fixed(2, Duration::from_millis(1))).grace(Duration::from_millis(100));
        let baked = baked.timeout(Duration::from_secs(120));
        let rested = plan.blocking("rest", baked, Self::rest).isolated().retry(Retry::never());
        rested.timeout(Duration::from_millis(500)).grace(Duration::from_millis(100))
    }
}

impl Oven {
    async fn knead(&self, _: &Ctx<Bake>) -> PhaseResult<Vec<u32>> {
        Ok(vec![1, 2])
    }
    async fn bake(&self, cx: &Ctx<Bake>, of: Vec<u32>) -> PhaseResult<Baked> {
        let Bake { dish, place } = cx.job();
        let process = std::process::id();
        fs::write(place.join("child.pid"), format!("{process}\n"))?;
        match dish {
            Dish::Served | Dish::BurningBriefly => {
                cx.progress_note(1, 2, "half");
                cx.log("the oven is warm");
                // Half a line, which must not get into what is said.
                print!("printed");
            }
            Dish::Resumed => {
                match cx.cursor::<u32>()? {
                    Some(7) => {}
                    Some(other) => return Err(PhaseError::permanent(format!("a cursor of {other}"))),
                    None => {
                        cx.save_cursor(&7).await?;
                        // When that has returned it is stored, whatever becomes of this process.
                        std::process::abort();
                    }
                }
            }
            Dish::Burning => loop {
                thread::park();
            },
            Dish::Listening => {
                cx.cancelled().await;
                fs::write(place.join("told"), "")?;
                return Err("it was told to end".into());
            }
            Dish::Panicking => panic!("the oven is too hot"),
            Dish::Aborting => {
                eprintln!("the oven is on fire");
                std::process::abort();
            }
            Dish::Leaving => std::process::exit(0),
            Dish::Greedy => drop(std::hint::black_box(vec![1_u8; 4 << 30])),
            Dish::Later if cx.attempt() == 1 && cx.cursor::<u32>()?.is_none() => {
                cx.save_cursor(&1).await?;
                return Err(PhaseError::snooze(Duration::from_millis(1)));
            }
            Dish::Later => {}
            Dish::TooLarge => {
                let error = cx.save_cursor(&"x".repeat(2 << 20)).await;
                return Err(PhaseError::permanent(format!("refused: {}", error.unwrap_err())));
            }
        }
        let key = cx.idempotency_key().to_owned();
        Ok(Baked { of, try_no: cx.attempt(), interrupted: cx.interrupted(), key, process })
    }
    /// One that blocks, in a process of its own, too.
    fn rest(&self, cx: &Ctx<Bake>, baked: Baked) -> PhaseResult<Baked> {
        if cx.job().dish == Dish::BurningBriefly {
            fs::write(cx.job().place.join("child.pid"), format!("{}\n", std::process::id()))?;
            loop {
                thread::park();
            }
        }
        Ok(baked)
    }
}

pub(crate) fn workers(builder: Builder) -> Builder {
    builder.worker(Oven)
}

/// A program that bakes what burns, until it is killed.
pub(crate) fn serve() {
    let place = PathBuf::from(std::env::args().nth(2).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stepwell = workers(store(&place)).open().await.unwrap();
        let _workers = stepwell.start();
        stepwell.enqueue(Bake { dish: Dish::Burning, place }).await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// A program that has not begun as it should.
pub(crate) fn open_unbegun() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = runtime.block_on(workers(Stepwell::in_memory()).open());
    println!("{}", opened.err().map_or_else(|| "opened".to_owned(), |error| error.to_string()));
}

pub(crate) fn store(place: &Path) -> Builder {
    Stepwell::sqlite(place.join("app.db")).cancel_grace(Duration::from_millis(500))
}
