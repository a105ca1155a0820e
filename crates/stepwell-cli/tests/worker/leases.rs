//! Leases that end: of workers that are killed, that sleep, and of jobs that are taken from them.

use std::{collections::BTreeMap, fs, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell::{EventType, Job, JobHandle, Retention, Stepwell, Workers};
use stepwell_http::{Access, Api, Hosts, Limits, Server};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    proxy::Proxy,
    serving::until,
    working::{Place, Working, lives},
};

#[derive(Serialize, Deserialize)]
struct Work(String);

impl Job for Work {
    const KIND: &'static str = "k";
    type Output = Value;
}

/// A server in this process, whose leases are short.
struct Brief {
    stepwell: Stepwell,
    workers: Workers,
    url: String,
    api: Api,
    stop: oneshot::Sender<Duration>,
    served: JoinHandle<()>,
    _place: Place,
}

impl Brief {
    async fn start() -> Self {
        let place = Place::new();
        let builder = Stepwell::sqlite(place.path().join("app.db")).retention(Retention::KEEP_EVERYTHING);
        let builder = builder.lease(Duration::from_millis(1_500)).cancel_grace(Duration::from_millis(100));
        let stepwell = builder.open().await.unwrap();
        let workers = stepwell.start();
        let api = Api::new(&stepwell, Access::unrestricted(), Hosts::any());
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(api.router(), async { stopped.await.unwrap_or_default() }));
        Self { stepwell, workers, url, api, stop, served, _place: place }
    }
    async fn enqueue(&self, payload: &str) -> JobHandle<Work> {
        self.stepwell.enqueue(Work(payload.to_owned())).await.unwrap()
    }
    /// How often each phase of each job was recorded as completed.
    async fn recorded(&self) -> BTreeMap<String, usize> {
        let mut events = self.stepwell.events().of_types([EventType::PhaseCompleted]).after(0).subscribe();
        let mut recorded = BTreeMap::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(300), events.next()).await {
            let phase = format!("{} {}", event.job, event.phase.unwrap());
            *recorded.entry(phase).or_default() += 1;
        }
        recorded
    }
    async fn end(self) {
        self.api.drain();
        self.stop.send(Duration::ZERO).unwrap();
        self.served.await.unwrap();
        self.workers.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

/// Each try starts two more processes, one of which leaves the group, and goes on when it is let.
const KINDS: &str = r#"
[[kinds.k.phases]]
name = "one"
run = ["sh", "one.sh"]
[[kinds.k.phases]]
name = "two"
run = ["sh", "-c", "echo 2"]
"#;
const ONE: &str = r#"
sleep 100 &
setsid sleep 100 < /dev/null > /dev/null 2>&1 &
echo $! > escaped.pid
echo $$ >> children.log
until [ -e go ]; do sleep 0.02; done
echo '{"stepwell":"complete","output":1}'
"#;

fn place() -> Place {
    Place::with(KINDS).file("one.sh", ONE)
}
/// The number of the child that has begun as the nth.
fn begun(place: &Place, nth: usize) -> String {
    let child = || {
        let log = fs::read_to_string(place.path().join("children.log")).unwrap_or_default();
        log.split_inclusive('\n').nth(nth - 1).and_then(|line| line.strip_suffix('\n')).map(str::to_owned)
    };
    until("the child begins", || child().is_some());
    child().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_leaves_is_ended_at_its_next_start_and_the_job_goes_on() {
    let (brief, place) = (Brief::start().await, place());
    let working = Working::start(&place, &["--server", &brief.url]);
    let job = brief.enqueue("1").await;
    let child = begun(&place, 1);
    let escaped = place.child("escaped.pid");
    working.end("-KILL");
    until("the kernel ends the child", || !lives(&child));
    assert!(lives(&escaped), "there is something to be ended");
    let working = Working::start(&place, &["--server", &brief.url]);
    assert!(!lives(&escaped), "it is ended before anything is claimed");
    begun(&place, 2);
    fs::write(place.path().join("go"), "").unwrap();
    assert_eq!(job.result().await.unwrap(), json!(2));
    let recorded = brief.recorded().await;
    assert!(recorded.len() == 2 && recorded.values().all(|times| *times == 1), "{recorded:?}");
    assert_eq!(working.end("-TERM").0, Some(0));
    brief.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_beyond_its_lease_ends_what_runs_elsewhere_and_is_refused() {
    let (brief, sleepy, awake) = (Brief::start().await, place(), place());
    let sleeping = Working::start(&sleepy, &["--server", &brief.url]);
    let job = brief.enqueue("1").await;
    let child = begun(&sleepy, 1);
    sleeping.signal("-STOP");
    let working = Working::start(&awake, &["--server", &brief.url]);
    fs::write(awake.path().join("go"), "").unwrap();
    assert_eq!(job.result().await.unwrap(), json!(2));
    // Its child has an outcome by now, which must not count.
    fs::write(sleepy.path().join("go"), "").unwrap();
    sleeping.signal("-CONT");
    until("its child has ended", || !lives(&child));
    // It works again, and anew.
    assert_eq!(working.end("-TERM").0, Some(0));
    let other = brief.enqueue("2").await;
    assert_eq!(other.result().await.unwrap(), json!(2));
    let recorded = brief.recorded().await;
    assert!(recorded.len() == 4 && recorded.values().all(|times| *times == 1), "{recorded:?}");
    assert_eq!(sleeping.end("-TERM").0, Some(0));
    brief.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_cut_off_ends_what_it_runs_when_its_lease_is_over_and_begins_anew() {
    let (brief, place) = (Brief::start().await, place());
    let proxy = Proxy::before(brief.url.strip_prefix("http://").unwrap(), usize::MAX);
    let working = Working::start(&place, &["--server", &proxy.url()]);
    let job = brief.enqueue("1").await;
    let child = begun(&place, 1);
    proxy.cut(true);
    // Nobody can tell it; elsewhere the job may run by then.
    until("its lease is over, and its child has ended", || !lives(&child));
    proxy.cut(false);
    begun(&place, 2);
    fs::write(place.path().join("go"), "").unwrap();
    assert_eq!(job.result().await.unwrap(), json!(2));
    let recorded = brief.recorded().await;
    assert!(recorded.len() == 2 && recorded.values().all(|times| *times == 1), "{recorded:?}");
    assert_eq!(working.end("-TERM").0, Some(0));
    brief.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_lost_ends_its_own_child_and_no_other() {
    let kinds = r#"
[[kinds.k.phases]]
name = "p"
run = ["sh", "-c", """
trap '' TERM
echo $$ > "$(cat | sed 's/.*"payload":"\\([a-z]*\\)".*/\\1/').pid"
until [ -e go ]; do sleep 0.02; done
echo 1
"""]
grace = "1000s"
"#;
    let (brief, place) = (Brief::start().await, Place::with(kinds));
    let working = Working::start(&place, &["--server", &brief.url]);
    let (taken, kept) = (brief.enqueue("taken").await, brief.enqueue("kept").await);
    for name in ["taken.pid", "kept.pid"] {
        until("it begins", || {
            fs::read_to_string(place.path().join(name)).is_ok_and(|text| text.ends_with('\n'))
        });
    }
    // Its program does not listen, and the server ends the job without it.
    brief.stepwell.cancel(taken.id()).await.unwrap();
    assert!(taken.result().await.unwrap_err().is_job_cancelled());
    until("its child has ended", || !place.child_lives("taken.pid"));
    assert!(place.child_lives("kept.pid"));
    fs::write(place.path().join("go"), "").unwrap();
    assert_eq!(kept.result().await.unwrap(), json!(1));
    assert_eq!(working.end("-TERM").0, Some(0));
    brief.end().await;
}
