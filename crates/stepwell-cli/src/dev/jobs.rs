//! The jobs of a session, as they are recorded.

use std::collections::HashMap;

use stepwell::{
    Job, JobFilter, JobRecord, JobState, Json, PageRequest, PhaseState, Reason, Result, Stepwell,
};

use super::{
    file::{Entry, WorkFile, once},
    list::Lists,
    tree::{Total, WorkTree},
};

/// Jobs enqueued in one commit.
const BATCH: usize = 1_000;
/// How often the process may die under a job: it is killed on purpose here, and the file is not to blame.
const CRASHES_MAX: u32 = 1_000_000;
const KINDS: [&str; 2] = [WorkFile::KIND, WorkTree::KIND];

/// A file or the whole, and why it did not come to its end.
pub(super) struct Failed {
    pub(super) path: String,
    pub(super) reason: String,
}

/// The files of a session, and the whole.
pub(super) struct Jobs {
    pub(super) files: Vec<WorkFile>,
    /// Where in `files` the file with this key is.
    keys: HashMap<String, usize>,
    tree: WorkTree,
}

impl Jobs {
    pub(super) fn new(files: Vec<WorkFile>, tree: WorkTree) -> Self {
        let keys = files.iter().enumerate().map(|(at, file)| (file.key(), at)).collect();
        Self { files, keys, tree }
    }
    /// What the job is about, if it is one of ours.
    fn name(&self, job: &JobRecord) -> Option<&str> {
        let key = job.unique_key.as_ref()?;
        match self.keys.get(key) {
            Some(at) => Some(&self.files[*at].path),
            None => (*key == self.tree.list).then_some(&*self.tree.dir),
        }
    }

    /// Adds a job for each file that has none yet, and one for the whole. Answers with how many are new.
    pub(super) async fn enqueue(&self, stepwell: &Stepwell) -> Result<usize> {
        let mut added = 0;
        for batch in self.files.chunks(BATCH) {
            let answers = stepwell
                .enqueue_many(batch.iter().cloned())
                .each(|file, enqueue| enqueue.unique(once(file.key())).max_crashes(CRASHES_MAX))
                .await?;
            for answer in answers {
                added += usize::from(!answer?.is_duplicate());
            }
        }
        let whole =
            stepwell.enqueue(self.tree.clone()).unique(once(&*self.tree.list)).max_crashes(CRASHES_MAX);
        Ok(added + usize::from(!whole.await?.is_duplicate()))
    }

