//! The files of the repository.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::file::File;
use crate::error::Error;

/// Directories that hold no sources, for a tree that git cannot list.
const OUTPUT: [&str; 3] = [".git", ".stepwell", "target"];

/// Every text file that is tracked or would be, in order.
pub(crate) fn files(root: &Path) -> Result<Vec<File>, Error> {
    let paths = match tracked(root) {
        Some(paths) => paths,
        None => walk(root)
            .map_err(|error| Error::failed(format!("failed to read {}: {error}", root.display())))?,
    };
    let mut files = Vec::new();
    for path in paths {
        let bytes = match fs::read(root.join(&path)) {
            Ok(bytes) => bytes,
            // A deleted file is tracked until the deletion is committed; a link to a directory is no file.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {
                continue;
            }
            Err(error) => return Err(Error::failed(format!("failed to read {path}: {error}"))),
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File::new(path, text));
        }
    }
    Ok(files)
}

/// As git sees them. New files count, so that a fault shows before it is committed.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let list = String::from_utf8(output.stdout).ok()?;
    let mut paths: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Some(paths)
}

/// As the file system has them, for a source archive or a machine without git.
fn walk(root: &Path) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !OUTPUT.iter().any(|name| entry.file_name() == *name) {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let parts =
                    path.strip_prefix(root).unwrap_or(&path).iter().map(|part| part.to_string_lossy());
                paths.push(parts.collect::<Vec<_>>().join("/"));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo;

    #[test]
    fn both_ways_find_the_sources() {
        let root = cargo::root().unwrap();
        let walked = walk(&root).unwrap();
        assert!(walked.contains(&"xtask/src/tidy/tree.rs".to_owned()));
        assert!(!walked.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
        let read = files(&root).unwrap();
        assert!(read.iter().any(|file| file.path == "xtask/src/tidy/tree.rs"));
    }
}
