//! A job whose second phase completes inside a transaction of its own, through each driver.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;
use stepwell::{Builder, Ctx, Error, Job, JobId, Phase, PhaseResult, Plan, Retry, Stepwell, Worker};
use stepwell_postgres_rig::Database;
use tokio::sync::Semaphore;

/// One job: three phases, of which the second has an effect of its own.
#[derive(Serialize, Deserialize)]
pub struct Charge(pub i64);
impl Job for Charge {
    const KIND: &'static str = "charge";
    type Output = i64;
}

/// What the second phase does with its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Commit,
    RollBack,
    /// It returns a result, and has never committed.
    ForgetCommit,
    CommitAndFail,
    CommitAndPanic,
    /// It commits and hangs until it is dropped.
    CommitAndHang,
    WrongOutput,
    Twice,
    SaveAfter,
    /// It passes the first gate before it completes, and the second one before it commits.
    Gates,
}

/// Where a process dies.
pub const POINT: &str = "STEPWELL_COMPLETE_IN_POINT";
pub const POINTS: [&str; 4] = ["before-complete", "before-commit", "after-commit", "after-record"];

fn pass(point: &str) {
    if std::env::var(POINT).is_ok_and(|wanted| wanted == point) {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
}

pub struct Script {
    pub act: Mutex<Act>,
    pub runs: AtomicU32,
    pub errors: Mutex<Vec<Error>>,
    pub begun: Semaphore,
    pub gates: [Semaphore; 2],
    pub at_gate: [Semaphore; 2],
}

/// Where everything is, and through which driver.
#[derive(Clone)]
pub enum Place {
    Sqlite(PathBuf),
    Tokio(String),
    Sqlx(String),
}

impl Place {
    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite(path) => path.to_str().unwrap(),
            Self::Tokio(url) | Self::Sqlx(url) => url,
        }
    }
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Tokio(_) => "tokio",
            Self::Sqlx(_) => "sqlx",
        }
    }
    pub fn named(name: &str, url: String) -> Self {
        match name {
            "sqlite" => Self::Sqlite(url.into()),
            "tokio" => Self::Tokio(url),
            _ => Self::Sqlx(url),
        }
    }
    fn builder(&self) -> Builder {
        match self {
            Self::Sqlite(path) => Stepwell::sqlite(path),
            Self::Tokio(url) | Self::Sqlx(url) => Stepwell::postgres(url),
        }
    }
}

/// A place that goes with this.
pub struct Site {
    pub place: Place,
    database: Option<Database>,
    _dir: tempfile::TempDir,
}

impl Site {
    pub fn each() -> [Self; 3] {
        ["sqlite", "tokio", "sqlx"].map(Self::of)
    }
    pub fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let table = "CREATE TABLE effect (job text NOT NULL, cents bigint NOT NULL)";
        let database = (name != "sqlite").then(|| Database::create().unwrap());
        let url = match &database {
            Some(database) => {
                database.query(table).unwrap();
                database.url()
            }
            None => {
                let path = dir.path().join("app.db");
                Connection::open(&path).unwrap().execute_batch(table).unwrap();
                path.to_str().unwrap().to_owned()
            }
        };
        Self { place: Place::named(name, url), database, _dir: dir }
    }
    pub fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }
    /// How often the job has had its effect.
    pub fn effects(&self, job: JobId) -> i64 {
        let count = format!("SELECT count(*) FROM effect WHERE job = '{job}'");
        match &self.place {
            Place::Sqlite(path) => {
                Connection::open(path).unwrap().query_row(&count, [], |row| row.get(0)).unwrap()
            }
            _ => self.database().query(&count).unwrap()[0][0].as_ref().unwrap().parse().unwrap(),
        }
    }
}

#[derive(Clone)]
pub struct Till {
    place: Place,
    pub script: Arc<Script>,
}

impl Till {
    pub fn new(place: &Place, act: Act) -> Self {
        let none = || [Semaphore::new(0), Semaphore::new(0)];
        let script = Script {
            act: Mutex::new(act),
            runs: AtomicU32::new(0),
            errors: Mutex::default(),
            begun: Semaphore::new(0),
            gates: none(),
            at_gate: none(),
        };
        Self { place: place.clone(), script: Arc::new(script) }
    }
    pub fn builder(&self) -> Builder {
        super::support::brisk(self.place.builder())
    }
    /// A queue that this works.
    pub async fn open(&self) -> Stepwell {
        let builder = match &self.place {
            Place::Sqlite(_) => self.builder().worker(BlockingTill(self.clone())),
            _ => self.builder().worker(self.clone()),
        };
        builder.open().await.unwrap()
    }
    pub fn act(&self) -> Act {
        *self.script.act.lock().unwrap()
    }
    pub fn runs(&self) -> u32 {
        self.script.runs.load(Ordering::SeqCst)
    }
    fn told(&self, outcome: &stepwell::Result<()>) {
        if let Err(error) = outcome {
            self.script.errors.lock().unwrap().push(error.clone());
        }
    }
    async fn gate(&self, nth: usize) {
        if self.act() == Act::Gates {
            self.script.at_gate[nth].add_permits(1);
            self.script.gates[nth].acquire().await.unwrap().forget();
        }
    }
    /// What follows the commit.
    async fn rest<J>(&self, cx: &Ctx<J>, left: i64) -> PhaseResult<i64> {
        pass("after-commit");
        match self.act() {
            Act::CommitAndFail => Err("failed after the commit".into()),
            Act::CommitAndPanic => panic!("panicked after the commit"),
            Act::CommitAndHang => std::future::pending().await,
            Act::SaveAfter => {
                cx.progress(1, 1);
                self.told(&cx.save_cursor(&1_u32).await.map_err(|error| Error::refused(error.to_string())));
                Ok(left)
            }
            _ => Ok(left),
        }
    }

