//! From start to exit code.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use stepwell::{Change, Event, EventStream, JobId, Retention, Stepwell, Timestamp, Workers};
use stepwell_http::Access;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    Options,
    board::Board,
    file::FileWorker,
    jobs::{self, Jobs},
    list::Lists,
    manifest,
    slow::Slow,
    tree::{self, TreeWorker, WorkTree},
    view::{TICK, View},
    walk,
};
use crate::{
    config::Config,
    failure::{FailedTo, Failure},
    http::{Http, Listen},
    interrupts::Interrupts,
};

pub(super) const HOME: &str = ".stepwell";
/// How long running phases have after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);
/// How long requests have that are under way then.
pub(super) const HTTP_GRACE: Duration = Duration::from_millis(500);
/// Where the API is served, unless set; the ports after it are tried if that one is taken.
const FURTHER_PORTS: u16 = 50;
/// When no event has come for so long after the last job has ended, all have been shown.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// Exit codes.
pub(super) const SUCCESS: u8 = 0;
const SOME_FAILED: u8 = 1;
pub(super) const INTERRUPTED: u8 = 130;

/// A start of `stepwell dev`.
struct Session {
    stepwell: Stepwell,
    http: Option<Http>,
    workers: Workers,
    events: EventStream,
    jobs: Jobs,
    lists: Lists,
    list: String,
    view: View,
    until_idle: bool,
    begun: Timestamp,
    /// What an earlier process had begun.
    resumed: BTreeSet<JobId>,
    resumed_told: bool,
}

pub(crate) async fn run(options: Options, config: Option<Config>) -> Result<u8, Failure> {
    if let Some(config) = config {
        return super::kinds::run(options, config).await;
    }
    let mut interrupts = Interrupts::listen();
    let mut session = tokio::select! {
        opened = Session::open(options) => opened?,
        () = interrupts.next() => return Ok(INTERRUPTED),
    };
    let outcome = tokio::select! {
        outcome = session.work() => outcome,
        () = interrupts.next() => Ok(INTERRUPTED),
    };
    session.view.end();
    if let Ok(INTERRUPTED) = outcome {
        let words = "interrupted: letting running phases end; Ctrl-C again to give their jobs back at once";
        session.view.say(words, &json!({ "type": "dev:interrupted" }));
    }
    if let Some(http) = session.http.take() {
        http.stop(HTTP_GRACE).await;
    }
    stop(&session.workers, &mut interrupts).await;
    outcome
}

impl Session {
    async fn open(options: Options) -> Result<Self, Failure> {
        let dir = directory(&options.dir)?;
        let home = Path::new(HOME);
        make_home(home)?;
        let path = home.join("stepwell.db");
        let (board, slow) = (Board::default(), Slow::by(options.slow));
        let lists = Lists::in_directory(home.join("lists"));
        let stepwell = Stepwell::sqlite(&path)
            .worker(FileWorker { slow: slow.clone(), board: board.clone() })
            .worker(TreeWorker { slow, lists: lists.clone() })
            .queue("default", options.concurrency)
            // The manifest is made of what the jobs have recorded.
            .retention(Retention::KEEP_EVERYTHING)
            .webhooks(options.webhooks.clone())
            .open()
            .await
            .failed_to(format!("open {}", path.display()))?;
        let begun = stepwell.clock().now();
        let view = View::new(options.json, board);
        let store = stepwell.describe();
        view.say(
            &format!("store {} {}, {}", store.store, path.display(), store.durability),
            &json!({ "type": "dev:store", "store": store.store, "path": path, "durability": store.durability }),
        );

        let http = match options.listen {
            Some(address) => serve(&stepwell, address, &view).await,
            None => None,
        };

        let (files, problems) = {
            let (dir, all) = (dir.clone(), options.all);
            tokio::task::spawn_blocking(move || walk::files(&dir, all)).await.failed_to("list the files")?
        };
        for notice in store.notices.iter().chain(&problems) {
            view.say(notice, &json!({ "type": "dev:notice", "message": notice }));
        }
        let list = tree::key(&dir, &files);
        let tree =
            WorkTree { dir: dir.to_string_lossy().into_owned(), list: list.clone(), files: files.len() };
        // Before its job can run.
        lists.write(&list, &files).failed_to("write the list of files")?;
        let jobs = Jobs::new(files, tree);

        // What happened before is counted here; what happens from now on is heard.
        let events = stepwell.events().subscribe();
        let resumed = jobs::given_back(&stepwell).await.failed_to("list the jobs")?.into_iter().collect();
        let workers = stepwell.start();
        let (until_idle, resumed_told) = (options.until_idle, false);
        Ok(Self {
            stepwell,
            http,
            workers,
            events,
            jobs,
            lists,
            list,
            view,
            until_idle,
            begun,
            resumed,
            resumed_told,
        })
    }

