//! Where a queue is stored, as it is named on the command line.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use stepwell::{Builder, Error, Stepwell, copy::Place};

use crate::failure::{Failure, code};

/// Where a queue is stored: `sqlite:PATH`, or `postgres://HOST/DATABASE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    /// A file.
    Sqlite(PathBuf),
    /// A database, by its address, which may hold a password.
    Postgres(String),
}

impl StoreAddress {
    pub(crate) fn builder(&self) -> Builder {
        match self {
            Self::Sqlite(path) => Stepwell::sqlite(path),
            Self::Postgres(url) => Stepwell::postgres(url),
        }
    }
    /// The store as a whole.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Sqlite(path) => Place::sqlite(path),
            Self::Postgres(url) => Place::postgres(url),
        }
    }
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
    /// The same, with a path that begins in this directory.
    pub(crate) fn at(self, directory: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(directory.join(path)),
            Self::Postgres(url) => Self::Postgres(url),
        }
    }
    /// What could not be done to it, with the exit code for a database that does not answer.
    pub(crate) fn failed_to(&self, what: &str, error: Error) -> Failure {
        let code = match self {
            Self::Postgres(_) if error.is_transient() => code::UNREACHABLE,
            _ => code::FAILURE,
        };
        Failure::with_code(code, format!("{what} {self}"), error)
    }
    /// Whether it is there. Of a database it is seen when it is opened.
    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::Sqlite(path) => path.exists(),
            Self::Postgres(_) => true,
        }
    }
}

impl FromStr for StoreAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("it is sqlite: and the path of a file, such as sqlite:app.db, or the address of a database, such \
                      as postgres://user@host/database"
                .into()),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // Whoever the user is, and what else the address says, stays where it was written.
            Self::Postgres(url) => {
                let (_, rest) = url.split_once("://").unwrap_or_default();
                let place = rest.split('?').next().unwrap_or_default();
                write!(f, "postgres://{}", place.rsplit_once('@').map_or(place, |(_, place)| place))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_with_its_kind() {
        assert_eq!("sqlite:a/b.db".parse::<StoreAddress>().unwrap().to_string(), "sqlite:a/b.db");
        for text in ["app.db", "sqlite:", "mysql://x", ""] {
            text.parse::<StoreAddress>().unwrap_err();
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for url in ["postgres://me:s3cret@db/jobs", "postgresql://me@db/jobs?password=s3cret"] {
            assert_eq!(url.parse::<StoreAddress>().unwrap().to_string(), "postgres://db/jobs");
        }
    }
}
