//! The servers that tests need: a throw-away PostgreSQL and a PgBouncer before it, found or installed, started before
//! the tests and gone after.

use std::{env, process::Command};

use stepwell_postgres_rig::{Address, Bouncer, Cluster, PGBOUNCER, POSTGRES, Package, Settings, missing};

use crate::{apt, error::Error};

/// Tells the tests where PostgreSQL is. Whoever has set it before is taken at their word, and nothing is started.
const POSTGRES_URL: &str = "STEPWELL_TEST_POSTGRES";

/// Tells them of a way to the same server that leads through PgBouncer, likewise.
const PGBOUNCER_URL: &str = "STEPWELL_TEST_PGBOUNCER";

/// What is running for the tests. Dropping it ends it, the bouncer first.
pub(crate) struct Servers {
    bouncer: Option<Bouncer>,
    postgres: Option<Cluster>,
}

impl Servers {
    /// Starts what is not there yet.
    pub(crate) fn start() -> Result<Self, Error> {
        let failed = |error: stepwell_postgres_rig::Error| Error::failed(error.to_string());
        let wanted: Vec<Package> = [(POSTGRES_URL, POSTGRES), (PGBOUNCER_URL, PGBOUNCER)]
            .into_iter()
            .filter_map(|(name, package)| given(name).is_none().then_some(package))
            .collect();
        let missing: Vec<&str> = missing(&wanted).iter().map(|package| package.name).collect();
        apt::install(&missing)?;
        let (postgres, address) = match given(POSTGRES_URL) {
            Some(url) => (None, Address::parse(&url).map_err(failed)?),
            None => {
                let cluster = Cluster::start(&Settings::fast()).map_err(failed)?;
                let address = cluster.address().clone();
                (Some(cluster), address)
            }
        };
        let bouncer = match given(PGBOUNCER_URL) {
            Some(_) => None,
            None => Some(Bouncer::start(&address).map_err(failed)?),
        };
        Ok(Self { bouncer, postgres })
    }

    /// Tells a command's tests where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        let addresses = [
            (POSTGRES_URL, self.postgres.as_ref().map(Cluster::address)),
            (PGBOUNCER_URL, self.bouncer.as_ref().map(Bouncer::address)),
        ];
        for (name, address) in addresses {
            command.envs(address.map(|address| (name, address.url("postgres"))));
        }
    }
}

/// A variable that is set to something.
fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
