//! A phase that commits rows of its own together with its end, on both stores and through each driver.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(
    feature = "sqlite",
    feature = "rusqlite",
    feature = "tokio-postgres",
    feature = "sqlx",
    feature = "process"
))]

mod completing;
mod support;

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::Duration,
};

use completing::{Act, Charge, POINT, POINTS, Place, Site, Till};
use stepwell::{EventType, JobHandle, JobId, JobState, Stepwell, copy};
use support::soon;

const PLACE: &str = "STEPWELL_COMPLETE_IN_PLACE";
const GRACE: Duration = Duration::from_secs(10);

/// How often a phase was begun and completed.
async fn told(stepwell: &Stepwell, job: &JobHandle<Charge>, phase: &str) -> (usize, usize) {
    let history = stepwell.history(job.id()).await.unwrap();
    let count = |ty| {
        let of_phase = |event: &&stepwell::Event| {
            event.event_type == ty && format!("{:?}", event.change).contains(phase)
        };
        history.iter().filter(of_phase).count()
    };
    (count(EventType::PhaseStarted), count(EventType::PhaseCompleted))
}

/// Runs one job whose second phase does this.
async fn run(site: &Site, act: Act) -> (Stepwell, stepwell::Workers, Till, JobHandle<Charge>) {
    let till = Till::new(&site.place, act);
    let stepwell = till.open().await;
    let workers = stepwell.start();
    let job = stepwell.enqueue(Charge(20)).await.unwrap();
    (stepwell, workers, till, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_counts_whatever_the_phase_does_then() {
    for site in Site::each() {
        for act in [Act::Commit, Act::CommitAndFail, Act::CommitAndPanic, Act::SaveAfter, Act::Twice] {
            let (stepwell, workers, till, job) = run(&site, act).await;
            assert_eq!(
                soon("the job ends", job.result()).await.unwrap(),
                41,
                "{act:?} {}",
                site.place.name()
            );
            assert_eq!((site.effects(job.id()), till.runs()), (1, 1), "{act:?} {}", site.place.name());
            assert_eq!(told(&stepwell, &job, "charge").await, (1, 1));
            let errors: Vec<String> =
                till.script.errors.lock().unwrap().iter().map(ToString::to_string).collect();
            match act {
                Act::SaveAfter => assert!(errors[0].contains("commit and return"), "{errors:?}"),
                Act::Twice => {
                    assert!(errors[0].contains("was completed in a transaction already"), "{errors:?}");
                }
                _ => assert!(errors.is_empty(), "{errors:?}"),
            }
            workers.shutdown(GRACE).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_committed_never_was() {
    for site in Site::each() {
        for (act, says) in [
            (Act::RollBack, "rolled back"),
            (Act::ForgetCommit, "its transaction was not committed"),
            (Act::WrongOutput, "the phase returns a `i64`"),
        ] {
            let (_, workers, till, job) = run(&site, act).await;
            let error = soon("the job ends", job.result()).await.unwrap_err();
            assert!(error.is_job_failed() && error.to_string().contains(says), "{error}");
            assert_eq!((site.effects(job.id()), till.runs()), (0, 2), "{act:?} {}", site.place.name());
            workers.shutdown(GRACE).await.unwrap();
        }
    }
}

/// The child: works until it is killed, or until nothing is left to do. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let (name, url) = place.split_once(' ').unwrap();
    let stepwell = Till::new(&Place::named(name, url.to_owned()), Act::Commit).open().await;
    let _workers = stepwell.start();
    std::future::pending::<()>().await;
}

/// A child works one job, until it is killed there.
async fn killed(place: &Place, point: &'static str) -> JobId {
    let front = Till::new(place, Act::Commit).builder().open().await.unwrap();
    let job = front.enqueue(Charge(20)).await.unwrap().id();
    front.close().await.unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child", "--test-threads=1"])
        .env(PLACE, format!("{} {}", place.name(), place.url()))
        .env(POINT, point)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = tokio::task::spawn_blocking(move || child.status()).await.unwrap().unwrap();
    assert_eq!(status.signal(), Some(9), "it was killed");
    job
}

async fn dies(site: &str, point: &'static str) {
    let site = Site::of(site);
    let job = killed(&site.place, point).await;
    let was_committed = matches!(point, "after-commit" | "after-record");
    let at = format!("{point}, {}", site.place.name());
    assert_eq!(site.effects(job), i64::from(was_committed), "{at}");
    let till = Till::new(&site.place, Act::Commit);
    let stepwell = till.open().await;
    let workers = stepwell.start();
    let job = stepwell.handle::<Charge>(job);
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), 41, "{at}");
    assert_eq!(site.effects(job.id()), 1, "{at}");
    assert_eq!(till.runs(), u32::from(!was_committed), "{at}");
    let begun = if was_committed { 1 } else { 2 };
    assert_eq!(told(&stepwell, &job, "charge").await, (begun, 1), "{at}");
    workers.shutdown(GRACE).await.unwrap();
}

/// All at once, because most of it is waiting for a dead process to be found dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_result_agree_however_the_process_dies() {
    let each = ["sqlite", "tokio", "sqlx"].map(|site| POINTS.map(|point| tokio::spawn(dies(site, point))));
    for dies in each.into_iter().flatten() {
        dies.await.unwrap();
    }
}

/// Waits until a call was refused because the lease was lost.
async fn refused(till: &Till) {
    while till.script.errors.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let errors = till.script.errors.lock().unwrap();
    assert!(errors[0].is_lease_lost(), "{errors:?}");
}

/// A blocking phase cannot be made to stop: its job ends without it, and it wakes up later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_lost_the_lease_is_refused() {
    let site = Site::of("sqlite");
    let (stepwell, workers, till, job) = run(&site, Act::Gates).await;
    soon("it is at the gate", till.script.at_gate[0].acquire()).await.unwrap().forget();
    job.cancel().await.unwrap();
    soon("the job ends", job.ended()).await.unwrap();
    assert_eq!(job.state().await.unwrap(), JobState::Cancelled);
    till.script.gates[0].add_permits(1);
    soon("it is refused", refused(&till)).await;
    assert_eq!(site.effects(job.id()), 0);
    assert_eq!(told(&stepwell, &job, "charge").await, (1, 0));
    workers.shutdown(GRACE).await.unwrap();
}

