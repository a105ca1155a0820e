//! Small records of the layers above, and the cursors of durable readers.

use stepwell_core::{Error, Json, Name, Result, Timestamp, setting::Setting, store::operations};
use tokio_postgres::Row;

use crate::{
    ledger::{Ledger, Trouble, get},
    sql::sql,
};

use super::claim::count;

const READ: &str = "read a setting";
const STORE: &str = "store a setting";
const READ_CURSOR: &str = "read a cursor of the log";
const MOVE_CURSOR: &str = "move a cursor of the log";

impl Ledger {
    pub(super) fn find_setting(&mut self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        let wanted = (scope.clone(), key.to_owned());
        if let Some(setting) = self.known.settings.get(&wanted) {
            return Ok(setting.clone());
        }
        let row = self.query_opt(READ, sql!("setting", "by_key"), &[&&**scope, &key])?;
        let found = row.map(|row| setting(&row)).transpose()?;
        self.known.settings.insert(wanted, found.clone());
        Ok(found)
    }
    pub(super) fn find_revision(&mut self, scope: &Name) -> Result<u64> {
        let row = self.query_opt(READ, sql!("setting", "hold_revision"), &[&&**scope])?;
        Ok(row.map_or(Ok(0), |row| get::<i64>(&row, 0, READ))?.cast_unsigned())
    }
    /// Writes over what this transaction has seen there. If another node has been faster, it is run again.
    pub(super) fn store_setting(
        &mut self,
        scope: &Name,
        key: &str,
        value: Option<&Json>,
        now: Timestamp,
    ) -> Result<u64> {
        self.wrote = true;
        let seen = self.find_setting(scope, key)?.map_or(0, |seen| seen.version);
        let version = match &**scope == operations::ONCE {
            // Nobody lists these, and enqueueing must not wait in one line for the revision that all of them would
            // share. The time makes a version that never comes twice for one key.
            true => now.as_micros().max(seen.cast_signed() + 1),
            false => {
                let row = self.query_opt(STORE, sql!("setting", "revise"), &[&&**scope])?;
                row.map_or(Ok(0), |row| get(&row, 0, STORE))?
            }
        };
        let kept = match value {
            Some(value) => {
                let params: [crate::connection::Param<'_>; 6] =
                    [&&**scope, &key, &version, &now.as_micros(), &value.as_str(), &seen.cast_signed()];
                if self.execute(STORE, sql!("setting", "put"), &params)? == 0 {
                    return Err(self.overtaken());
                }
                let (scope, key, version) = (scope.clone(), key.to_owned(), version.cast_unsigned());
                Some(Setting { scope, key, version, at: now, value: value.clone() })
            }
            None => {
                let params: [crate::connection::Param<'_>; 3] = [&&**scope, &key, &seen.cast_signed()];
                // Where nothing was seen, nothing is there to be removed.
                if self.execute(STORE, sql!("setting", "remove"), &params)? == 0 && seen != 0 {
                    return Err(self.overtaken());
                }
                None
            }
        };
        self.known.settings.insert((scope.clone(), key.to_owned()), kept);
        Ok(version.cast_unsigned())
    }
    fn overtaken(&mut self) -> Error {
        self.trouble = self.trouble.or(Some(Trouble::Again));
        Error::storage(STORE, "another node wrote it at the same moment")
    }
    pub(super) fn forget_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> Result<usize> {
        let params: [crate::connection::Param<'_>; 3] = [&&**scope, &cutoff.as_micros(), &count(limit)];
        let pruned = self.execute("forget settings", sql!("setting", "prune"), &params)?;
        self.wrote |= pruned > 0;
        self.known.settings.clear();
        Ok(usize::try_from(pruned).unwrap_or(usize::MAX))
    }

    /// The cursor is locked from here on: of two nodes that would move it, one waits, and finds it moved.
    pub(super) fn find_cursor(&mut self, name: &Name) -> Result<Option<u64>> {
        if let Some(pos) = self.known.cursors.get(name) {
            return Ok(*pos);
        }
        let row = self.query_opt(READ_CURSOR, sql!("setting", "lock_cursor"), &[&&**name])?;
        let pos = row.map(|row| get::<i64>(&row, 0, READ_CURSOR)).transpose()?.map(i64::cast_unsigned);
        self.known.cursors.insert(name.clone(), pos);
        Ok(pos)
    }
    pub(super) fn store_cursor(&mut self, name: &Name, pos: u64) -> Result<()> {
        self.wrote = true;
        let statement = match self.find_cursor(name)? {
            Some(_) => sql!("setting", "move_cursor"),
            None => sql!("setting", "make_cursor"),
        };
        self.execute(MOVE_CURSOR, statement, &[&&**name, &pos.cast_signed()])?;
        self.known.cursors.insert(name.clone(), Some(pos));
        self.known.lowest_cursor = None;
        Ok(())
    }
}

/// Decodes a row.
pub(crate) fn setting(row: &Row) -> Result<Setting> {
    Ok(Setting {
        scope: get::<&str>(row, 0, READ)?.into(),
        key: get(row, 1, READ)?,
        version: get::<i64>(row, 2, READ)?.cast_unsigned(),
        at: Timestamp::from_micros(get(row, 3, READ)?),
        value: Json::from_text(get::<String>(row, 4, READ)?)?,
    })
}
