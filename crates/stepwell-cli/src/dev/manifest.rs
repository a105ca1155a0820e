//! What comes out: `.stepwell/manifest.jsonl`, made of what the jobs have recorded.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{file::Entry, list::replace};

/// Writes the manifest as a whole or not at all.
pub(super) fn write<'a>(path: &Path, mut entries: impl Iterator<Item = &'a Entry>) -> io::Result<()> {
    replace(path, |out| {
        entries.try_for_each(|entry| {
            serde_json::to_writer(&mut *out, entry)?;
            out.write_all(b"\n")
        })
    })
}
