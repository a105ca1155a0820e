//! The job for the whole: a fan-out over the list of files, with the total at the end.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::{Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Worker};

use super::{
    content::{count_lines, hex},
    file::WorkFile,
    list::Lists,
    slow::Slow,
};

/// Elements of the fan-out. A longer list has more files in each: the phase that lists them has one result.
const PARTS_MAX: usize = 1_000;

/// The whole, as it was listed. The list itself is on disk, since it may be longer than a payload may be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkTree {
    pub(super) dir: String,
    pub(super) list: String,
    pub(super) files: usize,
}

impl Job for WorkTree {
    const KIND: &'static str = "dev.tree";
    type Output = Total;
}

/// The same files, unchanged, are the same tree.
pub(super) fn key(dir: &Path, files: &[WorkFile]) -> String {
    let mut sha256 = Sha256::new();
    sha256.update(dir.as_os_str().as_encoded_bytes());
    files.iter().for_each(|file| sha256.update(file.key()));
    hex(&sha256.finalize())
}

/// A part of the list: so many files from this offset on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    offset: u64,
    files: usize,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Total {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Files that could not be read, or are no longer what was listed. The jobs of these files say why.
    pub(super) unread: u64,
}

impl Total {
    fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            lines: self.lines + other.lines,
            unread: self.unread + other.unread,
        }
    }
}

pub(super) struct TreeWorker {
    pub(super) slow: Slow,
    pub(super) lists: Lists,
}

impl Worker for TreeWorker {
    type Job = WorkTree;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Total> {
        let parts = plan.blocking("list", (), Self::list);
        let totals = plan.each("measure", parts, Self::measure);
        plan.phase("total", totals, Self::total)
    }
}

impl TreeWorker {
    fn list(&self, cx: &Ctx<WorkTree>) -> PhaseResult<Vec<Part>> {
        self.slow.wait_blocking(cx)?;
        let mut reader = self.lists.read(&cx.job().list, 0).map_err(cause)?;
        let files = cx.job().files.div_ceil(PARTS_MAX).max(1);
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let offset = reader.offset();
            if reader.next().map_err(cause)?.is_none() {
                return Ok(parts);
            }
            match parts.last_mut() {
                Some(part) if part.files < files => part.files += 1,
                _ => parts.push(Part { offset, files: 1 }),
            }
        }
    }
    async fn measure(&self, cx: &Ctx<WorkTree>, part: Part) -> PhaseResult<Total> {
        self.slow.wait(cx).await?;
        let (lists, job) = (self.lists.clone(), cx.job().clone());
        tokio::task::spawn_blocking(move || measure(&lists, &job, part)).await?
    }
    async fn total(&self, cx: &Ctx<WorkTree>, totals: Vec<Total>) -> PhaseResult<Total> {
        self.slow.wait(cx).await?;
        Ok(totals.into_iter().fold(Total::default(), Total::plus))
    }
}

fn measure(lists: &Lists, job: &WorkTree, part: Part) -> PhaseResult<Total> {
    let mut reader = lists.read(&job.list, part.offset).map_err(cause)?;
    let dir = PathBuf::from(&job.dir);
    let mut total = Total::default();
    for _ in 0..part.files {
        let Some(file) = reader.next().map_err(cause)? else { break };
        let lines = count_lines(&dir.join(&file.path), file.version);
        total = total.plus(Total {
            files: 1,
            bytes: file.version.bytes,
            lines: *lines.as_ref().unwrap_or(&0),
            unread: u64::from(lines.is_err()),
        });
    }
    Ok(total)
}

fn cause(error: io::Error) -> PhaseError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            PhaseError::permanent("its list of files is gone; start again to write it anew")
        }
        _ => format!("its list of files cannot be read: {error}").into(),
    }
}
