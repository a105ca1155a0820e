//! What is done to a whole SQLite file, beside whatever works on it.

use std::path::{Path, PathBuf};

use stepwell_core::{Error, Result};

use crate::entropy::Entropy;

/// What is done to a whole SQLite file, while processes work on it or while none does.
///
/// A file that is in use is never copied as a file: that may take half of a transaction.
#[derive(Clone, Debug)]
pub struct Upkeep(stepwell_sqlite::Upkeep);

impl Upkeep {
    /// Of this file.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(stepwell_sqlite::Upkeep::of(path))
    }
    /// Looks whether the file is sound, and whether what it says of itself is so. Nobody waits for it. Answers with
    /// what is wrong.
    ///
    /// # Errors
    /// If the file cannot be read, or is none of Stepwell's.
    pub async fn check(&self) -> Result<Vec<String>> {
        let upkeep = self.0.clone();
        blocking(move || upkeep.check()).await
    }
    /// Copies the file as it stands at one moment. The copy appears under its name when it is whole and on the disk.
    /// Answers with its size.
    ///
    /// # Errors
    /// If the file cannot be read, or there is something under the other name, or it cannot be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<u64> {
        let (upkeep, to) = (self.0.clone(), to.as_ref().to_owned());
        blocking(move || upkeep.backup(&to)).await
    }
    /// Makes the file from a backup. What ran when that was taken is given back at the first start, and whoever follows
    /// the events is told that this is another log. Answers with its size.
    ///
    /// # Errors
    /// If the backup is not sound, or there is something under this file's name, or it cannot be written.
    pub async fn restore(&self, backup: impl AsRef<Path>) -> Result<u64> {
        let (upkeep, backup) = (self.0.clone(), backup.as_ref().to_owned());
        let generation = Entropy::new(false).generation();
        blocking(move || upkeep.restore(&backup, generation)).await
    }
    /// Gives room that is no longer used back to the disk. Whoever wants to write waits for it. Answers with the size
    /// before and after.
    ///
    /// # Errors
    /// If the file cannot be written, or others hold it for too long.
    pub async fn vacuum(&self) -> Result<(u64, u64)> {
        let upkeep = self.0.clone();
        blocking(move || upkeep.vacuum()).await
    }
}

/// Reading a whole file takes as long as it takes.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::storage("work on the file", error))?
}
