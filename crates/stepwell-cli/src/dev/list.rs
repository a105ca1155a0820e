//! The files of the whole, on disk: a list may be longer than a payload may be.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stepwell::JobId;

/// One file of a list, and its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) job: JobId,
    pub(super) path: String,
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
    pub(super) fn write<'a>(
        &self,
        name: &str,
        files: impl Iterator<Item = (JobId, &'a str)>,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        replace(&self.path(name), |out| {
            for (job, path) in files {
                serde_json::to_writer(&mut *out, &Listed { job, path: path.to_owned() })?;
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
    /// Removes every list but one.
    pub(super) fn keep_only(&self, name: &str) -> io::Result<()> {
        let keep = self.path(name);
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path != keep {
                fs::remove_file(path)?;
            }
        }
        Ok(())
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

/// Removes what a process left that died while it replaced a file.
pub(super) fn remove_temporaries(of: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) = (of.parent(), of.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.file_name();
        let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        if rest.is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(b".tmp")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_from_any_of_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists::in_directory(dir.path().join("lists"));
        let job = |n| JobId::from_bytes([n; 16]);
        lists.write("ab", [(job(1), "a"), (job(2), "b\nc"), (job(3), "ü")].into_iter()).unwrap();
        let mut reader = lists.read("ab", 0).unwrap();
        reader.next().unwrap();
        let second = reader.offset();
        reader.next().unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), Listed { job: job(3), path: "ü".into() });
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(lists.read("ab", second).unwrap().next().unwrap().unwrap().path, "b\nc");

        lists.write("cd", [].into_iter()).unwrap();
        lists.keep_only("cd").unwrap();
        lists.read("ab", 0).err().unwrap();
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
        fs::write(dir.path().join("manifest.7.tmp"), "").unwrap();
        remove_temporaries(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
