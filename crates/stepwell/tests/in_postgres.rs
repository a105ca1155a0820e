//! Enqueueing inside the application's own transaction on PostgreSQL, through both drivers.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(feature = "tokio-postgres", feature = "sqlx"))]

mod support;

use std::time::Duration;

use sqlx::Connection;
use stepwell::{
    Enqueue, Error, JobHandle, OnConflict, Priority, Result, Stepwell, Unique,
    copy::{Copying, Place},
};
use stepwell_postgres_rig::Database;
use support::{Second, Spell, Speller, soon};

/// The application's own connection.
enum Own {
    Tokio(tokio_postgres::Client),
    Sqlx(sqlx::PgConnection),
}

impl Own {
    async fn each(url: &str) -> [Self; 2] {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        [Self::Tokio(client), Self::Sqlx(sqlx::PgConnection::connect(url).await.unwrap())]
    }
    async fn run(&mut self, sql: &'static str) {
        match self {
            Self::Tokio(client) => client.batch_execute(sql).await.unwrap(),
            Self::Sqlx(connection) => drop(sqlx::raw_sql(sql).execute(connection).await.unwrap()),
        }
    }
    async fn enqueue(&mut self, enqueue: Enqueue<'_, Spell>) -> Result<JobHandle<Spell>> {
        match self {
            Self::Tokio(client) => enqueue.in_tokio_postgres(client).await,
            Self::Sqlx(connection) => enqueue.in_sqlx(connection).await,
        }
    }
}

