//! Which files there are.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use ignore::WalkBuilder;

use super::file::WorkFile;

/// The files below a directory, in path order, as git would see them; and what could not be read.
pub(super) fn files(dir: &Path, all: bool, slow_ms: u64) -> (Vec<WorkFile>, Vec<String>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let walk = WalkBuilder::new(dir)
        .standard_filters(!all)
        // A directory that is no checkout may have a .gitignore all the same; hidden files are git's business, too.
        .require_git(false)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git" && entry.file_name() != ".stepwell")
        .build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                problems.push(format!("failed to look at a file: {error}"));
                continue;
            }
        };
        if !entry.file_type().is_some_and(|ty| ty.is_file()) {
            continue;
        }
        let relative = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        let Some(path) = relative.to_str() else {
            problems.push(format!("failed to take {}: its name is not UTF-8; rename it", relative.display()));
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => files.push(WorkFile {
                dir: dir.to_string_lossy().into_owned(),
                path: path.to_owned(),
                bytes: metadata.len(),
                modified_us: metadata.modified().map_or(0, micros),
                slow_ms,
            }),
            Err(error) => problems.push(format!("failed to look at {path}: {error}")),
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    (files, problems)
}

fn micros(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
