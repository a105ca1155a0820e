//! What a loss of power leaves.

use std::{collections::BTreeMap, io, path::Path};

/// The files as they are found after a loss of power.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What the test had [marked](crate::Disk::mark) when the power went.
    pub mark: u64,
    /// The call during which it went, counted from the disk's first.
    pub call: u64,
    /// The files by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Writes the files into a directory.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        self.files.iter().try_for_each(|(name, content)| std::fs::write(directory.join(name), content))
    }
}
