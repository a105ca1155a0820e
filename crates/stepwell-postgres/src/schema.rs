//! A whole schema, from outside: which it is, and how it goes.

use std::sync::Arc;

use stepwell_core::{Error, Result, store::Schema};

use crate::{connection::Conn, error, migrate, options::PostgresOptions, target::Target};

/// Which schema a database has, without bringing it up to date; none if it has none.
///
/// # Errors
/// If the database cannot be reached or used.
pub fn schema(options: &PostgresOptions) -> Result<Option<Schema>> {
    beside(|| {
        let mut conn = connect(options)?;
        let applied = migrate::applied(&mut conn).map_err(error::of(migrate::READ))?;
        Ok(applied.last().map(|last| migrate::standing(last.version)))
    })
}

/// Deletes a schema of Stepwell's and everything in it, for ever.
///
/// # Errors
/// If there is none, or it is not Stepwell's; or if the database cannot be reached or used.
pub fn drop_schema(options: &PostgresOptions) -> Result<()> {
    beside(|| {
        let mut conn = connect(options)?;
        let schema = conn.schema().to_owned();
        if migrate::applied(&mut conn).map_err(error::of(migrate::READ))?.is_empty() {
            return Err(Error::refused(format!("{schema} is no schema of Stepwell's; name another")));
        }
        conn.run(&format!("DROP SCHEMA {schema} CASCADE")).map_err(error::of("delete the schema"))
    })
}

fn connect(options: &PostgresOptions) -> Result<Conn> {
    let mut conn = Conn::new(Arc::new(Target::new(options)?))?;
    conn.connect().map_err(error::of("connect to the database"))?;
    Ok(conn)
}

/// A thread that runs an application's futures must not wait for those of a connection.
fn beside<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| {
            Err(Error::fatal("working on the schema failed; this is a defect of Stepwell"))
        })
    })
}
