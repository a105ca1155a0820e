//! The run as a whole: the built subjects, the table that fills, and what went wrong.
use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use stepwell_bench_subject::Result;

use crate::{options::Options, subject::Subject, table::Table, turn::Turn};

pub(crate) struct Bench {
    pub(crate) options: Options,
    programs: Vec<(Subject, PathBuf)>,
    dir: PathBuf,
    pub(crate) table: Table,
    /// One line per count that is not as it must be, or subject that did not answer.
    pub(crate) wrong: Vec<String>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let build = |subject: &Subject| Ok((*subject, subject.build()?));
        let programs = options.subjects.iter().map(build).collect::<Result<_>>()?;
        // A directory of its own, so that it can be removed whole.
        let dir = options.dir.join(format!("stepwell-bench-{}", process::id()));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { options, programs, dir, table: Table::default(), wrong: Vec::new() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn program(&self, subject: Subject) -> Result<&Path> {
        let found = self.programs.iter().find(|(built, _)| *built == subject);
        found.map(|(_, program)| program.as_path()).ok_or_else(|| format!("{subject} is not built").into())
    }

    /// Gives each of `subjects` one turn per round, in this order. One that fails takes no further turn.
    pub(crate) fn in_turn(
        &mut self,
        rounds: u64,
        subjects: &[Subject],
        mut take: impl FnMut(&mut Turn<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut subjects = subjects.to_vec();
        subjects.retain(|subject| self.options.subjects.contains(subject));
        for round in 1..=rounds {
            let mut wrong = Vec::new();
            subjects.retain(|&subject| {
                let taken = take(&mut Turn { bench: self, subject, round });
                wrong.extend(taken.as_ref().err().map(|error| format!("{subject}: {error}")));
                taken.is_ok()
            });
            self.wrong.append(&mut wrong);
        }
        fs::remove_dir_all(&self.dir)?;
        Ok(fs::create_dir_all(&self.dir)?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Files that cannot be removed are in nobody's way.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
