//! Every fault of the network does to an ordinary client what it is said to do.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{
    future::Future,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use stepwell_postgres_rig::{Database, Direction, Loss, Proxy, Side};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, NoTls};

/// So long, and a network that is well has long been done.
const LONG: Duration = Duration::from_secs(30);

/// So long a client waits to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(300);

/// A database, and a proxy on the way to it.
struct Way {
    database: Database,
    proxy: Proxy,
}

impl Way {
    fn new() -> Self {
        let database = Database::create().unwrap();
        database.query("CREATE TABLE kept (n int)").unwrap();
        let proxy = Proxy::start(database.server(), 1).unwrap();
        Self { database, proxy }
    }

    async fn connect(&self) -> (Client, JoinHandle<Result<(), tokio_postgres::Error>>) {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(
        &self,
    ) -> Result<(Client, JoinHandle<Result<(), tokio_postgres::Error>>), tokio_postgres::Error> {
        let url = self.proxy.address().url(self.database.name());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        Ok((client, tokio::spawn(connection)))
    }

    /// What is committed, seen without the proxy.
    fn kept(&self) -> usize {
        self.database.query("SELECT n FROM kept").unwrap().len()
    }

    /// How many clients the server believes to have, without the one that asks.
    fn sessions(&self) -> usize {
        let sql =
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.database.query(sql).unwrap().len()
    }

    /// Waits until the server believes to have so many.
    async fn until_sessions(&self, count: usize) {
        timeout(LONG, async {
            while self.sessions() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}

async fn answers(client: &Client) -> bool {
    client.simple_query("SELECT 1").await.is_ok()
}

/// Runs with several threads, since the proxy's own must not wait for those of the test.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn when_all_is_well_every_byte_passes() {
    run(async {
        let way = Way::new();
        let (client, _connection) = way.connect().await;
        let long = "x".repeat(3_000_000);
        let row = client.query_one("SELECT $1::text", &[&long]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), long);
        client.batch_execute("BEGIN; INSERT INTO kept VALUES (1)").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(way.kept(), 1);
        let tally = way.proxy.tally();
        assert_eq!((tally.connections, tally.commits), (1, 1));
        drop(client);
        way.until_sessions(0).await;
    });
}

#[test]
fn a_delay_is_taken_in_both_directions_and_until_it_heals() {
    run(async {
        let way = Way::new();
        let (client, _connection) = way.connect().await;
        way.proxy.delay(Duration::from_millis(100), Duration::from_millis(50));
        let start = Instant::now();
        assert!(answers(&client).await);
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
        way.proxy.heal();
        let start = Instant::now();
        for _ in 0..30 {
            assert!(answers(&client).await);
        }
        assert!(start.elapsed() < 30 * Duration::from_millis(200), "{:?}", start.elapsed());
    });
}

#[test]
fn a_partition_is_silent_and_what_was_sent_arrives_when_it_heals() {
    run(async {
        let way = Way::new();
        let (client, _connection) = way.connect().await;
        way.proxy.partition();
        let insert = client.simple_query("INSERT INTO kept VALUES (1)");
        tokio::pin!(insert);
        timeout(A_WHILE, &mut insert).await.unwrap_err();
        timeout(A_WHILE, way.try_connect()).await.map(|_| ()).unwrap_err();
        assert_eq!(way.kept(), 0);
        way.proxy.heal();
        timeout(LONG, insert).await.unwrap().unwrap();
        assert_eq!(way.kept(), 1);
    });
}

#[test]
fn a_partition_of_one_direction_lets_the_other_pass() {
    run(async {
        let way = Way::new();
        let (client, _connection) = way.connect().await;
        way.proxy.hold(Direction::Down);
        timeout(A_WHILE, client.simple_query("INSERT INTO kept VALUES (1)")).await.map(|_| ()).unwrap_err();
        // It was heard, and only its answer was not.
        assert_eq!(way.kept(), 1);
        way.proxy.heal();
        way.proxy.hold(Direction::Up);
        timeout(A_WHILE, client.simple_query("INSERT INTO kept VALUES (2)")).await.map(|_| ()).unwrap_err();
        assert_eq!(way.kept(), 1);
    });
}

#[test]
fn a_reset_is_one_and_new_connections_are_taken() {
    run(async {
        let way = Way::new();
        let (client, connection) = way.connect().await;
        way.proxy.reset();
        let error = timeout(LONG, connection).await.unwrap().unwrap().unwrap_err();
        assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
        assert!(!answers(&client).await);
        way.until_sessions(0).await;
        assert!(answers(&way.connect().await.0).await);
    });
}

#[test]
fn who_is_refused_is_reset_and_the_others_stay() {
    run(async {
        let way = Way::new();
        let (client, _connection) = way.connect().await;
        way.proxy.refuse();
        assert!(timeout(LONG, way.try_connect()).await.unwrap().is_err());
        assert!(answers(&client).await);
        way.proxy.heal();
        assert!(answers(&way.connect().await.0).await);
    });
}

#[test]
fn a_half_open_connection_has_ended_for_one_side_only() {
    run(async {
        let way = Way::new();
        let (client, connection) = way.connect().await;
        way.proxy.half_open(Side::Server);
        way.until_sessions(0).await;
        timeout(A_WHILE, answers(&client)).await.unwrap_err();
        assert!(!connection.is_finished());
        way.proxy.heal();
        timeout(LONG, connection).await.unwrap().unwrap().unwrap_err();

        let (client, connection) = way.connect().await;
        client.batch_execute("BEGIN; INSERT INTO kept VALUES (1)").await.unwrap();
        way.proxy.half_open(Side::Client);
        // Its end is also an orderly one for a client that asks for nothing.
        _ = timeout(LONG, connection).await.unwrap().unwrap();
        assert!(!answers(&client).await);
        // The server still holds its locks for it.
        assert_eq!(way.sessions(), 1);
        way.proxy.heal();
        way.until_sessions(0).await;
    });
}

#[test]
fn a_connection_is_cut_after_exactly_so_many_bytes() {
    let way = Way::new();
    let server = way.database.server();
    // What a login is answered without the cut: more than is let through below.
    let login = b"\0\0\0\x22\0\x03\0\0user\0postgres\0database\0\0\0";
    let login = [&(login.len() as u32).to_be_bytes(), &login[4..]].concat();
    for bytes in [1, 5, 64] {
        way.proxy.cut_next(Direction::Down, bytes);
        let mut stream =
            TcpStream::connect((way.proxy.address().host.as_str(), way.proxy.address().port)).unwrap();
        stream.write_all(&login).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len() as u64, bytes);
    }
    // One byte is missing, so that the server has never heard of a login.
    way.proxy.cut_next(Direction::Up, login.len() as u64 - 1);
    let mut stream =
        TcpStream::connect((way.proxy.address().host.as_str(), way.proxy.address().port)).unwrap();
    stream.write_all(&login).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty());
    // And what is whole is answered.
    let mut stream =
        TcpStream::connect((way.proxy.address().host.as_str(), way.proxy.address().port)).unwrap();
    stream.write_all(&login).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    assert_eq!(way.proxy.tally().connections, 5, "{server:?}");
}

