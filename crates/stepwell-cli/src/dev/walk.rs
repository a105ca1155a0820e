//! Which files there are.

use std::{
    fs::Metadata,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use ignore::{DirEntry, WalkBuilder};

use super::file::WorkFile;

/// The files below a directory, in path order, as git would see them; and what could not be looked at.
pub(super) fn files(dir: &Path, all: bool) -> (Vec<WorkFile>, Vec<String>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let walk = WalkBuilder::new(dir)
        .standard_filters(!all)
        // Git knows nothing of `.ignore`, and takes hidden files.
        .ignore(false)
        .hidden(false)
        // A directory that is no checkout may have a `.gitignore` all the same.
        .require_git(false)
        .filter_entry(is_wanted)
        .build();
    for entry in walk {
        match entry
            .map_err(|error| format!("failed to look at a file: {error}"))
            .and_then(|entry| take(dir, &entry))
        {
            Ok(Some(file)) => files.push(file),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    (files, problems)
}

/// Neither git's own files nor ours. What the user named is always wanted.
fn is_wanted(entry: &DirEntry) -> bool {
    entry.depth() == 0 || (entry.file_name() != ".git" && entry.file_name() != ".stepwell")
}

fn take(dir: &Path, entry: &DirEntry) -> Result<Option<WorkFile>, String> {
    if !entry.file_type().is_some_and(|ty| ty.is_file()) {
        return Ok(None);
    }
    let relative = entry.path().strip_prefix(dir).unwrap_or(entry.path());
    let path = relative
        .to_str()
        .ok_or_else(|| format!("failed to take {}: its name is not UTF-8; rename it", relative.display()))?;
    let metadata = entry.metadata().map_err(|error| format!("failed to look at {path}: {error}"))?;
    Ok(Some(WorkFile {
        dir: dir.to_string_lossy().into_owned(),
        path: path.to_owned(),
        bytes: metadata.len(),
        modified: modified(&metadata),
    }))
}

/// When a file was written last: nanoseconds since 1970, negative before.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    match metadata.modified().map(|at| at.duration_since(UNIX_EPOCH)) {
        Ok(Ok(since)) => nanos(since),
        Ok(Err(before)) => -nanos(before.duration()),
        // The file system does not say.
        Err(_) => 0,
    }
}