    async fn before(&self, cx: &Ctx<Charge>) -> PhaseResult<i64> {
        Ok(cx.job().0)
    }
    async fn after(&self, _: &Ctx<Charge>, left: i64) -> PhaseResult<i64> {
        pass("after-record");
        Ok(left + 1)
    }
    async fn charge(&self, cx: &Ctx<Charge>, cents: i64) -> PhaseResult<i64> {
        self.script.runs.fetch_add(1, Ordering::SeqCst);
        self.script.begun.add_permits(1);
        let insert = "INSERT INTO effect VALUES ($1, $2)";
        self.gate(0).await;
        pass("before-complete");
        // The same with both drivers, which have no type in common.
        macro_rules! complete {
            ($tx:ident) => {{
                let done = match self.act() {
                    Act::WrongOutput => cx.complete_in(&mut $tx, &"another type").await,
                    _ => cx.complete_in(&mut $tx, &(2 * cents)).await,
                };
                self.told(&done);
                done?;
                if self.act() == Act::Twice {
                    self.told(&cx.complete_in(&mut $tx, &(2 * cents)).await);
                }
                self.gate(1).await;
                pass("before-commit");
                match self.act() {
                    Act::RollBack => return Err("rolled back".into()),
                    Act::ForgetCommit => return Ok(2 * cents),
                    _ => $tx.commit().await?,
                }
            }};
        }
        match &self.place {
            Place::Sqlite(_) => unreachable!("that one blocks"),
            Place::Tokio(url) => {
                let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                let mut tx = client.transaction().await?;
                tx.execute(insert, &[&cx.id().to_string(), &cents]).await?;
                complete!(tx);
            }
            Place::Sqlx(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await?;
                let mut tx = connection.begin().await?;
                sqlx::query(insert).bind(cx.id().to_string()).bind(cents).execute(&mut *tx).await?;
                complete!(tx);
            }
        }
        self.rest(cx, 2 * cents).await
    }

    fn charge_blocking(&self, cx: &Ctx<Charge>, cents: i64) -> PhaseResult<i64> {
        self.script.runs.fetch_add(1, Ordering::SeqCst);
        self.script.begun.add_permits(1);
        let Place::Sqlite(path) = &self.place else { unreachable!("those are asynchronous") };
        pollster(self.gate(0));
        pass("before-complete");
        let mut db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(30))?;
        let mut tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("INSERT INTO effect VALUES (?1, ?2)", rusqlite::params![cx.id().to_string(), cents])?;
        let done = match self.act() {
            Act::WrongOutput => cx.complete_in(&mut tx, &"another type"),
            _ => cx.complete_in(&mut tx, &(2 * cents)),
        };
        self.told(&done);
        done?;
        if self.act() == Act::Twice {
            self.told(&cx.complete_in(&mut tx, &(2 * cents)));
        }
        pollster(self.gate(1));
        pass("before-commit");
        match self.act() {
            Act::RollBack => return Err("rolled back".into()),
            Act::ForgetCommit => return Ok(2 * cents),
            _ => tx.commit()?,
        }
        pollster(self.rest(cx, 2 * cents))
    }
}

/// Waits on a thread that may be blocked.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn retry() -> Retry {
    Retry::exponential(2).starting_at(std::time::Duration::from_millis(1))
}

impl Worker for Till {
    type Job = Charge;
    fn plan(plan: &Plan<Self>) -> Phase<'_, i64> {
        let before = plan.phase("before", (), Self::before);
        let charge = plan.phase("charge", before, Self::charge).retry(retry());
        plan.phase("after", charge.timeout(std::time::Duration::from_secs(20)), Self::after)
    }
}

struct BlockingTill(Till);
impl Worker for BlockingTill {
    type Job = Charge;
    fn plan(plan: &Plan<Self>) -> Phase<'_, i64> {
        let before = plan.phase("before", (), Self::before);
        let charge = plan.blocking("charge", before, Self::charge).retry(retry());
        plan.phase("after", charge.timeout(std::time::Duration::from_secs(20)), Self::after)
    }
}
impl BlockingTill {
    async fn before(&self, cx: &Ctx<Charge>) -> PhaseResult<i64> {
        self.0.before(cx).await
    }
    fn charge(&self, cx: &Ctx<Charge>, cents: i64) -> PhaseResult<i64> {
        self.0.charge_blocking(cx, cents)
    }
    async fn after(&self, cx: &Ctx<Charge>, left: i64) -> PhaseResult<i64> {
        self.0.after(cx, left).await
    }
}
