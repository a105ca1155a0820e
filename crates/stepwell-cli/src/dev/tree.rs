//! The job for the whole: a fan-out over the directories, with the total at the end.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::{Ctx, Job, Phase, PhaseResult, Plan, Unique, Worker};

use super::{
    file::{WorkFile, hex},
    walk,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkTree {
    pub(super) dir: String,
    pub(super) all: bool,
    #[serde(default)]
    pub(super) slow_ms: u64,
}

impl Job for WorkTree {
    const KIND: &'static str = "dev.tree";
    type Output = Total;
}

/// What is below a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Total {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// The same files, unchanged, are the same tree.
pub(super) fn unique(files: &[WorkFile]) -> Unique {
    let mut sha256 = Sha256::new();
    files.iter().for_each(|file| sha256.update(file.key()));
    Unique::key(hex(&sha256.finalize())).within(Duration::from_hours(100 * 365 * 24))
}

pub(super) struct TreeWorker;

impl Worker for TreeWorker {
    type Job = WorkTree;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Total> {
        let directories = plan.blocking("list", (), Self::list);
        let totals = plan.each("measure", directories, Self::measure);
        plan.phase("total", totals, Self::total)
    }
}

impl TreeWorker {
    /// The directories that hold files, each with its files' lengths.
    fn list(&self, cx: &Ctx<WorkTree>) -> PhaseResult<Vec<String>> {
        let (files, _) = walk::files(Path::new(&cx.job().dir), cx.job().all, 0);
        let mut directories = BTreeMap::new();
        for file in &files {
            let parent = Path::new(&file.path).parent().unwrap_or(Path::new("")).to_string_lossy();
            *directories.entry(parent.into_owned()).or_insert(0_u64) += 1;
        }
        Ok(directories.into_keys().collect())
    }
    async fn measure(&self, cx: &Ctx<WorkTree>, directory: String) -> PhaseResult<Total> {
        tokio::time::sleep(Duration::from_millis(cx.job().slow_ms)).await;
        let (dir, all) = (PathBuf::from(&cx.job().dir), cx.job().all);
        let measured = tokio::task::spawn_blocking(move || {
            let (files, _) = walk::files(&dir, all, 0);
            let here = |file: &&WorkFile| Path::new(&file.path).parent() == Some(Path::new(&directory));
            files.iter().filter(here).fold(Total::default(), |total, file| Total {
                files: total.files + 1,
                bytes: total.bytes + file.bytes,
            })
        });
        Ok(measured.await?)
    }
    async fn total(&self, _: &Ctx<WorkTree>, totals: Vec<Total>) -> PhaseResult<Total> {
        Ok(totals.iter().fold(Total::default(), |sum, part| Total {
            files: sum.files + part.files,
            bytes: sum.bytes + part.bytes,
        }))
    }
}
