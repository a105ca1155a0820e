//! Where a store is.

use std::fmt;

use stepwell_core::{
    Result,
    store::copy::{Destination, Source},
};

use crate::entropy::Entropy;

/// Where a store is.
#[derive(Clone)]
pub struct Place(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(feature = "sqlite")]
    Sqlite(std::path::PathBuf),
    #[cfg(feature = "postgres")]
    Postgres { url: String, schema: Option<String> },
}

impl Place {
    /// A file.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(path: impl Into<std::path::PathBuf>) -> Self {
        Self(Kind::Sqlite(path.into()))
    }
    /// A database, by its address.
    #[cfg(feature = "postgres")]
    pub fn postgres(url: impl Into<String>) -> Self {
        Self(Kind::Postgres { url: url.into(), schema: None })
    }
    /// The schema of a database: `stepwell` unless set. Of no effect for a file.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        if let Kind::Postgres { schema, .. } = &mut self.0 {
            *schema = Some(name.into());
        }
        self
    }

    /// Opens the store that is to be copied.
    pub(super) fn source(&self, entropy: &Entropy) -> Result<Box<dyn Source>> {
        Ok(match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(path) => Box::new(stepwell_sqlite::CopyEnd::source(file(path, entropy))?),
            #[cfg(feature = "postgres")]
            Kind::Postgres { url, schema } => {
                Box::new(stepwell_postgres::CopyEnd::source(&database(url, schema.as_deref(), entropy))?)
            }
        })
    }
    /// Opens the store that is to be the copy, and makes it if there is none.
    pub(super) fn destination(&self, entropy: &Entropy) -> Result<Box<dyn Destination>> {
        Ok(match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(path) => Box::new(stepwell_sqlite::CopyEnd::destination(file(path, entropy))?),
            #[cfg(feature = "postgres")]
            Kind::Postgres { url, schema } => {
                Box::new(stepwell_postgres::CopyEnd::destination(&database(url, schema.as_deref(), entropy))?)
            }
        })
    }
}

#[cfg(feature = "sqlite")]
fn file(path: &std::path::Path, entropy: &Entropy) -> stepwell_sqlite::SqliteOptions {
    stepwell_sqlite::SqliteOptions::new(path, entropy.generation())
}

#[cfg(feature = "postgres")]
fn database(url: &str, schema: Option<&str>, entropy: &Entropy) -> stepwell_postgres::PostgresOptions {
    let mut options = stepwell_postgres::PostgresOptions::new(url, entropy.generation());
    if let Some(schema) = schema {
        schema.clone_into(&mut options.schema);
    }
    options
}

impl fmt::Debug for Place {
    /// Without an address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            #[cfg(feature = "postgres")]
            Kind::Postgres { schema, .. } => {
                f.debug_struct("Postgres").field("schema", schema).finish_non_exhaustive()
            }
        }
    }
}
