//! The database and the four transitions, each of many jobs in one statement and one commit.
use std::time::{SystemTime, UNIX_EPOCH};

use postgres::{Client, NoTls, Statement};
use stepwell_bench_subject::{Durability, Result};

pub(crate) struct Store {
    pub(crate) client: Client,
    enqueue: Statement,
    claim: Statement,
    next_phase: Statement,
    end: Statement,
}

/// Claimed jobs, as their owner must name them to change them.
#[derive(Default)]
pub(crate) struct Claimed {
    ids: Vec<i64>,
    epochs: Vec<i32>,
    tokens: Vec<String>,
    pub(crate) payloads: Vec<String>,
}

impl Claimed {
    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }
}

impl Store {
    pub(crate) fn open(url: &str) -> Result<Self> {
        let mut client = Client::connect(url, NoTls)?;
        // Of several connections at once the first makes the tables.
        let mut making = client.transaction()?;
        making.batch_execute("SELECT pg_advisory_xact_lock(1)")?;
        making.batch_execute(include_str!("schema.sql"))?;
        making.commit()?;
        Ok(Self {
            enqueue: client.prepare(include_str!("enqueue.sql"))?,
            claim: client.prepare(include_str!("claim.sql"))?,
            next_phase: client.prepare(include_str!("next_phase.sql"))?,
            end: client.prepare(include_str!("end.sql"))?,
            client,
        })
    }

    pub(crate) fn durability(&mut self) -> Result<Durability> {
        let setting: String = self.client.query_one("SHOW synchronous_commit", &[])?.get(0);
        Ok(Durability::postgres(&setting))
    }

    pub(crate) fn enqueue(&mut self, payloads: &[String], phases: &str) -> Result<()> {
        self.client.execute(&self.enqueue, &[&payloads, &now_us(), &phases])?;
        Ok(())
    }

    /// Claims what is due, up to `limit` jobs, and starts their first phases.
    pub(crate) fn claim(&mut self, limit: usize, phases: &str) -> Result<Claimed> {
        let mut claimed = Claimed::default();
        for row in self.client.query(&self.claim, &[&now_us(), &i64::try_from(limit)?, &phases])? {
            claimed.ids.push(row.get(0));
            claimed.epochs.push(row.get(1));
            claimed.tokens.push(row.get(2));
            claimed.payloads.push(row.get(3));
        }
        Ok(claimed)
    }

    /// Ends the phase `phase` of the jobs: starts the next one, or ends the jobs with their last.
    pub(crate) fn end_phase(&mut self, jobs: &Claimed, phase: u64, last: bool, phases: &str) -> Result<()> {
        let statement = if last { &self.end } else { &self.next_phase };
        let seq = i64::try_from(4 + 2 * phase)?;
        let changed: i64 = self
            .client
            .query_one(statement, &[&jobs.ids, &jobs.epochs, &jobs.tokens, &phases, &seq, &now_us()])?
            .get(0);
        if usize::try_from(changed)? == jobs.count() {
            return Ok(());
        }
        Err("a job is not as its owner left it".into())
    }

    pub(crate) fn seed(&mut self, jobs: u64, state: i32, at_us: i64, phases: &str) -> Result<()> {
        let jobs = i64::try_from(jobs)?;
        self.client.execute(include_str!("seed.sql"), &[&jobs, &state, &at_us, &phases])?;
        Ok(())
    }
}

/// Microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