/// Somebody else has claimed it, as far as the row says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_epoch_is_another_owner() {
    for name in ["tokio", "sqlx"] {
        let site = Site::of(name);
        let (_, workers, till, job) = run(&site, Act::Gates).await;
        soon("it is at the gate", till.script.at_gate[0].acquire()).await.unwrap().forget();
        site.database().query("UPDATE stepwell.job SET epoch = epoch + 1").unwrap();
        till.script.gates[0].add_permits(1);
        soon("it is refused", refused(&till)).await;
        assert_eq!(site.effects(job.id()), 0);
        drop(workers.shutdown(GRACE).await);
    }
}

/// The lease is lost between the call and the commit: the job is not taken before the transaction has ended, and then
/// its phase has. The handler is played by the test, because a node that finds itself dead would end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reaper_comes_after_the_commit() {
    let site = Site::of("tokio");
    let (_, workers, till, job) = run(&site, Act::Gates).await;
    soon("it is at the gate", till.script.at_gate[0].acquire()).await.unwrap().forget();
    // Both nodes may take what comes later.
    *till.script.act.lock().unwrap() = Act::Commit;
    let (mut client, connection) =
        tokio_postgres::connect(site.place.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let tx = client.transaction().await.unwrap();
    let id = job.id().to_string();
    tx.execute("INSERT INTO effect VALUES ($1, 20)", &[&id]).await.unwrap();
    let call = "SELECT stepwell.complete_in(uuid::text, epoch, token::text, 'charge', 'charge', '40') \
                FROM stepwell.job";
    assert_eq!(tx.query_one(call, &[]).await.unwrap().get::<_, &str>(0), "done");
    // However slow the machine is.
    tx.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0").await.unwrap();

    let second = Till::new(&site.place, Act::Commit);
    let stepwell = second.open().await;
    let successors = stepwell.start();
    site.database()
        .query("UPDATE stepwell.session SET dead = true WHERE id = (SELECT session FROM stepwell.job)")
        .unwrap();
    // What is asked of others meanwhile is answered.
    let other = soon("another job is taken on", stepwell.enqueue(Charge(1)).into_future()).await.unwrap();
    assert_eq!(soon("another job ends", other.result()).await.unwrap(), 3);
    assert_eq!(job.state().await.unwrap(), JobState::Running);
    tx.commit().await.unwrap();
    let job = stepwell.handle::<Charge>(job.id());
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), 41);
    assert_eq!(site.effects(job.id()), 1);
    assert_eq!(told(&stepwell, &job, "charge").await, (1, 1));
    successors.shutdown(GRACE).await.unwrap();
    drop(workers.shutdown(GRACE).await);
}

