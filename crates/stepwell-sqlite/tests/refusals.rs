//! What the store refuses, each with a message that one can act on.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command as Process,
    time::{Duration, SystemTime},
};

use stepwell_core::{
    Clock, Error,
    event::EventFilter,
    machine::NewJob,
    schedule::When,
    store::{Maintain, Store},
};
use stepwell_sqlite::{Sqlite, SqliteOptions};
use support::{Place, Worker, enqueue, new_job, wait};

const PAGE_BYTES: u64 = 4_096;

fn refusal(path: impl Into<PathBuf>) -> Error {
    Sqlite::open(SqliteOptions::new(path, [1; 16])).unwrap_err()
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::new();
    let text =
        "This is a letter, and it is long enough to be mistaken for a page of a database. ".repeat(100);
    fs::write(place.path(), &text).unwrap();
    let error = refusal(place.path());
    assert!(error.is_refused(), "{error}");
    assert!(
        error.to_string().contains("not an SQLite database, or is encrypted; name another file"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
}

#[test]
fn paths_that_cannot_be_a_database_are_refused() {
    let place = Place::new();
    let error = refusal(place.dir.path());
    assert!(error.is_refused() && error.to_string().contains("is a directory; name a file"), "{error}");
    let error = refusal(place.dir.path().join("none/test.db"));
    assert!(error.is_refused() && error.to_string().contains("create it first"), "{error}");
    fs::write(place.dir.path().join("file"), "").unwrap();
    let error = refusal(place.dir.path().join("file/test.db"));
    assert!(error.is_refused() && error.to_string().contains("Not a directory"), "{error}");
    let error = refusal("..");
    assert!(error.is_refused(), "{error}");
}

/// The kernel's own file system, on which not even root creates files.
#[test]
#[cfg(target_os = "linux")]
fn a_directory_without_room_for_lock_files_is_refused() {
    let error = refusal("/proc/stepwell-test.db");
    assert!(error.is_refused(), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("cannot create files in /proc: ") && text.contains("write permission"),
        "{text}"
    );
}

const POOR: &str = "STEPWELL_POOR_FILE";

/// What a user without rights is told. Does nothing in an ordinary run.
#[test]
fn poor_user() {
    if let Ok(file) = std::env::var(POOR) {
        let error = refusal(file);
        assert!(error.is_refused(), "{error}");
        println!("told: {error}");
    }
}

/// Starts this binary again, as a user who has no rights if we have all.
fn as_poor_user(place: &Place) -> String {
    let binary = place.dir.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mut process = match rustix::process::geteuid().is_root() {
        true => {
            let mut process = Process::new("setpriv");
            process.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
            process
        }
        false => Process::new(&binary),
    };
    process.args(["--exact", "poor_user", "--nocapture"]).env(POOR, place.path());
    let output = process.output().expect("util-linux is there");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text.lines().find_map(|line| line.split_once("told: ")).expect("it is told something").1.to_owned()
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let place = Place::new();
    drop(place.open());
    for name in place.beside("test.db-") {
        fs::remove_file(place.dir.path().join(name)).unwrap();
    }
    allow(place.dir.path(), 0o755);
    let binary = place.dir.path().join("tests");
    fs::write(&binary, "").unwrap();
    if !rustix::process::geteuid().is_root() {
        // The copy of this binary must be there before its directory is closed.
        fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        allow(place.dir.path(), 0o555);
    }
    let told = as_poor_user(&place);
    allow(place.dir.path(), 0o755);
    assert!(
        told.starts_with("cannot create files in ") && told.contains("give this user write permission"),
        "{told}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_refused() {
    let place = Place::new();
    drop(place.open());
    for name in place.beside("test.db-") {
        fs::remove_file(place.dir.path().join(name)).unwrap();
    }
    allow(place.dir.path(), 0o777);
    allow(&place.path(), 0o444);
    let told = as_poor_user(&place);
    assert!(told.starts_with("the database ") && told.contains("cannot be written"), "{told}");
    assert!(told.contains("give this user write permission on the file and its directory"), "{told}");
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Place::new();
    drop(place.open());
    let later = "INSERT INTO sw_migration (version, name, sha256, applied_at) VALUES (999, 'later', 'x', 1)";
    place.foreign().execute(later, []).unwrap();
    let error = refusal(place.path());
    assert!(error.is_refused(), "{error}");
    let text = error.to_string();
    assert!(text.contains("version 999 (`later`)") && text.contains("a newer release of Stepwell"), "{text}");
}

#[test]
fn a_schema_of_another_build_is_refused() {
    let place = Place::new();
    drop(place.open());
    place.foreign().execute("UPDATE sw_migration SET sha256 = 'x' WHERE version = 1", []).unwrap();
    let error = refusal(place.path());
    assert!(error.is_refused() && error.to_string().contains("the file comes from another build"), "{error}");
}

/// A file with something in most of its tables, from a process that did not say goodbye.
fn left_behind() -> Place {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store, "k", &["a"]);
    for _ in 0..30 {
        enqueue(&store, new_job("k")).unwrap();
    }
    worker.claim(&store, 3);
    drop(store);
    place
}

fn damage(place: &Place, page: u32) {
    let file = fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    file.write_all_at(&[0xAB; 512], u64::from(page - 1) * PAGE_BYTES).unwrap();
}

#[test]
fn an_unclean_stop_is_told_and_its_jobs_are_taken_over() {
    let place = left_behind();
    let store = place.open();
    let notices = store.describe().notices;
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].contains("the last stop was unclean: the file was checked, and 3 jobs"),
        "{notices:?}"
    );
}