/// Commits one row with this loss on the way, by the text `COMMIT` or as a prepared statement.
async fn commit_with(way: &Way, loss: Loss, is_prepared: bool) {
    let (client, _connection) = way.connect().await;
    let prepared = client.prepare("COMMIT").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    way.proxy.lose_next_commit(loss);
    let outcome = if is_prepared {
        timeout(LONG, client.execute(&prepared, &[])).await.unwrap().map(|_| ())
    } else {
        timeout(LONG, client.batch_execute("COMMIT")).await.unwrap()
    };
    // Whatever became of it, this is all that the client gets to know.
    assert!(outcome.unwrap_err().is_closed() || client.is_closed());
}

#[test]
fn a_commit_whose_request_is_lost_was_never_made() {
    run(async {
        let way = Way::new();
        for is_prepared in [false, true] {
            commit_with(&way, Loss::Request, is_prepared).await;
            way.until_sessions(0).await;
            assert_eq!(way.kept(), 0);
        }
        assert_eq!(way.proxy.tally().requests_lost, 2);
    });
}

#[test]
fn a_commit_whose_answer_is_lost_was_made() {
    run(async {
        let way = Way::new();
        for (before, is_prepared) in [false, true].into_iter().enumerate() {
            commit_with(&way, Loss::Answer, is_prepared).await;
            assert_eq!(way.kept(), before + 1);
        }
        assert_eq!(way.proxy.tally().answers_lost, 2);
    });
}

#[test]
fn a_late_commit_is_made_after_the_client_was_cut_off() {
    run(async {
        let way = Way::new();
        for (before, is_prepared) in [false, true].into_iter().enumerate() {
            commit_with(&way, Loss::Late, is_prepared).await;
            assert_eq!(way.kept(), before, "the commit was not late");
            way.until_sessions(0).await;
            assert_eq!(way.kept(), before + 1);
        }
        assert_eq!(way.proxy.tally().late, 2);
    });
}

#[test]
fn at_a_rate_some_commits_are_lost_and_the_tally_agrees_with_the_table() {
    run(async {
        let way = Way::new();
        way.proxy.lose_commits(300);
        let mut told = 0;
        for n in 0..100 {
            let (client, _connection) = way.connect().await;
            client.batch_execute("BEGIN").await.unwrap();
            client.batch_execute(&format!("INSERT INTO kept VALUES ({n})")).await.unwrap();
            told += usize::from(client.batch_execute("COMMIT").await.is_ok());
        }
        way.until_sessions(0).await;
        let tally = way.proxy.tally();
        assert_eq!(tally.commits, 100);
        assert!(tally.requests_lost > 0 && tally.answers_lost > 0 && tally.late > 0, "{tally:?}");
        assert_eq!(told as u64, 100 - tally.requests_lost - tally.answers_lost - tally.late);
        assert_eq!(way.kept() as u64, 100 - tally.requests_lost, "{tally:?}");
    });
}

#[test]
fn after_a_failover_new_connections_go_elsewhere() {
    run(async {
        let way = Way::new();
        let other = Database::create().unwrap();
        way.proxy.lead_to(other.server());
        assert!(answers(&way.connect().await.0).await);
        // Nobody listens there.
        let nowhere = stepwell_postgres_rig::Address { port: 1, ..other.server().clone() };
        way.proxy.lead_to(&nowhere);
        assert!(timeout(LONG, way.try_connect()).await.unwrap().is_err());
    });
}