    /// Works, and shows what happens, until nothing is left if so wished.
    async fn work(&mut self) -> Result<u8, Failure> {
        let done = self.jobs.done(&self.stepwell).await.failed_to("list the jobs")?;
        let retried = self.jobs.retry(&self.stepwell).await.failed_to("retry the jobs that failed")?;
        if retried > 0 {
            let words = format!("retrying {retried} failed jobs");
            self.view.say(&words, &json!({ "type": "dev:retried", "jobs": retried }));
        }
        let added = self.jobs.enqueue(&self.stepwell).await.failed_to("enqueue the files")?;
        self.view.say(&format!("added {added} jobs"), &json!({ "type": "dev:added", "jobs": added }));
        self.view.begin(self.jobs.files.len(), done);

        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = false;
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => {
                        reported &= !matches!(event.change, Change::Enqueued | Change::Retried);
                        self.hear(&event);
                    }
                    None => return Err(Failure::to("follow the jobs", "the store was closed")),
                },
                () = self.workers.terminated() => return Ok(INTERRUPTED),
                _ = ticks.tick() => {
                    self.view.tick();
                    if reported || !jobs::is_idle(&self.stepwell).await.failed_to("count the jobs")? {
                        continue;
                    }
                    while let Ok(Some(event)) = timeout(QUIET, self.events.next()).await {
                        self.hear(&event);
                    }
                    // Jobs of a dead process are given back before the store can look idle.
                    self.tell_resumed();
                    let code = self.report().await?;
                    if self.until_idle {
                        return Ok(code);
                    }
                    self.view.say("nothing is left to do; Ctrl-C ends", &json!({ "type": "dev:idle" }));
                    reported = true;
                }
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        match event.change {
            Change::Interrupted { .. } if !self.resumed_told => drop(self.resumed.insert(event.job)),
            // Dead processes are recovered from before anything is claimed: with the first claim it is known how many
            // jobs go on.
            Change::Started | Change::Resumed => self.tell_resumed(),
            _ => {}
        }
        self.view.show(event);
    }
    fn tell_resumed(&mut self) {
        let n = self.resumed.len();
        if !std::mem::replace(&mut self.resumed_told, true) && n > 0 {
            self.view.say(&format!("resumed {n} jobs"), &json!({ "type": "dev:resumed", "jobs": n }));
        }
    }

    /// Writes the manifest, and says what has come out.
    async fn report(&mut self) -> Result<u8, Failure> {
        let outcome =
            self.jobs.outcome(&self.stepwell).await.failed_to("read what the jobs have recorded")?;
        let path = Path::new(HOME).join("manifest.jsonl");
        manifest::write(&path, outcome.entries()).failed_to(format!("write {}", path.display()))?;
        for name in
            jobs::idle_lists(&self.stepwell, &self.lists, &self.list).await.failed_to("list the jobs")?
        {
            self.lists.remove(&name).failed_to("remove an old list of files")?;
        }

        let (files, bytes, compressed) =
            outcome.entries().fold((0_u64, 0, 0), |(files, bytes, compressed), entry| {
                (files + 1, bytes + entry.bytes, compressed + entry.compressed_bytes)
            });
        let (failed, total) = (outcome.failed.len(), outcome.total);
        let lines = total.map_or_else(String::new, |total| format!(", {} lines", total.lines));
        let took = self.stepwell.clock().now().since(self.begun);
        self.view.end();
        for failed in &outcome.failed {
            let (path, reason) = (&failed.path, &failed.reason);
            let object = json!({ "type": "dev:failed", "path": path, "reason": reason });
            self.view.say(&format!("failed: {path}: {reason}"), &object);
        }
        self.view.say(
            &format!(
                "{files} files, {bytes} bytes{lines}, {compressed} bytes compressed, {failed} failed, in {:.1} s; {}",
                took.as_secs_f64(),
                path.display()
            ),
            &json!({
                "type": "dev:summary", "files": files, "bytes": bytes, "compressedBytes": compressed,
                "failed": failed, "tookMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "tree": total,
            }),
        );
        Ok(if failed == 0 { SUCCESS } else { SOME_FAILED })
    }
}

/// Serves the API to everybody on this machine. The work goes on without it, too.
pub(super) async fn serve(stepwell: &Stepwell, address: SocketAddr, view: &View) -> Option<Http> {
    let listen = Listen {
        address,
        further_ports: FURTHER_PORTS,
        hosts: Vec::new(),
        access: Access::unrestricted(),
        requests_per_minute: None,
    };
    match Http::start(stepwell, listen).await {
        Ok(http) => {
            let url = http.url();
            view.say(
                &format!("API {url}/api/v1, without a token"),
                &json!({ "type": "dev:serving", "url": url }),
            );
            Some(http)
        }
        Err(error) => {
            let words = format!("no API: failed to listen on {address} or a port after it: {error}");
            view.say(&words, &json!({ "type": "dev:notice", "message": words }));
            None
        }
    }
}

fn directory(named: &Path) -> Result<PathBuf, Failure> {
    let what = format!("open the directory {}", named.display());
    let dir = named.canonicalize().map_err(|error| {
        let fix = match error.kind() {
            io::ErrorKind::NotFound => "; name one that exists with --dir",
            io::ErrorKind::PermissionDenied => "; name one that this user may read with --dir",
            _ => "; name another with --dir",
        };
        Failure::to(&what, format!("{error}{fix}"))
    })?;
    if !dir.is_dir() {
        return Err(Failure::to(what, "it is not a directory; name one with --dir"));
    }
    // To find nothing in it would look like success.
    if let Err(error) = fs::read_dir(&dir) {
        return Err(Failure::to(what, format!("{error}; name one that this user may read with --dir")));
    }
    Ok(dir)
}

/// The directory for the queue and the manifest, which is where `dev` is started.
pub(super) fn make_home(home: &Path) -> Result<(), Failure> {
    let Err(error) = fs::create_dir_all(home) else { return Ok(()) };
    let fix = match error.kind() {
        io::ErrorKind::AlreadyExists => "; a file has its name, move it away",
        _ => "; start in a directory that this user may write, and name the files' directory with --dir",
    };
    Err(Failure::to(format!("create the directory ./{HOME}"), format!("{error}{fix}")))
}

/// Ends in order; a further Ctrl-C shortens it.
pub(super) async fn stop(workers: &Workers, interrupts: &mut Interrupts) {
    let outcome = tokio::select! {
        outcome = workers.shutdown(GRACE) => outcome,
        () = interrupts.next() => workers.shutdown(Duration::ZERO).await,
    };
    if let Err(error) = outcome {
        crate::output::beside(format_args!("stepwell: {error}; these jobs go on at the next start"));
    }
}
