//! From start to exit code.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::json;
use stepwell::{
    Change, EventStream, Job, JobFilter, JobId, JobRecord, JobState, PageRequest, PhaseState, Reason,
    Retention, Stepwell, Workers,
};

use super::{
    Options,
    file::{FileWorker, WorkFile},
    manifest,
    tree::{self, Total, TreeWorker, WorkTree},
    view::View,
    walk,
};

type Failure = Box<dyn std::error::Error>;

const HOME: &str = ".stepwell";
/// Jobs enqueued in one commit.
const BATCH: usize = 1_000;
/// How long running phases have after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether anything is left.
const LOOK: Duration = Duration::from_millis(100);

/// Exit codes.
const SUCCESS: u8 = 0;
const SOME_FAILED: u8 = 1;
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(options: Options) -> Result<u8, Failure> {
    let shown = options.dir.display();
    let dir = options
        .dir
        .canonicalize()
        .map_err(|error| format!("failed to open the directory {shown}: {error}"))?;
    if !dir.is_dir() {
        return Err(format!("failed to open {shown}: it is not a directory; name one with --dir").into());
    }
    let home = Path::new(HOME);
    fs::create_dir_all(home).map_err(|error| {
        format!("failed to create ./{HOME}: {error}; start in a directory that can be written")
    })?;
    let path = home.join("stepwell.db");
    let stepwell = Stepwell::sqlite(&path)
        .worker(FileWorker)
        .worker(TreeWorker)
        .queue("default", usize::from(options.concurrency))
        // The manifest is made of what the jobs have recorded.
        .retention(Retention::KEEP_EVERYTHING)
        .open()
        .await
        .map_err(|error| format!("failed to open {}: {error}", path.display()))?;
    let (files, problems) = walk::files(&dir, options.all, options.slow);
    let mut view = View::new(options.json, files.len() as u64);
    let store = stepwell.describe();
    view.say(
        &format!("store {} {}, {}", store.store, path.display(), store.durability),
        json!({ "type": "dev:store", "store": store.store, "path": path, "durability": store.durability }),
    );
    for notice in store.notices.iter().chain(&problems) {
        view.say(notice, json!({ "type": "dev:notice", "message": notice }));
    }

    let begun = stepwell.clock().now();
    let given_back = given_back(&stepwell).await?;
    let retried = retry_failed(&stepwell, &files).await?;
    if retried > 0 {
        view.say(
            &format!("retrying {retried} failed jobs"),
            json!({ "type": "dev:retried", "jobs": retried }),
        );
    }
    let mut events = stepwell.events().subscribe();
    let workers = stepwell.start();
    let work = async {
        let added = enqueue(&stepwell, &files, &dir, &options).await?;
        view.say(&format!("added {added} jobs"), json!({ "type": "dev:added", "jobs": added }));
        follow(&stepwell, &mut events, &mut view, given_back, options.until_idle).await
    };
    let interrupted = tokio::select! {
        outcome = work => {
            outcome?;
            false
        }
        signal = tokio::signal::ctrl_c() => {
            signal?;
            true
        }
    };
    view.end();
    if interrupted {
        let words = "interrupted: letting running phases end; Ctrl-C again to give their jobs back at once";
        view.say(words, json!({ "type": "dev:interrupted" }));
        stop(&workers).await;
        return Ok(INTERRUPTED);
    }

    let entries = manifest::entries(&stepwell, &files).await?;
    let manifest = home.join("manifest.jsonl");
    manifest::write(&manifest, &entries)
        .map_err(|error| format!("failed to write {}: {error}", manifest.display()))?;
    let failed = failed(&stepwell, &files).await?;
    let (bytes, compressed) = entries.iter().fold((0, 0), |(bytes, compressed), entry| {
        (bytes + entry.bytes, compressed + entry.compressed_bytes)
    });
    let total = total(&stepwell, &files).await?;
    let took = stepwell.clock().now().since(begun);
    view.say(
        &format!(
            "{} files, {bytes} bytes, {compressed} compressed, {} failed, in {:.1} s; {}",
            entries.len(),
            failed.len(),
            took.as_secs_f64(),
            manifest.display()
        ),
        json!({
            "type": "dev:summary", "files": entries.len(), "bytes": bytes, "compressedBytes": compressed,
            "failed": failed.len(), "tookMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "tree": total,
        }),
    );
    for (job, reason) in &failed {
        view.say(
            &format!("job {job} failed: {reason}"),
            json!({ "type": "dev:failed", "jobId": job, "reason": reason }),
        );
    }
    stop(&workers).await;
    Ok(if failed.is_empty() { SUCCESS } else { SOME_FAILED })
}

/// Jobs that an earlier process had begun and gave back.
async fn given_back(stepwell: &Stepwell) -> stepwell::Result<BTreeSet<JobId>> {
    let given_back = |job: &JobRecord| {
        let begun = job.phases.iter().any(|phase| phase.state == PhaseState::Completed || phase.interrupted);
        begun && matches!(job.reason, Some(Reason::Released | Reason::Interrupted))
    };
    let jobs = all(stepwell, JobState::Pending).await?;
    Ok(jobs.iter().filter(|job| given_back(job)).map(|job| job.id).collect())
}

