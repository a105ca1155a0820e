//! The contract with whoever comes with plain SQL: `docs/sql.md`, the views, and the inbox.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(feature = "sqlite", feature = "rusqlite"))]

mod support;

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use stepwell::{JobState, OnConflict, Stepwell, Unique, copy};
use support::{Second, Spell, Speller, soon};

const GUIDE: &str = include_str!("../../../docs/sql.md");

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
    async fn open(&self, speller: &Speller) -> Stepwell {
        Stepwell::sqlite(self.dir.path().join("app.db")).worker(speller.clone()).open().await.unwrap()
    }
    fn connect(&self) -> Connection {
        let connection = Connection::open(self.dir.path().join("app.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }
}

/// The text between two marks, each time that they come.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

fn snippets() -> Vec<&'static str> {
    between(GUIDE, "```sql\n", "```").collect()
}

#[tokio::test]
async fn every_snippet_of_the_guide_runs() {
    let place = Place::new();
    let speller = Speller::new(Second::Return);
    let stepwell = place.open(&speller).await;
    let workers = stepwell.start();
    let job = stepwell.enqueue(Spell::new("a")).tag("billing").attribute("customer", 42).await.unwrap();
    job.ended().await.unwrap();
    let connection = place.connect();
    assert!(snippets().len() >= 8);
    let mut rows_seen = 0;
    for snippet in snippets() {
        let mut run = || -> rusqlite::Result<()> {
            let mut statement = connection.prepare(snippet)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {
                rows_seen += 1;
            }
            Ok(())
        };
        run().unwrap_or_else(|error| panic!("{error}:\n{snippet}"));
    }
    assert!(rows_seen > 5, "they find something");
    // The inbox rows of the guide are jobs now.
    let expected = "0199c3a1-5b2e-7c44-9d6e-2f7a1c3b4d5e".parse().unwrap();
    let handle = stepwell.handle::<Spell>(expected);
    let taken_in = async {
        while handle.state().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the row is taken in", taken_in).await;
    let record = handle.record().await.unwrap();
    assert_eq!((&*record.kind, &*record.queue, record.priority), ("count_words", "slow", 5));
    assert_eq!(record.unique_key.as_deref(), Some("book"));
    assert_eq!(record.details.attributes["customer"], "42");
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// The columns that a section of the guide lists.
fn listed(section: &str) -> Vec<&'static str> {
    let heading = format!("\n## {section}");
    let body = GUIDE.split(heading.as_str()).nth(1).expect("the section is there");
    let body = body.split("\n## ").next().unwrap();
    body.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[tokio::test]
async fn the_guide_lists_the_columns_that_there_are() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let connection = place.connect();
    let columns = |table: &str| -> Vec<String> {
        let statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        #[allow(clippy::useless_conversion, reason = "an older rusqlite of the range answers with a list")]
        let names = statement.column_names().into_iter().map(str::to_owned);
        names.collect()
    };
    for view in ["stepwell_jobs", "stepwell_phases", "stepwell_events"] {
        assert_eq!(listed(&format!("`{view}`")), columns(view), "{view}");
    }
    let (mut inbox, mut told) = (columns("stepwell_inbox"), listed("The inbox"));
    inbox.sort();
    told.sort_unstable();
    assert_eq!(told, inbox);
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_has_only_read_is_refused_and_told_how_to_begin() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let mut connection = place.connect();
    let deferred = connection.transaction().unwrap();
    deferred.query_row("SELECT count(*) FROM stepwell_jobs", [], |_| Ok(())).unwrap();
    let error = stepwell.enqueue(Spell::new("a")).in_sqlite(&deferred).unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(
        error.to_string().contains("transaction_with_behavior(TransactionBehavior::Immediate)"),
        "{error}"
    );
    drop(deferred);
    // One that has not read yet becomes a writing one with this row, which waits like any other.
    let deferred = connection.transaction().unwrap();
    stepwell.enqueue(Spell::new("a")).in_sqlite(&deferred).unwrap();
    deferred.commit().unwrap();
    // And so does a connection without a transaction.
    stepwell.enqueue(Spell::new("b")).in_sqlite(&connection).unwrap();
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM stepwell_inbox", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2, "nobody works here yet");
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn an_inbox_that_cannot_be_written_says_what_to_do() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let other = Connection::open_in_memory().unwrap();
    let error = stepwell.enqueue(Spell::new("a")).in_sqlite(&other).unwrap_err();
    assert_eq!(error.field(), Some("connection"));
    assert!(error.to_string().contains("open the file that the queue was opened with"), "{error}");

    let (holder, hasty) = (place.connect(), place.connect());
    hasty.busy_timeout(Duration::ZERO).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = stepwell.enqueue(Spell::new("a")).in_sqlite(&hasty).unwrap_err();
    assert!(error.is_busy() && error.to_string().contains("`busy_timeout`"), "{error}");
    holder.execute_batch("COMMIT").unwrap();
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn what_a_row_of_the_inbox_cannot_hold_is_refused_and_not_lost() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let connection = place.connect();
    let enqueue = || stepwell.enqueue(Spell::new("a"));
    for (enqueue, field) in [
        (enqueue().expires_in(Duration::from_secs(60)), "expires"),
        (enqueue().once("key", "print"), "idempotency key"),
        (enqueue().max_crashes(2), "max_crashes"),
        (enqueue().unique(Unique::key("a")).on_conflict(OnConflict::Replace), "on conflict"),
    ] {
        assert_eq!(enqueue.in_sqlite(&connection).unwrap_err().field(), Some(field));
    }
    enqueue().in_sqlite(&connection).unwrap();
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn a_sealed_file_refuses() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let file = |name: &str| copy::Place::sqlite(place.dir.path().join(name));
    copy::Copying::new(file("app.db"), file("copy.db")).run().await.unwrap();
    let error = stepwell.enqueue(Spell::new("a")).in_sqlite(&place.connect()).unwrap_err();
    assert!(error.is_sealed(), "{error}");
    stepwell.close().await.unwrap();
}

/// An application that waits for the queue inside its own transaction waits for itself, and is told so.
#[tokio::test]
async fn whoever_waits_for_himself_is_told_of_the_inbox() {
    let place = Place::new();
    let path = place.dir.path().join("app.db");
    let builder = Stepwell::sqlite(path).worker(Speller::new(Second::Return));
    let stepwell = builder.busy_deadline(Duration::from_millis(100)).open().await.unwrap();
    let mut connection = place.connect();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let error = stepwell.enqueue(Spell::new("a")).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert!(error.to_string().contains("let it insert into `stepwell_inbox` there instead"), "{error}");
    stepwell.enqueue(Spell::new("a")).in_sqlite(&transaction).unwrap();
    transaction.commit().unwrap();
    let workers = stepwell.start();
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_row_that_stands_for_another_job_is_waited_for_through_that() {
    let place = Place::new();
    let speller = Speller::new(Second::Wait);
    let stepwell = place.open(&speller).await;
    let workers = stepwell.start();
    let first = stepwell.enqueue(Spell::new("a")).unique(Unique::key("one")).await.unwrap();
    speller.begun().await;
    let connection = place.connect();
    let enqueue = || stepwell.enqueue(Spell::new("b")).unique(Unique::key("one"));
    let second = enqueue().in_sqlite(&connection).unwrap();
    let third = enqueue().in_sqlite(&connection).unwrap();
    let waiting = tokio::spawn(async move { second.result().await });
    // The rows are taken in while the first job runs, and it ends after that.
    let taken_in = async {
        loop {
            let left: i64 =
                connection.query_row("SELECT count(*) FROM stepwell_inbox", [], |row| row.get(0)).unwrap();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the inbox is empty", taken_in).await;
    let record = third.record().await.unwrap();
    assert_eq!((record.id, record.state), (first.id(), JobState::Running), "the handle follows its row");
    assert_eq!(third.state().await.unwrap(), JobState::Running);
    speller.open_gate();
    let result = soon("the first job ends", first.result()).await.unwrap();
    assert_eq!(soon("and with it the second", waiting).await.unwrap().unwrap(), result);
    assert_eq!(soon("and the third", third.result()).await.unwrap(), result);
    assert_eq!(third.cancel().await.unwrap(), JobState::Completed, "what is asked of it follows, too");
    assert!(third.retry().await.unwrap_err().is_wrong_state());
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_row_is_told_to_whoever_asks_and_holds_nobody_up() {
    let place = Place::new();
    let stepwell = place.open(&Speller::new(Second::Return)).await;
    let connection = place.connect();
    let insert = |id: &dyn rusqlite::ToSql, v: i64, payload: &dyn rusqlite::ToSql| {
        let row = "INSERT INTO stepwell_inbox (id, v, kind, payload) VALUES (?1, ?2, 'spell', ?3)";
        connection.execute(row, rusqlite::params![id, v, payload]).unwrap();
    };
    let word = serde_json::to_string(&Spell::new("a")).unwrap();
    let wrong = "0199c3a1-0000-7000-8000-000000000001";
    let right = "0199c3a1-0000-7000-8000-000000000002";
    insert(&wrong, 7, &word);
    insert(&"no uuid at all", 1, &word);
    insert(&vec![0xFF_u8; 3], 1, &word);
    insert(&1.5, 1, &vec![1_u8, 2]);
    insert(&"0199c3a1-0000-7000-8000-000000000003", 1, &"{");
    insert(&right, 1, &word);
    let workers = stepwell.start();
    let handle = stepwell.handle::<Spell>(right.parse().unwrap());
    let there = async {
        while handle.state().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the right row is taken in", there).await;
    soon("and its job ends", handle.ended()).await.unwrap();
    assert_eq!(handle.state().await.unwrap(), JobState::Completed);
    let error = stepwell.handle::<Spell>(wrong.parse().unwrap()).result().await.unwrap_err();
    assert!(error.to_string().contains("`v` is 7; this release reads version 1"), "{error}");
    let left: i64 =
        connection.query_row("SELECT count(*) FROM stepwell_inbox", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}
