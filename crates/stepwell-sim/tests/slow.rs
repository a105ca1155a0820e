//! A slow disk.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{sync::mpsc, time::Duration};

use rusqlite::Connection;
use stepwell_core::store::Store;
use stepwell_sim::Disk;
use stepwell_sqlite::{Sqlite, SqliteOptions};
use support::directory;

/// A commit can be seen only after its sync, long after the log was written. Nobody sleeps through it.
#[test]
fn a_commit_that_takes_its_time_is_noticed_all_the_same() {
    let home = directory();
    let disk = Disk::behind(home.path(), 1);
    let path = home.path().join("test.db");
    let store = Sqlite::open(SqliteOptions::new(&path, [7; 16])).unwrap();
    let (notice, noticed) = mpsc::channel();
    store.listen(Box::new(move |change| {
        if change.foreign {
            // Only the end of the test leaves nobody to hear it.
            let _ended = notice.send(());
        }
    }));
    let application = Connection::open(&path).unwrap();
    application.busy_timeout(Duration::from_secs(30)).unwrap();
    for (n, millis) in (0..).zip([0, 5, 40, 300, 2_000]) {
        disk.sync_takes(Duration::from_millis(millis));
        let row = "INSERT INTO stepwell_inbox (id, v, kind, payload) VALUES (?1, 1, 'k', '{}')";
        application.execute(row, [n]).unwrap();
        noticed.recv_timeout(Duration::from_secs(60)).expect("it is noticed");
    }
}