/// A cancellation that comes after the commit leaves the result, and nothing of the job runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_keeps_what_was_committed() {
    for site in Site::each() {
        let (stepwell, workers, till, job) = run(&site, Act::CommitAndHang).await;
        soon("it has committed", async {
            while site.effects(job.id()) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        job.cancel().await.unwrap();
        soon("the job ends", job.ended()).await.unwrap();
        let record = job.record().await.unwrap();
        assert_eq!(record.state, JobState::Cancelled, "{}", site.place.name());
        assert_eq!(told(&stepwell, &job, "charge").await, (1, 1), "{}", site.place.name());
        assert_eq!((site.effects(job.id()), till.runs()), (1, 1));
        // An operator may let it go on, from where it stands.
        job.retry().await.unwrap();
        assert_eq!(soon("the job ends", job.result()).await.unwrap(), 41, "{}", site.place.name());
        assert_eq!((site.effects(job.id()), till.runs()), (1, 1));
        drop(workers.shutdown(GRACE).await);
    }
}

/// A cancellation that comes between the call and the commit waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_waits_for_the_commit() {
    for name in ["tokio", "sqlx"] {
        let site = Site::of(name);
        let (stepwell, workers, till, job) = run(&site, Act::Gates).await;
        till.script.gates[0].add_permits(1);
        soon("it is about to commit", till.script.at_gate[1].acquire()).await.unwrap().forget();
        let cancelling = tokio::spawn({
            let job = stepwell.handle::<Charge>(job.id());
            async move { job.cancel().await }
        });
        soon("it waits", async {
            let waits = "SELECT count(*) FROM pg_stat_activity \
                         WHERE wait_event_type = 'Lock' AND datname = current_database()";
            while site.database().query(waits).unwrap()[0][0].as_deref() == Some("0") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        till.script.gates[1].add_permits(1);
        let state = soon("it is answered", cancelling).await.unwrap().unwrap();
        soon("the job ends", job.ended()).await.unwrap();
        assert_eq!((site.effects(job.id()), told(&stepwell, &job, "charge").await), (1, (1, 1)), "{state}");
        drop(workers.shutdown(GRACE).await);
    }
}

/// Whoever holds up everybody is ended by the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stands_still_after_the_call_is_ended() {
    let site = Site::of("tokio");
    let (_, workers, till, job) = run(&site, Act::Gates).await;
    till.script.gates[0].add_permits(1);
    soon("it is about to commit", till.script.at_gate[1].acquire()).await.unwrap().forget();
    soon("the cancellation is answered", job.cancel()).await.unwrap();
    till.script.gates[1].add_permits(1);
    soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((job.state().await.unwrap(), site.effects(job.id())), (JobState::Cancelled, 0));
    drop(workers.shutdown(GRACE).await);
}

/// A copy carries what was committed and not recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_knows_that_the_phase_has_ended() {
    let site = Site::of("sqlite");
    let job = killed(&site.place, "after-commit").await;
    let there = Site::of("tokio");
    let from = copy::Place::sqlite(site.place.url());
    copy::Copying::new(from, copy::Place::postgres(there.place.url())).run().await.unwrap();
    let till = Till::new(&there.place, Act::Commit);
    let stepwell = till.open().await;
    let workers = stepwell.start();
    let job = stepwell.handle::<Charge>(job);
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), 41);
    assert_eq!((till.runs(), there.effects(job.id())), (0, 0), "its rows stay where they are");
    workers.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_queue_in_memory_refuses() {
    let site = Site::of("tokio");
    let till = Till::new(&site.place, Act::Commit);
    let stepwell = Stepwell::in_memory().worker(till.clone()).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Charge(20)).await.unwrap();
    let error = soon("the job ends", job.result()).await.unwrap_err();
    assert!(error.to_string().contains("a queue in memory"), "{error}");
    assert_eq!(site.effects(job.id()), 0);
    workers.shutdown(GRACE).await.unwrap();
}
