//! The run as a whole: the built subjects, the table that fills, and what went wrong.
use std::path::{Path, PathBuf};

use stepwell_bench_subject::Result;

use crate::{options::Options, store::Store, subject::Subject, table::Table, turn::Turn};

pub(crate) struct Bench {
    pub(crate) options: Options,
    programs: Vec<(Subject, PathBuf)>,
    pub(crate) store: Store,
    pub(crate) table: Table,
    /// One line per count that is not as it must be, or subject that did not answer.
    pub(crate) wrong: Vec<String>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let build = |subject: &Subject| Ok((*subject, subject.build(options.store)?));
        let programs = options.subjects.iter().map(build).collect::<Result<_>>()?;
        let store = Store::open(options.store, &options.dir)?;
        let table = Table::new(options.store.peer());
        Ok(Self { options, programs, store, table, wrong: Vec::new() })
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
        self.store.clear()
    }
}