#[test]
fn a_damaged_page_is_found_after_an_unclean_stop() {
    let pages = u32::try_from(fs::metadata(left_behind().path()).unwrap().len() / PAGE_BYTES).unwrap();
    assert!(pages > 40);
    for page in 2..=pages {
        let place = left_behind();
        damage(&place, page);
        let before = fs::read(place.path()).unwrap();
        let Err(error) = Sqlite::open(place.options()) else {
            panic!("page {page} is damaged, and nobody says so")
        };
        assert!(error.is_fatal(), "page {page}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("the database is damaged") && text.contains("restore a backup"),
            "page {page}: {text}"
        );
        assert!(before == fs::read(place.path()).unwrap(), "page {page}: nothing was repaired");
    }
}

#[test]
fn a_damaged_page_that_is_met_later_stops_everything() {
    let place = Place::new();
    let store = place.open();
    let id = enqueue(&store, new_job("k")).unwrap();
    wait(store.close()).unwrap();
    drop(store);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sw_payload'";
    let page: u32 = place.foreign().query_row(root, [], |row| row.get(0)).unwrap();
    damage(&place, page);
    let store = place.open();
    let error = wait(store.payload(id)).unwrap_err();
    assert!(error.is_fatal() && error.to_string().contains("the database is damaged"), "{error}");
    assert!(enqueue(&store, new_job("k")).unwrap_err().is_fatal(), "nothing is acknowledged any more");
    assert!(wait(store.job(id)).unwrap_err().is_fatal(), "and nothing of it is believed");
}

/// A large file is checked while the store runs, which then stops.
#[test]
fn damage_in_a_large_file_is_found_in_the_background() {
    let place = left_behind();
    let foreign = place.foreign();
    foreign
        .execute_batch("CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(70000000))")
        .unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sw_log'";
    let page: u32 = foreign.query_row(root, [], |row| row.get(0)).unwrap();
    foreign.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(foreign);
    damage(&place, page);
    let begun = std::time::Instant::now();
    let error = match Sqlite::open(place.options()) {
        Ok(store) => loop {
            match enqueue(&store, new_job("k")) {
                Ok(_) => assert!(begun.elapsed() < Duration::from_secs(120), "it is found"),
                Err(error) => break error,
            }
        },
        // Found before the jobs of the dead session were taken over.
        Err(error) => error,
    };
    assert!(error.is_fatal() && error.to_string().contains("found by the check"), "{error}");
}

fn wal_bytes(place: &Place) -> u64 {
    fs::metadata(place.dir.path().join("test.db-wal")).unwrap().len()
}

fn large(store: &Sqlite) {
    let payload = stepwell_core::Json::of(&"x".repeat(900_000)).unwrap();
    enqueue(store, NewJob { payload, ..new_job("k") }).unwrap();
}

#[test]
fn the_log_stays_bounded_and_shrinks_again_when_a_reader_held_it_open() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..120 {
        large(&store);
        assert!(wal_bytes(&place) <= 64 << 20, "it is moved into the file as it goes");
    }
    let reader = place.foreign();
    reader.execute_batch("BEGIN").unwrap();
    let count = |reader: &rusqlite::Connection| -> i64 {
        reader.query_row("SELECT count(*) FROM stepwell_jobs", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&reader), 120);
    for _ in 0..90 {
        large(&store);
    }
    assert!(wal_bytes(&place) > 64 << 20, "a reader that stays holds on to all of it");
    assert_eq!(count(&reader), 120, "and sees nothing of it");
    reader.execute_batch("COMMIT").unwrap();
    // The size is looked at every so many commits.
    for _ in 0..70 {
        enqueue(&store, new_job("k")).unwrap();
    }
    assert!(wal_bytes(&place) <= 64 << 20, "{}", wal_bytes(&place));
    wait(store.close()).unwrap();
}

fn at(seconds: u64) -> Clock {
    Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn open_at(place: &Place, seconds: u64) -> Sqlite {
    let mut options = place.options();
    options.clock = Some(at(seconds));
    Sqlite::open(options).unwrap()
}

#[test]
fn a_clock_that_went_backwards_takes_nothing_with_it() {
    const NOON: u64 = 1_780_000_000;
    let place = Place::new();
    let store = open_at(&place, NOON);
    let late = NewJob { expires: Some(When::After(Duration::from_secs(600))), ..new_job("k") };
    let expiring = enqueue(&store, late).unwrap();
    let later = NewJob { when: When::After(Duration::from_secs(300)), ..new_job("k") };
    let scheduled = enqueue(&store, later).unwrap();
    // Another process whose clock is a day behind works beside it.
    let beside = open_at(&place, NOON - 86_400);
    enqueue(&beside, new_job("k")).unwrap();
    drop(beside);
    drop(store);

    let store = open_at(&place, NOON - 3_600);
    let notices = store.describe().notices;
    assert!(
        notices.iter().any(|notice| notice.contains("3600 s behind") && notice.contains("set the clock")),
        "{notices:?}"
    );
    let worker = Worker::start(&store, "k", &["a"]);
    enqueue(&store, new_job("k")).unwrap();
    let claimed: Vec<_> = worker.claim(&store, 9).into_iter().map(|claimed| claimed.job.id).collect();
    assert!(claimed.contains(&expiring) && !claimed.contains(&scheduled), "nothing expires or starts early");
    store.clock().advance(Duration::from_secs(299));
    assert_eq!(worker.claim(&store, 9).len(), 0);
    store.clock().advance(Duration::from_secs(1));
    wait(store.maintain(Maintain { jitter: 0.5, session: Some(worker.session) })).unwrap();
    assert_eq!(worker.claim(&store, 9).remove(0).job.id, scheduled, "and nothing is forgotten");
    let events = wait(store.events(0, 1_000, EventFilter::default())).unwrap().events;
    assert!(events.len() > 8 && events.is_sorted_by_key(|event| event.at), "time only goes on");
}
