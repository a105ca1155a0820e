//! The job for one file: `read` → `hash` → `compress` → `catalog`.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::{Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Retry, Unique, Worker};

/// Bytes read at once, and between two looks at whether to stop.
const BUFFER: usize = 256 << 10;
/// A second start must find the job of an unchanged file, however long ago that was.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkFile {
    pub(super) dir: String,
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) modified_us: i64,
    #[serde(default)]
    pub(super) slow_ms: u64,
}

impl Job for WorkFile {
    const KIND: &'static str = "dev.file";
    type Output = Entry;
}

impl WorkFile {
    /// The same file, unchanged, has the same key. It is hashed, since a path may be longer than a key.
    pub(super) fn key(&self) -> String {
        let text = format!("{}\n{}\n{}\n{}", self.dir, self.path, self.bytes, self.modified_us);
        hex(&Sha256::digest(text.as_bytes()))
    }
    pub(super) fn unique(&self) -> Unique {
        Unique::key(self.key()).within(FOR_EVER)
    }
    fn open(&self) -> PhaseResult<File> {
        File::open(PathBuf::from(&self.dir).join(&self.path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PhaseError::permanent(format!("{}: the file has gone", self.path)),
            io::ErrorKind::PermissionDenied => {
                PhaseError::permanent(format!("{}: not permitted to read it", self.path))
            }
            _ => PhaseError::from(format!("{}: {error}", self.path)),
        })
    }
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

pub(super) struct FileWorker;

impl Worker for FileWorker {
    type Job = WorkFile;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Entry> {
        let retry = Retry::exponential(3).starting_at(Duration::from_millis(500));
        let bytes = plan.blocking("read", (), Self::read).retry(retry.clone());
        let sha256 = plan.blocking("hash", bytes, Self::hash).retry(retry.clone());
        let compressed = plan.blocking("compress", bytes, Self::compress).retry(retry.clone());
        plan.blocking("catalog", (bytes, sha256, compressed), Self::catalog).retry(retry)
    }
}

impl FileWorker {
    fn read(&self, cx: &Ctx<WorkFile>) -> PhaseResult<u64> {
        dawdle(cx, cx.job().slow_ms)?;
        let found = cx.job().open()?.metadata()?.len();
        if found != cx.job().bytes {
            return Err(changed(cx.job()));
        }
        Ok(found)
    }
    fn hash(&self, cx: &Ctx<WorkFile>, bytes: u64) -> PhaseResult<String> {
        dawdle(cx, cx.job().slow_ms)?;
        let mut sha256 = Sha256::new();
        stream(cx, bytes, |part| {
            sha256.update(part);
            Ok(())
        })?;
        Ok(hex(&sha256.finalize()))
    }
    fn compress(&self, cx: &Ctx<WorkFile>, bytes: u64) -> PhaseResult<u64> {
        dawdle(cx, cx.job().slow_ms)?;
        let mut zstd = zstd::Encoder::new(Counter(0), 3)?;
        stream(cx, bytes, |part| io::Write::write_all(&mut zstd, part))?;
        Ok(zstd.finish()?.0)
    }
    fn catalog(
        &self,
        cx: &Ctx<WorkFile>,
        bytes: u64,
        sha256: String,
        compressed_bytes: u64,
    ) -> PhaseResult<Entry> {
        dawdle(cx, cx.job().slow_ms)?;
        Ok(Entry { path: cx.job().path.clone(), bytes, sha256, compressed_bytes })
    }
}

fn changed(file: &WorkFile) -> PhaseError {
    PhaseError::permanent(format!(
        "{}: the file changed while it was worked; start again to take it anew",
        file.path
    ))
}

/// Reads the whole file, part by part, and finds out whether it changed its length meanwhile.
fn stream(cx: &Ctx<WorkFile>, bytes: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> PhaseResult<()> {
    let mut file = cx.job().open()?;
    let (mut buffer, mut read) = (vec![0; BUFFER], 0_u64);
    loop {
        stop_if_asked(cx)?;
        match file.read(&mut buffer)? {
            0 if read == bytes => return Ok(()),
            0 => return Err(changed(cx.job())),
            n => {
                take(&buffer[..n])?;
                read += n as u64;
                if bytes > 16 * BUFFER as u64 {
                    cx.progress(read, bytes);
                }
            }
        }
    }
}

fn stop_if_asked<J>(cx: &Ctx<J>) -> PhaseResult<()> {
    if cx.is_cancelled() { Err("told to stop".into()) } else { Ok(()) }
}

/// Takes its time, as `--slow` asks, but listens meanwhile.
pub(super) fn dawdle<J>(cx: &Ctx<J>, slow_ms: u64) -> PhaseResult<()> {
    const STEP_MS: u64 = 10;
    let mut left_ms = slow_ms;
    while left_ms > 0 {
        stop_if_asked(cx)?;
        let step_ms = left_ms.min(STEP_MS);
        thread::sleep(Duration::from_millis(step_ms));
        left_ms -= step_ms;
    }
    Ok(())
}

struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0 += part.len() as u64;
        Ok(part.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
