//! The job for one file: `read` → `hash` → `compress` → `catalog`.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::{Ctx, Job, Phase, PhaseResult, Plan, Retry, Unique, Worker, limits};

use super::{
    board::{Board, Entered},
    content::{self, Content, Version, changed, hex},
    slow::Slow,
};

/// The phases, in order.
pub(super) const PHASES: [&str; 4] = ["read", "hash", "compress", "catalog"];

/// A file as it was listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkFile {
    pub(super) dir: String,
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) modified: i64,
}

impl Job for WorkFile {
    const KIND: &'static str = "dev.file";
    type Output = Entry;
}

impl WorkFile {
    /// The same file, unchanged, has the same key. It is hashed, since a path may be longer than a key.
    pub(super) fn key(&self) -> String {
        let text = format!("{}\n{}\n{}\n{}", self.dir, self.path, self.bytes, self.modified);
        hex(&Sha256::digest(text.as_bytes()))
    }
    fn open(&self) -> PhaseResult<Content> {
        let version = Version { bytes: self.bytes, modified: self.modified };
        Content::open(&Path::new(&self.dir).join(&self.path), version)
    }
}

/// There is never a second job of this key: a second start must find the first, however long ago that was.
pub(super) fn once(key: impl ToString) -> Unique {
    Unique::key(key).within(limits::DELAY_MAX)
}

/// One line of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) compressed_bytes: u64,
}

/// What `compress` found, and the hash of what it compressed.
#[derive(Serialize, Deserialize)]
struct Compressed {
    bytes: u64,
    sha256: String,
}

pub(super) struct FileWorker {
    pub(super) slow: Slow,
    pub(super) board: Board,
}

impl Worker for FileWorker {
    type Job = WorkFile;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Entry> {
        let retry = Retry::exponential(3).starting_at(Duration::from_millis(500));
        let [read, hash, compress, catalog] = PHASES;
        let bytes = plan.blocking(read, (), Self::read).retry(retry.clone());
        let sha256 = plan.blocking(hash, bytes, Self::hash).retry(retry.clone());
        let compressed = plan.blocking(compress, (), Self::compress).retry(retry.clone());
        plan.blocking(catalog, (bytes, sha256, compressed), Self::catalog).retry(retry)
    }
}

impl FileWorker {
    fn begin(&self, cx: &Ctx<WorkFile>, phase: &'static str) -> PhaseResult<Entered<'_>> {
        let entered = self.board.enter(cx.id(), &cx.job().path, phase);
        self.slow.wait_blocking(cx)?;
        Ok(entered)
    }
    fn read(&self, cx: &Ctx<WorkFile>) -> PhaseResult<u64> {
        let _entered = self.begin(cx, "read")?;
        let mut content = cx.job().open()?;
        content.read(|| cx.is_cancelled(), |_| Ok(()))?;
        Ok(cx.job().bytes)
    }
    fn hash(&self, cx: &Ctx<WorkFile>, _bytes: u64) -> PhaseResult<String> {
        let _entered = self.begin(cx, "hash")?;
        content::hash(&mut cx.job().open()?, || cx.is_cancelled())
    }
    fn compress(&self, cx: &Ctx<WorkFile>) -> PhaseResult<Compressed> {
        let _entered = self.begin(cx, "compress")?;
        let (bytes, sha256) = content::compress(&mut cx.job().open()?, || cx.is_cancelled())?;
        Ok(Compressed { bytes, sha256 })
    }
    fn catalog(
        &self,
        cx: &Ctx<WorkFile>,
        bytes: u64,
        sha256: String,
        compressed: Compressed,
    ) -> PhaseResult<Entry> {
        let _entered = self.begin(cx, "catalog")?;
        if compressed.sha256 != sha256 {
            return changed("what was compressed is not what was hashed");
        }
        Ok(Entry { path: cx.job().path.clone(), bytes, sha256, compressed_bytes: compressed.bytes })
    }
}