    /// Tries again what did not come to its end at an earlier start, and is still as it was.
    pub(super) async fn retry(&self, stepwell: &Stepwell) -> Result<usize> {
        let mut ended = Vec::new();
        each(stepwell, &JobFilter::default(), |job| {
            if self.is_failed(&job) {
                ended.push(job.id);
            }
        })
        .await?;
        let mut retried = 0;
        for job in ended {
            match stepwell.retry(job).await {
                Ok(()) => retried += 1,
                // A second process was faster.
                Err(error) if error.is_wrong_state() || error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(retried)
    }
    fn is_failed(&self, job: &JobRecord) -> bool {
        matches!(job.state, JobState::Failed | JobState::Cancelled) && self.name(job).is_some()
    }

    /// For each phase of the files, how many have completed it.
    pub(super) async fn done(&self, stepwell: &Stepwell) -> Result<HashMap<String, u64>> {
        let mut done = HashMap::new();
        each(stepwell, &of_kind(WorkFile::KIND), |job| {
            if self.name(&job).is_some() {
                for phase in job.phases.iter().filter(|phase| phase.state == PhaseState::Completed) {
                    *done.entry(phase.name.to_string()).or_default() += 1;
                }
            }
        })
        .await?;
        Ok(done)
    }

    /// What was recorded for each file, in their order, and what failed.
    pub(super) async fn outcome(&self, stepwell: &Stepwell) -> Result<Outcome> {
        let mut outcome = Outcome { entries: vec![None; self.files.len()], failed: Vec::new(), total: None };
        let (mut completed, mut whole) = (Vec::new(), None);
        each(stepwell, &JobFilter::default(), |job| {
            let Some(name) = self.name(&job) else { return };
            if self.is_failed(&job) {
                let said = job.details.failure.map(|failure| failure.message);
                let reason = said.unwrap_or_else(|| "it was cancelled".to_owned());
                outcome.failed.push(Failed { path: name.to_owned(), reason });
            } else if job.state == JobState::Completed {
                match job.unique_key.as_ref().and_then(|key| self.keys.get(key)) {
                    Some(at) => completed.push((*at, job.id, inline(&job))),
                    None => whole = Some(job.id),
                }
            }
        })
        .await?;
        for (at, job, inline) in completed {
            let entry = match inline {
                Some(result) => result.decode()?,
                None => stepwell.handle::<WorkFile>(job).result().await?,
            };
            outcome.entries[at] = Some(entry);
        }
        if let Some(job) = whole {
            outcome.total = Some(stepwell.handle::<WorkTree>(job).result().await?);
        }
        outcome.failed.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(outcome)
    }
}

/// The result of the last phase, if it is in the row.
fn inline(job: &JobRecord) -> Option<Json> {
    job.phases.last()?.result.as_ref()?.inline.clone()
}

/// What has come out.
pub(super) struct Outcome {
    entries: Vec<Option<Entry>>,
    pub(super) failed: Vec<Failed>,
    pub(super) total: Option<Total>,
}

impl Outcome {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }
}

fn of_kind(kind: &'static str) -> JobFilter {
    JobFilter { kind: Some(kind.into()), ..JobFilter::default() }
}

/// Looks at every job, page by page.
async fn each(stepwell: &Stepwell, filter: &JobFilter, mut look: impl FnMut(JobRecord)) -> Result<()> {
    let mut page = PageRequest { limit: stepwell::limits::PAGE_MAX, ..PageRequest::default() };
    loop {
        let list = stepwell.list(filter.clone(), page.clone()).await?;
        list.items.into_iter().for_each(&mut look);
        match list.next {
            Some(next) => page.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Jobs that an earlier process had begun and gave back.
pub(super) async fn given_back(stepwell: &Stepwell) -> Result<Vec<stepwell::JobId>> {
    let mut found = Vec::new();
    let pending = JobFilter { state: Some(JobState::Pending), ..JobFilter::default() };
    each(stepwell, &pending, |job| {
        let begun = job.phases.iter().any(|phase| phase.state == PhaseState::Completed || phase.interrupted);
        if begun && is_ours(&job.kind) && matches!(job.reason, Some(Reason::Released | Reason::Interrupted)) {
            found.push(job.id);
        }
    })
    .await?;
    Ok(found)
}

pub(super) fn is_ours(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// Whether nothing is left to do, for this process or for another.
pub(super) async fn is_idle(stepwell: &Stepwell) -> Result<bool> {
    let counts = stepwell.counts().await?;
    Ok(counts.iter().all(|count| count.state.is_terminal() || count.n == 0 || !is_ours(&count.kind)))
}

/// Lists whose jobs have all ended, but for `keep`.
pub(super) async fn idle_lists(stepwell: &Stepwell, lists: &Lists, keep: &str) -> Result<Vec<String>> {
    let mut idle = Vec::new();
    // What cannot be listed stays where it is, and does no harm.
    for name in lists.names().unwrap_or_default().into_iter().filter(|name| name != keep) {
        let filter = JobFilter { unique_key: Some(name.clone()), ..of_kind(WorkTree::KIND) };
        let (mut jobs, mut live) = (0, 0);
        each(stepwell, &filter, |job| {
            jobs += 1;
            live += usize::from(!job.state.is_terminal());
        })
        .await?;
        // A list without a job is one that another process is about to enqueue.
        if jobs > 0 && live == 0 {
            idle.push(name);
        }
    }
    Ok(idle)
}
