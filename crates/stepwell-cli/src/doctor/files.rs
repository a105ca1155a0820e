//! What only whoever has the store's file can see.

use std::path::{Path, PathBuf};

use stepwell::Stepwell;

use super::finding::Finding;
use crate::output::bytes;

/// A log of this size is not moved into the file as it should be: somebody reads for very long.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// With less than this nothing can be stored before long.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// With less than this somebody should know.
const FREE_BYTES_LOW: u64 = 1 << 30;

/// What the store had to tell when it was opened.
pub(super) fn recovery(stepwell: &Stepwell) -> impl Iterator<Item = Finding> {
    let notices = stepwell.describe().notices.into_iter();
    let fix = "find out why the process before ended as it did";
    notices.map(move |notice| Finding::warning("recovery", notice, fix))
}

/// The file, the log beside it, and the disk they are on.
pub(super) fn files(path: &Path) -> Vec<Finding> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let wal = size(&beside(path, "-wal"));
    let text = format!("{} in the file, {} in the log beside it", bytes(size(path)), bytes(wal));
    let file = match wal > WAL_BYTES_MAX {
        true => {
            let fix = "find who reads from the file for very long, such as a backup or a shell, and end it";
            Finding::warning("sqlite", text, fix)
        }
        false => Finding::ok("sqlite", text),
    };
    std::iter::once(file).chain(disk(path)).collect()
}

#[cfg(unix)]
fn disk(path: &Path) -> Option<Finding> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let told = rustix::fs::statvfs(directory).ok()?;
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    let text = format!("{} free", bytes(free));
    let fix = "make room, or let less be kept: serve --keep";
    Some(match free {
        free if free < FREE_BYTES_MIN => Finding::problem("disk", text, fix),
        free if free < FREE_BYTES_LOW => Finding::warning("disk", text, fix),
        _ => Finding::ok("disk", text),
    })
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Finding> {
    None
}

/// A file that SQLite has beside the store.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
