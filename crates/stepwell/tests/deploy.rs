//! A job that stands in the middle of its plan when a new version of its worker takes over.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "sqlite")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobId, JobState, Phase, PhaseResult, PhaseState, Plan, Retry, Stepwell, Worker};
use support::soon;

#[derive(Serialize, Deserialize)]
struct Order;
impl Job for Order {
    const KIND: &'static str = "order";
    type Output = String;
}

/// What ran, in order; and whether the phase `pay` fails so that the job waits there.
#[derive(Clone, Default)]
struct Shop {
    ran: Arc<Mutex<Vec<String>>>,
    broke: Arc<AtomicBool>,
}

impl Shop {
    fn note(&self, phase: &str) -> String {
        self.ran.lock().unwrap().push(phase.to_owned());
        phase.to_owned()
    }
    fn ran(&self) -> Vec<String> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }
}

/// A version of the worker: its phases in order, each of which takes the result of the one before, but for the last,
/// which also says what it was given.
macro_rules! version {
    ($name:ident, $plan:expr) => {
        struct $name(Shop);
        impl Worker for $name {
            type Job = Order;
            fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
                let declare: fn(&Plan<Self>) -> Phase<'_, String> = $plan;
                declare(plan)
            }
        }
        #[allow(dead_code, reason = "each version has a part of them")]
        impl $name {
            async fn first(&self, cx: &Ctx<Order>) -> PhaseResult<String> {
                Ok(self.0.note(cx.phase()))
            }
            async fn next(&self, cx: &Ctx<Order>, before: String) -> PhaseResult<String> {
                Ok(format!("{before}+{}", self.0.note(cx.phase())))
            }
            async fn pay(&self, cx: &Ctx<Order>, before: String) -> PhaseResult<String> {
                self.0.note(cx.phase());
                if self.0.broke.load(Ordering::SeqCst) {
                    return Err("the bank does not answer".into());
                }
                Ok(format!("{before}+{}", cx.phase()))
            }
        }
    };
}

fn soon_again() -> Retry {
    Retry::fixed(1_000, Duration::from_millis(20))
}

version!(Before, |plan| {
    let cart = plan.phase("cart", (), Self::first);
    let check = plan.phase("check", cart, Self::next);
    let pay = plan.phase("pay", check, Self::pay).retry(soon_again());
    plan.phase("ship", pay, Self::next)
});
// `check` is now `verify`.
version!(Renamed, |plan| {
    let cart = plan.phase("cart", (), Self::first);
    let verify = plan.phase("verify", cart, Self::next).renamed_from("check");
    let pay = plan.phase("pay", verify, Self::pay).retry(soon_again());
    plan.phase("ship", pay, Self::next)
});
// `weigh` is new before the job's position and nothing needs it; `wrap` is new after it.
version!(Added, |plan| {
    let cart = plan.phase("cart", (), Self::first);
    plan.phase("weigh", cart, Self::next);
    let check = plan.phase("check", cart, Self::next);
    let pay = plan.phase("pay", check, Self::pay).retry(soon_again());
    let wrap = plan.phase("wrap", pay, Self::next);
    plan.phase("ship", wrap, Self::next)
});
// `weigh` is new before the job's position, and `pay` needs it.
version!(Needed, |plan| {
    let cart = plan.phase("cart", (), Self::first);
    let check = plan.phase("check", cart, Self::next);
    let weigh = plan.phase("weigh", check, Self::next);
    let pay = plan.phase("pay", weigh, Self::pay).retry(soon_again());
    plan.phase("ship", pay, Self::next)
});
// `check` has gone.
version!(Removed, |plan| {
    let cart = plan.phase("cart", (), Self::first);
    let pay = plan.phase("pay", cart, Self::pay).retry(soon_again());
    plan.phase("ship", pay, Self::next)
});
// `check` comes before `cart`.
version!(Reordered, |plan| {
    let check = plan.phase("check", (), Self::first);
    let cart = plan.phase("cart", check, Self::next);
    let pay = plan.phase("pay", cart, Self::pay).retry(soon_again());
    plan.phase("ship", pay, Self::next)
});

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
    shop: Shop,
    job: JobId,
}

