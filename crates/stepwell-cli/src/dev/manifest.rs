//! What comes out: `.stepwell/manifest.jsonl`, made of what the jobs have recorded.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use stepwell::{Job, JobFilter, JobState, Order, PageRequest, Stepwell};

use super::file::{Entry, WorkFile};

/// What was recorded for these files, in their order. A file whose job has not completed is not among them.
pub(super) async fn entries(stepwell: &Stepwell, files: &[WorkFile]) -> stepwell::Result<Vec<Entry>> {
    let mut wanted: HashMap<String, usize> =
        files.iter().enumerate().map(|(at, file)| (file.key(), at)).collect();
    let mut found: Vec<Option<Entry>> = vec![None; files.len()];
    let filter = JobFilter {
        kind: Some(WorkFile::KIND.into()),
        state: Some(JobState::Completed),
        ..JobFilter::default()
    };
    let mut page = PageRequest { order: Order::NewestFirst, limit: 1_000, after: None };
    loop {
        let list = stepwell.list(filter.clone(), page.clone()).await?;
        for job in &list.items {
            let Some(at) = job.unique_key.as_ref().and_then(|key| wanted.remove(key)) else { continue };
            if let Some(result) = stepwell.phase_result(job.id, "catalog").await? {
                found[at] = Some(result.decode()?);
            }
        }
        match list.next {
            Some(next) => page.after = Some(next),
            None => return Ok(found.into_iter().flatten().collect()),
        }
    }
}

/// Writes the manifest as a whole or not at all.
pub(super) fn write(path: &Path, entries: &[Entry]) -> std::io::Result<()> {
    // Two processes may write at once; each has a draft of its own.
    let draft = path.with_extension(format!("jsonl.{}", std::process::id()));
    let mut file = BufWriter::new(File::create(&draft)?);
    for entry in entries {
        serde_json::to_writer(&mut file, entry)?;
        file.write_all(b"\n")?;
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
