//! How a store is doing, as operators want to know.

use stepwell_core::{
    Result, Timestamp,
    store::{Health, Late},
};

use crate::{ledger::get, migrate, read::Reader, session, sql::sql};

impl Reader {
    /// How it is doing at this time.
    pub(crate) fn health(&mut self, now: Timestamp) -> Result<Health> {
        let row = self.query_opt(migrate::READ, sql!("migration", "version"), &[])?;
        let version: Option<i32> = row.map_or(Ok(None), |row| get(&row, 0, migrate::READ))?;
        let rows = self.query(session::READ, sql!("session", "late"), &[&now.as_micros()])?;
        let late = |row: &tokio_postgres::Row| {
            let (expires_at, jobs): (i64, i64) = (get(row, 1, session::READ)?, get(row, 2, session::READ)?);
            let overdue = now.since(Timestamp::from_micros(expires_at));
            Ok(Late { node: get(row, 0, session::READ)?, overdue, jobs: u64::try_from(jobs).unwrap_or(0) })
        };
        let late = rows.iter().map(late).collect::<Result<_>>()?;
        Ok(Health { schema: version.map(migrate::standing), ..Health::default() }.with_late(late))
    }
}