/// A job that has passed `cart` and `check` under the old version, and waits to pay.
async fn waiting_to_pay() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let shop = Shop::default();
    shop.broke.store(true, Ordering::SeqCst);
    let stepwell = Stepwell::sqlite(&path).worker(Before(shop.clone())).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Order).await.unwrap().id();
    let waits = async {
        while shop.ran.lock().unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon("it tries to pay", waits).await;
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(shop.ran()[..3], ["cart", "check", "pay"]);
    shop.broke.store(false, Ordering::SeqCst);
    Place { _dir: dir, path, shop, job }
}

/// The new version ends the job. Answers with its result, what ran, and how its phases ended.
async fn ends_under<W: Worker<Job = Order>>(place: &Place, worker: W) -> (String, Vec<String>, Vec<String>) {
    let path: &Path = &place.path;
    let stepwell = Stepwell::sqlite(path).worker(worker).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.handle::<Order>(place.job);
    let result = soon("the job ends", job.result()).await.unwrap();
    let record = job.record().await.unwrap();
    assert_eq!(record.state, JobState::Completed);
    let skipped = record.phases.iter().filter(|phase| phase.state == PhaseState::Skipped);
    let skipped = skipped.map(|phase| phase.name.to_string()).collect();
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    (result, place.shop.ran(), skipped)
}

#[tokio::test]
async fn the_same_version_goes_on_where_the_job_stood() {
    let place = waiting_to_pay().await;
    let (result, ran, skipped) = ends_under(&place, Before(place.shop.clone())).await;
    assert_eq!((&*result, ran, skipped.len()), ("cart+check+pay+ship", vec!["pay".into(), "ship".into()], 0));
}

#[tokio::test]
async fn a_renamed_phase_keeps_its_result() {
    let place = waiting_to_pay().await;
    let (result, ran, skipped) = ends_under(&place, Renamed(place.shop.clone())).await;
    assert_eq!((&*result, ran, skipped.len()), ("cart+check+pay+ship", vec!["pay".into(), "ship".into()], 0));
}

#[tokio::test]
async fn an_added_phase_runs_where_the_job_has_yet_to_come_and_is_skipped_where_it_has_been() {
    let place = waiting_to_pay().await;
    let (result, ran, skipped) = ends_under(&place, Added(place.shop.clone())).await;
    assert_eq!(
        (&*result, ran),
        ("cart+check+pay+wrap+ship", vec!["pay".into(), "wrap".into(), "ship".into()])
    );
    assert_eq!(skipped, ["weigh"]);
}

#[tokio::test]
async fn an_added_phase_that_a_due_one_needs_runs_first() {
    let place = waiting_to_pay().await;
    let (result, ran, skipped) = ends_under(&place, Needed(place.shop.clone())).await;
    let wanted: Vec<String> = ["weigh", "pay", "ship"].map(String::from).into();
    assert_eq!((&*result, ran, skipped.len()), ("cart+check+weigh+pay+ship", wanted, 0));
}

#[tokio::test]
async fn a_removed_phase_is_passed_over_and_its_result_is_kept() {
    let place = waiting_to_pay().await;
    let (result, ran, _) = ends_under(&place, Removed(place.shop.clone())).await;
    assert_eq!((&*result, ran), ("cart+pay+ship", vec!["pay".into(), "ship".into()]));
    let stepwell = Stepwell::sqlite(&place.path).open().await.unwrap();
    let kept = stepwell.phase_result(place.job, "check").await.unwrap();
    assert_eq!(kept.unwrap().as_str(), r#""cart+check""#);
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn phases_in_another_order_keep_their_results() {
    let place = waiting_to_pay().await;
    let (result, ran, skipped) = ends_under(&place, Reordered(place.shop.clone())).await;
    assert_eq!((&*result, ran, skipped.len()), ("cart+pay+ship", vec!["pay".into(), "ship".into()], 0));
}
