//! A server that is ended and comes back has what it acknowledged, and a standby takes its place.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use stepwell_postgres_rig::{Cluster, Replication, Settings};

fn count(cluster: &Cluster) -> String {
    cluster.query("SELECT count(*) FROM kept").unwrap()[0][0].clone().unwrap()
}

#[test]
fn what_was_committed_survives_a_crash_and_the_address_stays() {
    let mut cluster = Cluster::start(&Settings::durable()).unwrap();
    assert_eq!(cluster.query("SHOW fsync").unwrap(), [[Some("on".to_owned())]]);
    cluster.query("CREATE TABLE kept AS SELECT 1 AS n").unwrap();
    let address = cluster.address().clone();
    cluster.crash().unwrap();
    cluster.query("SELECT 1").unwrap_err();
    // Once more changes nothing.
    cluster.crash().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(cluster.address(), &address);
    assert_eq!(count(&cluster), "1");
    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(count(&cluster), "1");
}

#[test]
fn a_standby_that_commits_wait_for_has_all_of_them_when_it_takes_over() {
    let mut first = Cluster::start(&Settings::durable()).unwrap();
    let second = first.standby(Replication::Synchronous).unwrap();
    first.query("CREATE TABLE kept (n int)").unwrap();
    for n in 0..50 {
        first.query(&format!("INSERT INTO kept VALUES ({n})")).unwrap();
    }
    first.crash().unwrap();
    // It only reads until it is promoted.
    assert!(second.query("CREATE TABLE early ()").unwrap_err().to_string().contains("25006"));
    second.promote().unwrap();
    assert_eq!(count(&second), "50");
    second.query("INSERT INTO kept VALUES (50)").unwrap();
}

#[test]
fn a_standby_that_nobody_waits_for_may_lack_the_last_commits() {
    let mut first = Cluster::start(&Settings::durable()).unwrap();
    first.query("CREATE TABLE kept (n int)").unwrap();
    let mut second = first.standby(Replication::Asynchronous).unwrap();
    // It is away when this is acknowledged.
    second.stop().unwrap();
    first.query("INSERT INTO kept VALUES (1)").unwrap();
    first.crash().unwrap();
    second.start_again().unwrap();
    second.promote().unwrap();
    assert_eq!(count(&second), "0");
}
