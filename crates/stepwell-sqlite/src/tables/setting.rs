//! Small records of the layers above, and the cursors of durable readers.

use rusqlite::{OptionalExtension, Row, params};
use stepwell_core::{Json, Name, Result, Timestamp, setting::Setting};

use crate::{error, ledger::Ledger, sql::sql};

use super::{claim::count, row::text};

impl Ledger {
    pub(super) fn find_setting(&self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "by_key"))?;
            statement.query_row(params![scope, key], setting).optional()
        };
        read().map_err(error::of("read a setting"))
    }
    pub(super) fn find_revision(&self, scope: &Name) -> Result<u64> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "revision"))?;
            statement.query_row([scope], |row| row.get::<_, i64>(0))
        };
        read().map(i64::cast_unsigned).map_err(error::of("read the revision of settings"))
    }
    pub(super) fn store_setting(
        &mut self,
        scope: &Name,
        key: &str,
        value: Option<&Json>,
        now: Timestamp,
    ) -> Result<u64> {
        self.wrote = true;
        let conn = &self.conn;
        let write = || {
            let mut revise = conn.prepare_cached(sql!("setting", "revise"))?;
            let version: i64 = revise.query_row([scope], |row| row.get(0))?;
            match value {
                Some(value) => conn.prepare_cached(sql!("setting", "put"))?.execute(params![
                    scope,
                    key,
                    version,
                    now.as_micros(),
                    value.as_str()
                ])?,
                None => conn.prepare_cached(sql!("setting", "remove"))?.execute(params![scope, key])?,
            };
            Ok(version.cast_unsigned())
        };
        write().map_err(error::of("store a setting"))
    }
    pub(super) fn forget_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> Result<usize> {
        let prune = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "prune"))?;
            statement.execute(params![scope, cutoff.as_micros(), count(limit)])
        };
        let pruned = prune().map_err(error::of("forget settings"))?;
        self.wrote |= pruned > 0;
        Ok(pruned)
    }

    pub(super) fn find_cursor(&self, name: &Name) -> Result<Option<u64>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "cursor"))?;
            statement.query_row([name], |row| row.get::<_, i64>(0)).optional()
        };
        read().map(|pos| pos.map(i64::cast_unsigned)).map_err(error::of("read a cursor of the log"))
    }
    pub(super) fn store_cursor(&mut self, name: &Name, pos: u64) -> Result<()> {
        self.wrote = true;
        let write = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "put_cursor"))?;
            statement.execute(params![name, pos.cast_signed()])
        };
        write().map(drop).map_err(error::of("move a cursor of the log"))
    }
}

/// Decodes a row.
pub(crate) fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    Ok(Setting {
        scope: row.get_ref(0)?.as_str()?.into(),
        key: row.get(1)?,
        version: row.get::<_, i64>(2)?.cast_unsigned(),
        at: Timestamp::from_micros(row.get(3)?),
        value: text(4, row.get(4)?)?,
    })
}
