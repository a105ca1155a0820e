//! The stores that are measured, and the places in them: a file, or a database of its own.
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process,
};

use stepwell_bench_subject::Result;
use stepwell_postgres_rig::{Cluster, Database, Settings};

use crate::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err(format!("there is no store `{name}`").into()),
        }
    }

    /// The other queue on it.
    pub(crate) fn peer(self) -> &'static str {
        match self {
            Self::Sqlite => "effectum",
            Self::Postgres => "graphile",
        }
    }

    /// Where the program of a subject is built.
    pub(crate) fn directory(self, subject: Subject) -> &'static str {
        match (self, subject) {
            (Self::Sqlite, Subject::Bare) => "bare",
            (Self::Postgres, Subject::Bare) => "bare-postgres",
            (_, Subject::Peer) => self.peer(),
            (_, Subject::Stepwell) => "stepwell",
        }
    }
}

/// One place, and how a subject is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    name: String,
    pub(crate) address: String,
}

/// Where the subjects put their jobs.
pub(crate) enum Store {
    /// A directory of its own, so that it can be removed whole.
    Files(PathBuf),
    /// A server of its own, and a database for each place. They go before the server does.
    Databases { made: HashMap<String, Database>, server: Box<Cluster> },
}

impl Store {
    pub(crate) fn open(kind: Kind, dir: &Path) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let dir = dir.join(format!("stepwell-bench-{}", process::id()));
                fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
                Ok(Self::Files(dir))
            }
            Kind::Postgres => {
                // Its default configuration, but for how many may connect.
                let server = Cluster::start(&Settings::durable()).map_err(|error| error.to_string())?;
                Ok(Self::Databases { made: HashMap::new(), server: Box::new(server) })
            }
        }
    }

    /// A place that lasts from round to round.
    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        let address = match self {
            Self::Files(dir) => {
                let file = dir.join(name).join("jobs.db");
                file.into_os_string().into_string().map_err(|_| "the directory's name is not UTF-8")?
            }
            // One that is still to be made has no address yet.
            Self::Databases { made, .. } => made.get(name).map(Database::url).unwrap_or_default(),
        };
        Ok(Place { name: name.into(), address })
    }

    /// The same, without what was in it or beside it.
    pub(crate) fn fresh(&mut self, name: &str) -> Result<Place> {
        match self {
            Self::Files(dir) => {
                let dir = dir.join(name);
                if dir.exists() {
                    fs::remove_dir_all(&dir)?;
                }
                fs::create_dir_all(&dir)?;
            }
            Self::Databases { made, server } => {
                // The old one is dropped first, so that its pages and its vacuum are in nobody's way.
                made.remove(name);
                let database = Database::create_on(server.address()).map_err(|error| error.to_string())?;
                made.insert(name.to_owned(), database);
            }
        }
        self.place(name)
    }

    /// Removes everything that is in it.
    pub(crate) fn clear(&mut self) -> Result<()> {
        match self {
            Self::Files(dir) => {
                fs::remove_dir_all(&*dir)?;
                fs::create_dir_all(dir)?;
            }
            Self::Databases { made, .. } => made.clear(),
        }
        Ok(())
    }

    /// The first row of a query in the database of a place.
    pub(crate) fn look(&self, place: &Place, sql: &str) -> Result<Vec<Option<String>>> {
        let Self::Databases { made, .. } = self else { return Err("files are looked at otherwise".into()) };
        let database = made.get(&place.name).ok_or_else(|| format!("there is no database {}", place.name))?;
        let rows = database.query(sql).map_err(|error| error.to_string())?;
        Ok(rows.into_iter().next().ok_or("the query gave no row")?)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Files(dir) = self {
            // Files that cannot be removed are in nobody's way.
            let _ = fs::remove_dir_all(dir);
        }
    }
}
