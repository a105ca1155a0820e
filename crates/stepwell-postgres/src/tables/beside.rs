//! What a transition changes beside the row.

use stepwell_core::{
    Job, Json, Name, Result,
    machine::Write,
    store::{Row, settled},
};

use crate::{
    ledger::{Ledger, get},
    sql::sql,
};

use super::row::Held;

const STORE: &str = "store what belongs to a job";

impl Ledger {
    pub(super) fn write_beside(&mut self, held: &mut Held, after: &Job, write: Write) -> Result<()> {
        let key = held.row.key;
        match write {
            Write::Result { phase, result } => {
                let phase = self.number_of(&phase)?;
                self.pending.results.insert((key, phase), result);
            }
            Write::Archive { phase, run, inline } => {
                let phase = self.number_of(&phase)?;
                let run = super::row::signed(run);
                if let Some(result) = inline {
                    let archive = sql!("beside", "archive_inline");
                    self.execute(STORE, archive, &[&key, &phase, &run, &result.as_str()])?;
                } else {
                    // An operator did this, and it is rare. The result may be among what waits.
                    self.write_results()?;
                    self.execute(STORE, sql!("beside", "archive_large"), &[&key, &phase, &run])?;
                    self.execute(STORE, sql!("beside", "delete_result"), &[&key, &phase])?;
                }
            }
            Write::Checkpoint { phase, value } => {
                let phase = self.number_of(&phase)?;
                self.pending.checkpoints.insert((key, phase), value);
            }
            Write::Element { phase, index, input_hash, result } => {
                let phase = self.number_of(&phase)?;
                held.elements = true;
                self.pending.elements.insert((key, phase, super::row::signed(index)), (input_hash, result));
            }
            Write::DropElements { phase } => {
                // Every phase says so when it ends, and hardly any has elements.
                if held.elements {
                    let phase = self.number_of(&phase)?;
                    self.pending.elements.retain(|(of, in_phase, _), _| (*of, *in_phase) != (key, phase));
                    self.execute(STORE, sql!("beside", "delete_elements"), &[&key, &phase])?;
                    let waiting = self.pending.elements.keys().any(|(of, ..)| *of == key);
                    held.elements = waiting || self.has_elements(key)?;
                }
            }
            Write::Log(lines) => self.pending.lines.extend(lines.into_iter().map(|line| (key, line))),
            Write::Payload(payload) => {
                self.known.payloads.remove(&key);
                match self.pending.payloads.iter_mut().find(|(of, _)| *of == key) {
                    Some((_, body)) => *body = payload,
                    None => drop(self.pending.new_payloads.insert(key, payload)),
                }
            }
            Write::Reindex => {
                self.pending.tags.retain(|(of, _)| *of != key);
                self.pending.attributes.retain(|(of, ..)| *of != key);
                self.pending.unindexed.push(key);
                self.index(key, after);
            }
        }
        Ok(())
    }

    fn write_results(&mut self) -> Result<()> {
        for ((key, phase), result) in std::mem::take(&mut self.pending.results) {
            let (keys, phases, bodies) = (vec![key], vec![phase], vec![result.as_str()]);
            self.execute(STORE, sql!("beside", "put_results"), &[&keys, &phases, &bodies])?;
        }
        Ok(())
    }

    fn has_elements(&mut self, key: i64) -> Result<bool> {
        let row = self.query_opt(STORE, sql!("beside", "has_elements"), &[&key])?;
        row.map_or(Ok(false), |row| get(&row, 0, STORE))
    }

    /// The end of a phase that the application has committed. Hardly any job has elements, and only then is there a
    /// look.
    pub(super) fn read_settled(&mut self, row: &Row, phase: &Name) -> Result<Option<(String, Json)>> {
        const READ: &str = "read the end of a phase";
        if !self.known.jobs.get(&row.job.id).and_then(Option::as_ref).is_some_and(|held| held.elements) {
            return Ok(None);
        }
        self.flush()?;
        let Some(phase) = self.find_name(phase)? else { return Ok(None) };
        let index = super::row::signed(settled::INDEX);
        let Some(found) = self.query_opt(READ, sql!("beside", "element"), &[&row.key, &phase, &index])?
        else {
            return Ok(None);
        };
        Ok(Some((get(&found, 0, READ)?, Json::from_text(get::<String>(&found, 1, READ)?)?)))
    }

    /// Adds a job's tags and attributes to what it can be found by.
    pub(super) fn index(&mut self, key: i64, job: &Job) {
        self.pending.tags.extend(job.details.tags.iter().map(|tag| (key, tag.clone())));
        let attributes = job.details.attributes.iter();
        self.pending.attributes.extend(attributes.map(|(name, value)| (key, name.clone(), value.clone())));
    }

    /// Reads the payloads of jobs that are locked, all at once.
    pub(super) fn read_payloads(&mut self, rows: &[Row]) -> Result<()> {
        const READ: &str = "read payloads";
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
        for row in self.query(READ, sql!("beside", "payloads"), &[&keys])? {
            self.known.payloads.insert(get(&row, 0, READ)?, Json::from_text(get::<String>(&row, 1, READ)?)?);
        }
        Ok(())
    }
    pub(super) fn read_payload(&mut self, row: &Row) -> Result<Json> {
        const READ: &str = "read a payload";
        if let Some(payload) = self.known.payloads.remove(&row.key) {
            return Ok(payload);
        }
        self.flush()?;
        let found = self.query_opt(READ, sql!("beside", "payload"), &[&row.key])?;
        let missing = || stepwell_core::Error::refused("a job has no payload; restore a backup");
        Json::from_text(get::<String>(&found.ok_or_else(missing)?, 0, READ)?)
    }
}
