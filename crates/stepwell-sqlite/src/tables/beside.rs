//! What a transition changes beside the row.

use rusqlite::{OptionalExtension, params};
use stepwell_core::{
    Job, Json, Name, Result,
    job::Details,
    limits,
    machine::{LogLine, Write},
    store::{Row, settled},
};

use crate::{error, ledger::Ledger, sql::sql};

impl Ledger {
    pub(super) fn write_beside(&mut self, key: i64, before: &Job, after: &Job, write: Write) -> Result<()> {
        match write {
            Write::Result { phase, result } => {
                let phase = self.number_of(&phase)?;
                self.change_beside(sql!("beside", "put_result"), params![key, phase, result.as_str()])
            }
            Write::Archive { phase, run, inline } => {
                let phase = self.number_of(&phase)?;
                match inline {
                    Some(result) => self.change_beside(
                        sql!("beside", "archive_inline"),
                        params![key, phase, run, result.as_str()],
                    ),
                    None => {
                        self.change_beside(sql!("beside", "archive_large"), params![key, phase, run])?;
                        self.change_beside(sql!("beside", "delete_result"), params![key, phase])
                    }
                }
            }
            Write::Checkpoint { phase, value } => {
                let phase = self.number_of(&phase)?;
                match value {
                    Some(value) => self
                        .change_beside(sql!("beside", "put_checkpoint"), params![key, phase, value.as_str()]),
                    None => self.change_beside(sql!("beside", "delete_checkpoint"), params![key, phase]),
                }
            }
            Write::Element { phase, index, input_hash, result } => {
                let phase = self.number_of(&phase)?;
                self.elements.insert(key);
                self.change_beside(
                    sql!("beside", "put_element"),
                    params![key, phase, index, input_hash, result.as_str()],
                )
            }
            Write::DropElements { phase } => {
                // Every phase says so when it ends, and hardly any has elements.
                if !self.elements.contains(&key) {
                    return Ok(());
                }
                let phase = self.number_of(&phase)?;
                self.change_beside(sql!("beside", "delete_elements"), params![key, phase])?;
                let has = || {
                    self.conn
                        .prepare_cached(sql!("beside", "has_elements"))?
                        .query_row([key], |row| row.get(0))
                };
                let any: bool = has().map_err(error::of("read the elements of a phase"))?;
                if !any {
                    self.elements.remove(&key);
                }
                Ok(())
            }
            Write::Log(lines) => self.write_log(key, &lines),
            Write::Payload(payload) => {
                self.payloads.remove(&key);
                self.change_beside(sql!("beside", "update_payload"), params![key, payload.as_str()])
            }
            Write::Reindex => {
                self.delete_index(key, &before.details)?;
                self.insert_index(key, &after.details)
            }
        }
    }

    fn change_beside(&self, statement: &'static str, params: impl rusqlite::Params) -> Result<()> {
        let change = || self.conn.prepare_cached(statement)?.execute(params);
        change().map(drop).map_err(error::of("store what belongs to a job"))
    }

    fn write_log(&self, key: i64, lines: &[LogLine]) -> Result<()> {
        let last =
            || self.conn.prepare_cached(sql!("beside", "last_line"))?.query_row([key], |row| row.get(0));
        let mut n: i64 = last().map_err(error::of("read a job's log"))?;
        for line in lines {
            n += 1;
            self.change_beside(
                sql!("beside", "insert_line"),
                params![key, n, line.at.as_micros(), line.phase, line.text],
            )?;
        }
        let excess = n - i64::try_from(limits::LOG_LINES_MAX).unwrap_or(i64::MAX);
        if excess > 0 {
            self.change_beside(sql!("beside", "trim_log"), params![key, excess])?;
        }
        Ok(())
    }

    pub(super) fn insert_index(&self, key: i64, details: &Details) -> Result<()> {
        for tag in &details.tags {
            self.change_beside(sql!("beside", "insert_tag"), params![tag, key])?;
        }
        for (name, value) in &details.attributes {
            self.change_beside(sql!("beside", "insert_attribute"), params![name, value, key])?;
        }
        Ok(())
    }

    fn delete_index(&self, key: i64, details: &Details) -> Result<()> {
        for tag in &details.tags {
            self.change_beside(sql!("beside", "delete_tag"), params![tag, key])?;
        }
        for (name, value) in &details.attributes {
            self.change_beside(sql!("beside", "delete_attribute"), params![name, value, key])?;
        }
        Ok(())
    }

    /// Removes a job, and everything of it but its events.
    pub(super) fn delete_job(&mut self, row: &Row) -> Result<()> {
        let key = row.key;
        self.delete_index(key, &row.job.details)?;
        let statements = [
            sql!("beside", "delete_payload"),
            sql!("beside", "delete_results"),
            sql!("beside", "delete_archive"),
            sql!("beside", "delete_checkpoints"),
            sql!("beside", "delete_log"),
            sql!("job", "delete"),
        ];
        for statement in statements {
            self.change_beside(statement, params![key])?;
        }
        if self.elements.remove(&key) {
            self.change_beside(sql!("beside", "delete_all_elements"), params![key])?;
        }
        Ok(())
    }

    /// The end of a phase that the application has committed. Hardly any job has elements, and only then is there a
    /// look.
    pub(super) fn read_settled(&mut self, key: i64, phase: &Name) -> Result<Option<(String, Json)>> {
        if !self.elements.contains(&key) {
            return Ok(None);
        }
        let Some(phase) = self.dictionary.find(&self.conn, phase)? else { return Ok(None) };
        let read = || {
            self.conn
                .prepare_cached(sql!("beside", "element"))?
                .query_row(params![key, phase, settled::INDEX], |row| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?))
                })
                .optional()
        };
        let found: Option<(String, String)> = read().map_err(error::of("read the end of a phase"))?;
        found.map(|(epoch, result)| Ok((epoch, Json::from_text(result)?))).transpose()
    }

    pub(super) fn read_payload(&mut self, key: i64) -> Result<Json> {
        if let Some(payload) = self.payloads.remove(&key) {
            return Ok(payload);
        }
        self.flush()?;
        let read = || self.conn.prepare_cached(sql!("beside", "payload"))?.query_row([key], |row| row.get(0));
        let text: String = read().map_err(error::of("read a payload"))?;
        Json::from_text(text)
    }
}
