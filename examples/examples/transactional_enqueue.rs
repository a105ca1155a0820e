//! A job that exists if, and only if, the application's own transaction commits.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, PhaseResult, Stepwell};

#[derive(Serialize, Deserialize)]
struct Welcome {
    to: String,
}

impl Job for Welcome {
    const KIND: &'static str = "welcome";
    type Output = String;
}

async fn welcome(cx: &Ctx<Welcome>) -> PhaseResult<String> {
    Ok(format!("welcomed {}", cx.job().to))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("app.db");
    let stepwell = Stepwell::sqlite(&path).worker_fn(welcome).open().await?;
    let workers = stepwell.start();

    // The application's own connection to the same file.
    let mut db = Connection::open(&path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("CREATE TABLE account (name TEXT NOT NULL)")?;

    // Beginning to write at once keeps SQLite from refusing the write later, under load.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO account VALUES ('Ada')", [])?;
    let ada = stepwell.enqueue(Welcome { to: "Ada".into() }).in_sqlite(&transaction)?;
    transaction.commit()?;
    println!("{}", ada.result().await?);

    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO account VALUES ('Bob')", [])?;
    let bob = stepwell.enqueue(Welcome { to: "Bob".into() }).in_sqlite(&transaction)?;
    transaction.rollback()?;
    let unknown = bob.state().await.expect_err("what was rolled back was never there");
    println!("Bob's job exists: {}", !unknown.is_not_found());

    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

// Output:
// welcomed Ada
// Bob's job exists: false