fn count(database: &Database, of: &str) -> u32 {
    let rows = database.query(&format!("SELECT count(*) FROM {of}")).unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_job_is_there_if_and_only_if_the_transaction_commits() {
    let database = Database::create().unwrap();
    let builder = Stepwell::postgres(database.url()).schema("queue_of_ours");
    let stepwell = builder.worker(Speller::new(Second::Return)).open().await.unwrap();
    let workers = stepwell.start();
    database.query("CREATE TABLE account (name text)").unwrap();
    for mut own in Own::each(&database.url()).await {
        own.run("BEGIN; INSERT INTO account VALUES ('Bob')").await;
        let undone = own.enqueue(stepwell.enqueue(Spell::new("b"))).await.unwrap();
        own.run("ROLLBACK").await;
        own.run("BEGIN; INSERT INTO account VALUES ('Ada')").await;
        let enqueue =
            stepwell.enqueue(Spell::new("a")).tag("billing").attribute("customer", 42).priority(Priority(5));
        let done = own.enqueue(enqueue.delay(Duration::from_millis(1))).await.unwrap();
        let outside = stepwell.handle::<Spell>(done.id()).state().await;
        assert!(outside.unwrap_err().is_not_found(), "nobody sees it before the commit");
        own.run("COMMIT").await;
        assert_eq!(soon("the job ends", done.result()).await.unwrap(), "a123");
        let record = done.record().await.unwrap();
        assert_eq!((record.priority, &*record.details.attributes["customer"]), (5, "42"));
        assert!(record.details.tags.iter().any(|tag| &**tag == "billing"));
        assert!(undone.state().await.unwrap_err().is_not_found());
    }
    assert_eq!(count(&database, "account WHERE name = 'Ada'"), 2);
    assert_eq!(count(&database, "account"), 2);
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_row_that_comes_twice_is_one_job() {
    let database = Database::create().unwrap();
    let stepwell =
        Stepwell::postgres(database.url()).worker(Speller::new(Second::Return)).open().await.unwrap();
    let (mut handles, mut expected) = (Vec::new(), Vec::new());
    for (mut own, key) in Own::each(&database.url()).await.into_iter().zip(["one", "two"]) {
        let enqueue = || stepwell.enqueue(Spell::new(key)).unique(Unique::key(key));
        let first = own.enqueue(enqueue()).await.unwrap();
        let (again, same_id) = (own.enqueue(enqueue()).await, own.enqueue(enqueue().id(first.id())).await);
        for handle in [again.unwrap(), same_id.unwrap(), first] {
            handles.push(handle);
            expected.push(format!("{key}123"));
        }
    }
    let workers = stepwell.start();
    for (handle, expected) in handles.iter().zip(expected) {
        assert_eq!(soon("the job ends", handle.result()).await.unwrap(), expected);
    }
    assert_eq!(count(&database, "stepwell.stepwell_jobs"), 2);
    assert_eq!(count(&database, "stepwell.stepwell_inbox"), 0);
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// All in transactions of the test's own, so that the server keeps no role of it.
#[tokio::test]
async fn a_role_needs_usage_of_the_schema_and_insert_and_nothing_more() {
    let database = Database::create().unwrap();
    let stepwell =
        Stepwell::postgres(database.url()).worker(Speller::new(Second::Return)).open().await.unwrap();
    let workers = stepwell.start();
    for mut own in Own::each(&database.url()).await {
        let enqueue = || stepwell.enqueue(Spell::new("a"));
        own.run("BEGIN; CREATE ROLE stepwell_test_application; SET LOCAL ROLE stepwell_test_application")
            .await;
        let error = own.enqueue(enqueue()).await.unwrap_err();
        assert!(error.to_string().contains("GRANT USAGE ON SCHEMA stepwell"), "{error}");
        assert_eq!(error.field(), Some("connection"));
        let error = own.enqueue(enqueue()).await.unwrap_err();
        assert_eq!(error.field(), Some("transaction"), "it has failed: {error}");
        own.run("ROLLBACK; BEGIN; CREATE ROLE stepwell_test_application").await;
        own.run("GRANT USAGE ON SCHEMA stepwell TO stepwell_test_application").await;
        own.run("GRANT INSERT ON stepwell.stepwell_inbox TO stepwell_test_application").await;
        own.run("SET LOCAL ROLE stepwell_test_application").await;
        let handle = own.enqueue(enqueue()).await.unwrap();
        own.run("RESET ROLE; DROP OWNED BY stepwell_test_application; DROP ROLE stepwell_test_application")
            .await;
        own.run("COMMIT").await;
        assert_eq!(soon("the job ends", handle.result()).await.unwrap(), "a123");
    }
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_sealed_store_refuses() {
    let (database, dir) = (Database::create().unwrap(), tempfile::tempdir().unwrap());
    let stepwell =
        Stepwell::postgres(database.url()).worker(Speller::new(Second::Return)).open().await.unwrap();
    let copy = Place::sqlite(dir.path().join("copy.db"));
    Copying::new(Place::postgres(database.url()), copy).run().await.unwrap();
    for mut own in Own::each(&database.url()).await {
        let error = own.enqueue(stepwell.enqueue(Spell::new("a"))).await.unwrap_err();
        assert!(error.is_sealed(), "{error}");
    }
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_says_what_to_do() {
    let (database, other) = (Database::create().unwrap(), Database::create().unwrap());
    let stepwell = Stepwell::postgres(database.url()).open().await.unwrap();
    let memory = Stepwell::in_memory().open().await.unwrap();
    for (mut own, mut elsewhere) in
        Own::each(&database.url()).await.into_iter().zip(Own::each(&other.url()).await)
    {
        let enqueue = || stepwell.enqueue(Spell::new("a"));
        own.run("BEGIN").await;
        for (enqueue, field) in [
            (enqueue().expires_in(Duration::from_secs(60)), "expires"),
            (enqueue().once("key", "print"), "idempotency key"),
            (enqueue().max_crashes(2), "max_crashes"),
            (enqueue().unique(Unique::key("a")).on_conflict(OnConflict::Replace), "on conflict"),
        ] {
            assert_eq!(own.enqueue(enqueue).await.unwrap_err().field(), Some(field));
        }
        let nowhere = own.enqueue(memory.enqueue(Spell::new("a"))).await.unwrap_err();
        assert!(
            nowhere.field() == Some("connection") && nowhere.to_string().contains("not in one"),
            "{nowhere}"
        );
        own.enqueue(enqueue()).await.expect("the transaction is still good");
        own.run("ROLLBACK; BEGIN READ ONLY").await;
        let error: Error = own.enqueue(enqueue()).await.unwrap_err();
        assert!(error.to_string().contains("begin one that may write"), "{error}");
        own.run("ROLLBACK").await;
        let error = elsewhere.enqueue(enqueue()).await.unwrap_err();
        assert!(
            error.to_string().contains("connect to the database that the queue was opened with"),
            "{error}"
        );
    }
    assert_eq!(count(&database, "stepwell.stepwell_inbox"), 0);
    for stepwell in [stepwell, memory] {
        stepwell.close().await.unwrap();
    }
}