async fn all(stepwell: &Stepwell, state: JobState) -> stepwell::Result<Vec<JobRecord>> {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    let mut page = PageRequest { limit: 1_000, ..PageRequest::default() };
    let mut jobs = Vec::new();
    loop {
        let list = stepwell.list(filter.clone(), page.clone()).await?;
        jobs.extend(list.items);
        match list.next {
            Some(next) => page.after = Some(next),
            None => return Ok(jobs),
        }
    }
}

/// What failed at an earlier start is tried again, if its file is still as it was.
async fn retry_failed(stepwell: &Stepwell, files: &[WorkFile]) -> stepwell::Result<usize> {
    let mut retried = 0;
    for job in of_these(all(stepwell, JobState::Failed).await?, files) {
        match stepwell.retry(job.id).await {
            Ok(()) => retried += 1,
            // A second process was faster.
            Err(error) if error.is_wrong_state() || error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(retried)
}

fn of_these(jobs: Vec<JobRecord>, files: &[WorkFile]) -> Vec<JobRecord> {
    let mut keys: BTreeSet<String> = files.iter().map(WorkFile::key).collect();
    keys.insert(tree::unique(files).as_str().to_owned());
    jobs.into_iter().filter(|job| job.unique_key.as_ref().is_some_and(|key| keys.contains(key))).collect()
}

async fn failed(stepwell: &Stepwell, files: &[WorkFile]) -> stepwell::Result<Vec<(JobId, String)>> {
    let jobs = of_these(all(stepwell, JobState::Failed).await?, files);
    let reason = |job: JobRecord| {
        let message =
            job.details.failure.map_or_else(|| "no reason was recorded".to_owned(), |why| why.message);
        (job.id, message)
    };
    Ok(jobs.into_iter().map(reason).collect())
}

/// What the job for the whole has found, if it has completed.
async fn total(stepwell: &Stepwell, files: &[WorkFile]) -> stepwell::Result<Option<Total>> {
    let filter = JobFilter {
        kind: Some(WorkTree::KIND.into()),
        state: Some(JobState::Completed),
        unique_key: Some(tree::unique(files).as_str().to_owned()),
        ..JobFilter::default()
    };
    let list = stepwell.list(filter, PageRequest { limit: 1, ..PageRequest::default() }).await?;
    match list.items.first() {
        Some(job) => Ok(Some(stepwell.handle::<WorkTree>(job.id).result().await?)),
        None => Ok(None),
    }
}

/// Adds a job for each file that has none yet, and one for the whole.
async fn enqueue(
    stepwell: &Stepwell,
    files: &[WorkFile],
    dir: &Path,
    options: &Options,
) -> stepwell::Result<usize> {
    let mut added = 0;
    for batch in files.chunks(BATCH) {
        let answers = stepwell
            .enqueue_many(batch.iter().cloned())
            .each(|file, enqueue| enqueue.unique(file.unique()))
            .await?;
        for answer in answers {
            added += usize::from(!answer?.is_duplicate());
        }
    }
    let whole = WorkTree { dir: dir.to_string_lossy().into_owned(), all: options.all, slow_ms: options.slow };
    let whole = stepwell.enqueue(whole).unique(tree::unique(files)).await?;
    Ok(added + usize::from(!whole.is_duplicate()))
}

/// Shows what happens, until nothing is left if so wished.
async fn follow(
    stepwell: &Stepwell,
    events: &mut EventStream,
    view: &mut View,
    mut resumed: BTreeSet<JobId>,
    until_idle: bool,
) -> stepwell::Result<()> {
    let mut told = false;
    let mut look = tokio::time::interval(LOOK);
    loop {
        let event = tokio::select! {
            event = events.next() => match event {
                Some(event) => Some(event),
                None => return Ok(()),
            },
            _ = look.tick() => None,
        };
        if let Some(event) = &event {
            if let Change::Interrupted { .. } = event.change {
                resumed.insert(event.job);
            }
            view.show(event);
        }
        // Dead processes are recovered from before anything is claimed: with the first claim, or when there is
        // nothing to
        // claim, it is known how many jobs go on.
        let claimed = event.is_some_and(|event| matches!(event.change, Change::Started | Change::Resumed));
        let idle = !claimed && is_idle(stepwell).await?;
        if (claimed || idle) && !std::mem::replace(&mut told, true) && !resumed.is_empty() {
            let n = resumed.len();
            view.say(&format!("resumed {n} jobs"), json!({ "type": "dev:resumed", "jobs": n }));
        }
        if idle && until_idle {
            return Ok(());
        }
    }
}

async fn is_idle(stepwell: &Stepwell) -> stepwell::Result<bool> {
    let counts = stepwell.counts().await?;
    Ok(counts.iter().all(|count| count.state.is_terminal() || count.n == 0))
}

/// Ends in order; a further Ctrl-C shortens it.
async fn stop(workers: &Workers) {
    let outcome = tokio::select! {
        outcome = workers.shutdown(GRACE) => outcome,
        _ = tokio::signal::ctrl_c() => workers.shutdown(Duration::ZERO).await,
    };
    if let Err(error) = outcome {
        eprintln!("stepwell: {error}; these jobs go on at the next start");
    }
}
