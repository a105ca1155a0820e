//! Reading a file, and noticing that it is no longer the one that was listed.

use std::{
    cell::RefCell,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::{PhaseError, PhaseResult, ResultExt};

use super::walk::modified;

/// How much is read at once.
const BLOCK_BYTES: usize = 128 << 10;
/// Files up to this size are compressed in memory, with a context that is kept: setting one up costs more than
/// compressing a small file.
const SMALL_BYTES: u64 = 256 << 10;

/// What the file was when it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) bytes: u64,
    pub(super) modified: i64,
}

/// An open file that must stay what it was.
pub(super) struct Content {
    file: File,
    version: Version,
}

impl Content {
    /// Opens the file, if it is still what was listed.
    pub(super) fn open(path: &Path, version: Version) -> PhaseResult<Self> {
        let metadata = fs::symlink_metadata(path).map_err(cause)?;
        if !metadata.is_file() {
            return changed("it is no longer a regular file");
        }
        let content = Self { file: File::open(path).map_err(cause)?, version };
        content.check()?;
        Ok(content)
    }

    /// Reads everything, and gives it to `take` in pieces.
    pub(super) fn read(
        &mut self,
        is_cancelled: impl Fn() -> bool,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> PhaseResult<()> {
        let capacity = usize::try_from(self.version.bytes).unwrap_or(BLOCK_BYTES).clamp(1, BLOCK_BYTES);
        let mut block = vec![0; capacity];
        let mut read = 0;
        loop {
            if is_cancelled() {
                return Err("it was asked to stop".into());
            }
            let n = match self.file.read(&mut block) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cause(error)),
            };
            read += n as u64;
            take(&block[..n])?;
        }
        if read != self.version.bytes {
            return changed(format_args!("it had {} bytes and has {read}", self.version.bytes));
        }
        // Whoever writes while we read is seen here, if not by the size.
        self.check()
    }

    fn check(&self) -> PhaseResult<()> {
        let metadata = self.file.metadata().map_err(cause)?;
        if metadata.len() != self.version.bytes {
            return changed(format_args!("it had {} bytes and has {}", self.version.bytes, metadata.len()));
        }
        if modified(&metadata) != self.version.modified {
            return changed("it was written to");
        }
        Ok(())
    }
}

/// Another try would find the same change: the next start lists the file as it is then.
pub(super) fn changed<T>(how: impl std::fmt::Display) -> PhaseResult<T> {
    let text = format!("it changed since it was listed: {how}; start again to take it as it is now");
    Err(PhaseError::permanent(text))
}

fn cause(error: io::Error) -> PhaseError {
    match error.kind() {
        io::ErrorKind::NotFound => PhaseError::permanent("it is gone since it was listed"),
        io::ErrorKind::PermissionDenied => {
            let text = format!("it cannot be read: {error}; give this user permission, and start again");
            PhaseError::permanent(text)
        }
        // A disk or a network may recover.
        _ => format!("it cannot be read: {error}").into(),
    }
}

/// The SHA-256 of the content, in hexadecimal digits.
pub(super) fn hash(content: &mut Content, is_cancelled: impl Fn() -> bool) -> PhaseResult<String> {
    let mut hasher = Sha256::new();
    content.read(is_cancelled, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(hex(&hasher.finalize()))
}

/// The size of the content under zstd, and the hash of what was compressed.
pub(super) fn compress(content: &mut Content, is_cancelled: impl Fn() -> bool) -> PhaseResult<(u64, String)> {
    let mut hasher = Sha256::new();
    let bytes = content.version.bytes;
    let compressed = if bytes <= SMALL_BYTES {
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        content.read(is_cancelled, |block| {
            hasher.update(block);
            whole.extend_from_slice(block);
            Ok(())
        })?;
        compress_small(&whole)?
    } else {
        let mut encoder = zstd::Encoder::new(Counter(0), zstd::DEFAULT_COMPRESSION_LEVEL)?;
        encoder.set_pledged_src_size(Some(bytes))?;
        content.read(is_cancelled, |block| {
            hasher.update(block);
            encoder.write_all(block)
        })?;
        encoder.finish()?.0
    };
    Ok((compressed, hex(&hasher.finalize())))
}

/// How many lines a file has.
pub(super) fn count_lines(path: &Path, version: Version) -> PhaseResult<u64> {
    let mut lines = 0;
    Content::open(path, version)?.read(
        || false,
        |block| {
            lines += block.iter().filter(|byte| **byte == b'\n').count() as u64;
            Ok(())
        },
    )?;
    Ok(lines)
}

thread_local! {
    static COMPRESSOR: RefCell<Option<(zstd::bulk::Compressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

fn compress_small(whole: &[u8]) -> PhaseResult<u64> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let (compressor, buffer) = match kept {
            Some(kept) => kept,
            None => {
                let compressor = zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?;
                kept.insert((compressor, Vec::new()))
            }
        };
        buffer.clear();
        buffer.reserve(zstd::compress_bound(whole.len()));
        let n = compressor.compress_to_buffer(whole, buffer).permanent()?;
        Ok(n as u64)
    })
}

/// Counts what is written, and keeps none of it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        self.0 += written.len() as u64;
        Ok(written.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(path: &Path) -> Version {
        let metadata = fs::metadata(path).unwrap();
        Version { bytes: metadata.len(), modified: modified(&metadata) }
    }

    #[test]
    fn small_and_large_files_are_hashed_and_compressed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let large = usize::try_from(SMALL_BYTES).unwrap() * 3 + 1;
        for size in [0, 1, 1000, large] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            let expected = hex(&Sha256::digest(&bytes));
            let version = version(&path);
            assert_eq!(hash(&mut Content::open(&path, version).unwrap(), || false).unwrap(), expected);
            let (compressed, seen) = compress(&mut Content::open(&path, version).unwrap(), || false).unwrap();
            assert_eq!(seen, expected);
            assert!(compressed > 0 && (size < 1000 || compressed < size as u64 / 2), "{size} → {compressed}");
        }
    }

    #[test]
    fn a_change_is_noticed_before_and_while_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        let version = version(&path);
        let mut content = Content::open(&path, version).unwrap();
        fs::write(&path, "longer").unwrap();
        for error in [hash(&mut content, || false).unwrap_err(), Content::open(&path, version).err().unwrap()]
        {
            let text = error.to_string();
            assert!(text.contains("had 3 bytes and has 6") && text.contains("start again"), "{text}");
        }
        fs::remove_file(&path).unwrap();
        let gone = Content::open(&path, version).err().unwrap().to_string();
        assert!(gone.contains("gone"), "{gone}");
    }

    #[test]
    fn a_phase_that_is_asked_to_stop_reads_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        let mut content = Content::open(&path, version(&path)).unwrap();
        assert!(hash(&mut content, || true).unwrap_err().to_string().contains("asked to stop"));
    }
}
