//! Each test has a database of its own, which is gone when the test ends, however it ends.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{panic, thread};

use stepwell_postgres_rig::{Address, Database};

fn exists(database: &str, server: &Address) -> bool {
    let other = Database::create_on(server).unwrap();
    !other.query(&format!("SELECT 1 FROM pg_database WHERE datname = '{database}'")).unwrap().is_empty()
}

#[test]
fn what_one_test_writes_another_does_not_see() {
    let (one, two) = (Database::create().unwrap(), Database::create().unwrap());
    one.query("CREATE TABLE mine (n int)").unwrap();
    assert_eq!(one.query("SELECT to_regclass('mine'), NULL").unwrap(), [[Some("mine".to_owned()), None]]);
    assert_eq!(two.query("SELECT to_regclass('mine')").unwrap(), [[None]]);
}

#[test]
fn it_is_dropped_although_somebody_is_connected_and_the_test_failed() {
    let (url, server) = {
        let database = Database::create().unwrap();
        (database.name().to_owned(), database.server().clone())
    };
    assert!(!exists(&url, &server));

    let outcome = panic::catch_unwind(|| {
        let database = Database::create().unwrap();
        let name = database.name().to_owned();
        assert!(exists(&name, database.server()));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let connected =
            runtime.block_on(tokio_postgres::connect(&database.url(), tokio_postgres::NoTls)).unwrap();
        runtime.spawn(connected.1);
        runtime.block_on(connected.0.simple_query("SELECT 1")).unwrap();
        panic::panic_any(name);
    });
    let name = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(!exists(&name, &server));
}

#[test]
fn many_are_made_at_once() {
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| Database::create().map(drop))).collect();
        all.into_iter().for_each(|one| one.join().unwrap().unwrap());
    });
}

#[test]
fn an_error_says_what_was_tried_and_what_is_wrong() {
    let error = Database::create().unwrap().query("SELECT * FROM nothing").unwrap_err().to_string();
    assert!(error.contains("SELECT * FROM nothing") && error.contains("42P01"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn through_the_bouncer_the_next_transaction_may_have_another_session() {
    let database = Database::create().unwrap();
    let url = database.bouncer_url().unwrap();
    let (one, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let (two, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let session = "SELECT pg_backend_pid()";
    let pid = async |client: &tokio_postgres::Client| {
        client.query_typed(session, &[]).await.unwrap()[0].get::<_, i32>(0)
    };
    // The only session so far is free again after each statement, so that both get it.
    let first = pid(&one).await;
    assert_eq!(pid(&two).await, first);
    // A transaction keeps it, and the other client gets a new one.
    one.batch_execute("BEGIN").await.unwrap();
    assert_eq!(pid(&one).await, first);
    assert_ne!(pid(&two).await, first);
    one.batch_execute("COMMIT").await.unwrap();
}
