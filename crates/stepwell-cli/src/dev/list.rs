//! The files of the whole, on disk: a list may be longer than a payload may be.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{content::Version, file::WorkFile};

/// One file of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) version: Version,
}

/// The lists of one store. Each is named after what it lists, and never changes.
#[derive(Clone, Debug)]
pub(super) struct Lists(PathBuf);

impl Lists {
    pub(super) fn in_directory(directory: PathBuf) -> Self {
        Self(directory)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.jsonl"))
    }

    /// Writes a list, durably.
    pub(super) fn write(&self, name: &str, files: &[WorkFile]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        replace(&self.path(name), |out| {
            for file in files {
                let version = Version { bytes: file.bytes, modified: file.modified };
                serde_json::to_writer(&mut *out, &Listed { path: file.path.clone(), version })?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
    /// Opens a list at an offset that [`Reader::offset`] gave.
    pub(super) fn read(&self, name: &str, offset: u64) -> io::Result<Reader> {
        let mut file = File::open(self.path(name))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Reader { lines: BufReader::new(file), offset })
    }
    /// The names of all lists.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(str::to_owned));
        }
        Ok(names)
    }
    /// Removes a list that no job needs any more. Another process may have been faster.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads a list line by line.
pub(super) struct Reader {
    lines: BufReader<File>,
    offset: u64,
}

impl Reader {
    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
    /// The next file, or none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Listed>> {
        let mut line = Vec::new();
        let n = self.lines.by_ref().read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(None);
        }
        let listed = serde_json::from_slice(&line)?;
        self.offset += n as u64;
        Ok(Some(listed))
    }
}

/// Replaces a file as a whole: whoever reads it sees the old one or the new one, also after a power loss.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Another process may be at the same.
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut out = BufWriter::new(File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    })();
    if written.is_err() {
        // What is half written is of no use, and the error is what matters.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Makes the names in a directory durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_from_any_of_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists::in_directory(dir.path().join("lists"));
        let file = |path: &str, bytes| WorkFile { dir: "/".into(), path: path.into(), bytes, modified: -1 };
        lists.write("ab", &[file("a", 1), file("b\nc", 2), file("ü", 3)]).unwrap();
        let mut reader = lists.read("ab", 0).unwrap();
        reader.next().unwrap();
        let second = reader.offset();
        assert_eq!(reader.next().unwrap().unwrap().path, "b\nc");
        let last = Listed { path: "ü".into(), version: Version { bytes: 3, modified: -1 } };
        assert_eq!(reader.next().unwrap(), Some(last));
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(lists.read("ab", second).unwrap().next().unwrap().unwrap().path, "b\nc");

        lists.write("cd", &[]).unwrap();
        lists.remove("ab").unwrap();
        lists.remove("ab").unwrap();
        assert_eq!(lists.names().unwrap(), ["cd"]);
        assert_eq!(lists.read("cd", 0).unwrap().next().unwrap(), None);
    }

    #[test]
    fn a_file_that_could_not_be_written_stays_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        replace(&path, |out| out.write_all(b"old")).unwrap();
        replace(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("the disk is full"))
        })
        .unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
