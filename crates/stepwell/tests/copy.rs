//! A whole store, copied to another kind of store and back, with work in every state.
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "webhooks"))]
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod copied;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use copied::{Sifter, World, everything, queue};
use stepwell::{
    Builder, Edit, JobId, JobState, Priority, Stepwell, Unique, When,
    copy::{Copied, Copying, Place, Step, unseal},
};
use stepwell_postgres_rig::Database;
use support::{Second, Spell, Speller, soon};

async fn copy(from: &Place, to: &Place) -> Copied {
    Copying::new(from.clone(), to.clone()).run().await.unwrap()
}
async fn refusal(from: &Place, to: &Place) -> String {
    Copying::new(from.clone(), to.clone()).run().await.unwrap_err().to_string()
}
fn records(copied: &Copied, table: &str) -> u64 {
    copied.tables.iter().find(|found| found.name == table).unwrap().records
}

/// The work goes on in the last copy as if nothing had happened.
async fn goes_on(builder: Builder, world: &World) {
    let speller = Speller::new(Second::Return);
    speller.open_gate();
    let sifter = Sifter::default();
    let stepwell = queue(builder, &speller, &sifter).open().await.unwrap();
    let jobs = &world.jobs;
    let job = |id: JobId| stepwell.handle::<Spell>(id);

    // What was said before the copy has the same places, and what comes follows it without a gap.
    let source = &world.left.0;
    let mut before = source.events().after(world.seen).subscribe();
    let mut after = stepwell.events().after(world.seen).subscribe();
    assert_eq!(source.describe().generation, stepwell.describe().generation);
    for _ in 0..8 {
        assert_eq!(soon("an event", before.next()).await, soon("the same event", after.next()).await);
    }
    let head = source.head();

    let workers = stepwell.start();
    soon("the job goes on whose process died", job(jobs.crashed).ended()).await.unwrap();
    assert_eq!(job(jobs.crashed).result().await.unwrap(), "cut123");
    assert_eq!(speller.runs(), [0, 1, 1], "what had been completed is not run again");
    assert!(speller.0.interrupted.load(Ordering::SeqCst));
    assert_eq!(*speller.0.cursor.lock().unwrap(), Some(42), "and it knows where it was");
    soon("the job that was to stop has stopped", job(jobs.cancelling).ended()).await.unwrap();
    assert_eq!(job(jobs.cancelling).state().await.unwrap(), JobState::Cancelled);

    let now = Edit { when: Some(When::Now), ..Edit::default() };
    stepwell.edit(jobs.sifting, now).await.unwrap();
    let sifting = stepwell.handle::<copied::Sift>(jobs.sifting);
    assert_eq!(soon("the list is worked off", sifting.result()).await.unwrap(), 20);
    assert_eq!(*sifter.sifted.lock().unwrap(), [4], "the others were done before");

    let again = stepwell.enqueue(Spell::new("x")).queue("slow").unique(Unique::key("report")).await.unwrap();
    assert_eq!(again.id(), jobs.held, "the key is still held");
    let again = stepwell.enqueue(Spell::new("again")).once("request-1", "abc").await.unwrap();
    assert_eq!(again.id(), jobs.rerun, "the request was answered before");
    stepwell.retry(jobs.failed).await.unwrap();
    assert_eq!(soon("it is retried", job(jobs.failed).result()).await.unwrap(), "bad123");
    assert_eq!(speller.runs()[0], 0, "its first phase was completed before");
    soon("the inbox is taken in", async {
        while job(jobs.in_inbox).state().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stepwell.resume("slow").await.unwrap();
    for held in [jobs.held, jobs.in_inbox] {
        soon("what was held back runs", job(held).result()).await.unwrap();
    }

    let mut events = stepwell.events().after(head).subscribe();
    let next = soon("an event", events.next()).await.unwrap();
    assert!(next.pos > head, "{next:?}");
    let new = stepwell.enqueue(Spell::new("new")).await.unwrap();
    assert_eq!(soon("it ends", new.result()).await.unwrap(), "new123");
    let all: Vec<JobId> = everything(&stepwell).await.into_iter().map(|(job, ..)| job.id).collect();
    let place = |id: JobId| all.iter().position(|found| *found == id);
    assert!(place(new.id()) > place(jobs.crashed), "keys go on where they were");
    workers.shutdown(Duration::from_secs(20)).await.unwrap();
}

/// From one to the next, and at each the same.
async fn chain(world: &World, stations: &[Place]) -> Copied {
    world.fill_inbox();
    let mut from = world.place();
    let mut first: Option<Copied> = None;
    for to in stations {
        let copied = copy(&from, to).await;
        for table in &copied.tables {
            assert!(table.records > 0, "{} is empty, and shows nothing", table.name);
        }
        if let Some(first) = &first {
            assert_eq!((&first.tables, &first.sha256), (&copied.tables, &copied.sha256));
        }
        first.get_or_insert(copied);
        from = to.clone();
    }
    first.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_to_a_database_and_back_and_is_the_same() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    let back = world.dir.path().join("back.db");
    let other = Place::postgres(database.url()).schema("other");
    let stations = [Place::postgres(database.url()), other, Place::sqlite(&back)];
    let copied = chain(&world, &stations).await;
    assert_eq!((records(&copied, "session"), records(&copied, "inbox")), (1, 1));
    assert!(!copied.resumed && copied.sha256.len() == 64);
    let before = everything(&world.left.0).await;
    goes_on_as(before, Stepwell::sqlite(&back)).await;
    goes_on(Stepwell::sqlite(&back), &world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_to_a_database_and_the_work_goes_on_there() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    let (between, last) =
        (Place::sqlite(world.dir.path().join("between.db")), Place::postgres(database.url()));
    chain(&world, &[between, last]).await;
    goes_on(Stepwell::postgres(database.url()), &world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_through_a_pooler() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    let back = world.dir.path().join("back.db");
    chain(&world, &[Place::postgres(database.bouncer_url().unwrap()), Place::sqlite(&back)]).await;
}

/// All jobs are what they were but those whose process died, which are taken back when the store is opened.
async fn goes_on_as(before: Vec<(stepwell::JobRecord, Vec<stepwell::Event>, String)>, builder: Builder) {
    let (speller, sifter) = (Speller::new(Second::Return), Sifter::default());
    let stepwell = queue(builder, &speller, &sifter).open().await.unwrap();
    let after = everything(&stepwell).await;
    assert!(after.len() >= before.len());
    for (before, after) in before.iter().zip(&after) {
        if before.0.lease.is_none() {
            assert_eq!(before, after);
        } else {
            assert_eq!(before.1, after.1[..before.1.len()], "nothing that was said is lost");
            assert_eq!((&before.0.id, &before.2), (&after.0.id, &after.2));
        }
    }
    stepwell.close().await.unwrap();
}

/// It is cut off after every batch of records, and goes on.
async fn with_interruptions(from: &Place, to: &Place) -> (Copied, u32) {
    for interruptions in 0..200 {
        let told = Arc::new(AtomicU32::new(0));
        let copying = Copying::new(from.clone(), to.clone()).on_progress(move |progress| {
            // The first time it is told where it goes on.
            if progress.step == Step::Copying && told.fetch_add(1, Ordering::SeqCst) == 1 {
                panic!("a test interrupts the copy");
            }
        });
        match copying.run().await {
            Ok(copied) => return (copied, interruptions),
            Err(error) => assert!(error.is_fatal(), "{error}"),
        }
    }
    panic!("it does not come to an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_cut_off_after_every_batch_goes_on() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    world.fill_inbox();
    let (there, back) = (Place::postgres(database.url()), Place::sqlite(world.dir.path().join("back.db")));
    let (copied, interruptions) = with_interruptions(&world.place(), &there).await;
    assert!(copied.resumed && interruptions >= 17, "{interruptions}");
    let (again, interruptions) = with_interruptions(&there, &back).await;
    assert!(again.resumed && interruptions >= 17, "{interruptions}");
    assert_eq!((&again.tables, &again.sha256), (&copied.tables, &copied.sha256));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_is_cut_off_in_its_middle_and_goes_on() {
    const JOBS: u32 = 2_500;
    let (dir, database) = (tempfile::tempdir().unwrap(), Database::create().unwrap());
    let path = dir.path().join("app.db");
    let stepwell = Stepwell::sqlite(&path).open().await.unwrap();
    stepwell.enqueue_many((0..JOBS).map(|n| Spell::new(&n.to_string()))).await.unwrap();
    stepwell.close().await.unwrap();
    let (copied, interruptions) =
        with_interruptions(&Place::sqlite(&path), &Place::postgres(database.url())).await;
    assert!(interruptions >= 9, "{interruptions}");
    assert_eq!((records(&copied, "job"), records(&copied, "event")), (u64::from(JOBS), u64::from(JOBS)));
    let copy = Stepwell::postgres(database.url()).worker(Speller::new(Second::Return)).open().await.unwrap();
    let counts = copy.counts().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.n).collect::<Vec<_>>(), [u64::from(JOBS)], "{counts:?}");
    let workers = copy.start();
    // Before all others, which nobody has to wait for.
    let new = copy.enqueue(Spell::new("new")).priority(Priority::HIGH).await.unwrap();
    assert_eq!(soon("what is new runs", new.result()).await.unwrap(), "new123");
    workers.shutdown(Duration::from_secs(20)).await.unwrap();
}

/// Changes the copy when all has arrived and before it is looked at, and answers with what is said of it.
async fn with_fault(from: &Place, to: &Place, plant: impl Fn() + Send + 'static) -> String {
    let planted = AtomicU32::new(0);
    let copying = Copying::new(from.clone(), to.clone()).on_progress(move |progress| {
        if progress.step == Step::Comparing && planted.fetch_add(1, Ordering::SeqCst) == 0 {
            plant();
        }
    });
    copying.run().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_not_the_same_is_found_out() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    let database = Arc::new(database);
    for (nth, (fault, found)) in [
        (
            "UPDATE schema.payload SET body = '1' WHERE job_key = (SELECT max(job_key) FROM schema.payload)",
            "`payload`",
        ),
        ("DELETE FROM schema.tag WHERE tag = 'kept'", "is missing in the copy"),
        (
            "INSERT INTO schema.attribute VALUES ('zone', 'eu', 1)",
            "`attribute` zone eu 1 is in the copy only",
        ),
        ("UPDATE schema.event SET prev_upto = prev_upto + 1 WHERE prev_seq > 0", "differs in `prev_pos`"),
        ("UPDATE schema.job SET last_upto = last_upto - 1", "differs in `last_event_pos`"),
        ("UPDATE schema.log_head SET clock = clock + 1", "the head of its log differs"),
    ]
    .into_iter()
    .enumerate()
    {
        let schema = format!("fault_{nth}");
        let to = Place::postgres(database.url()).schema(&schema);
        let (database, fault) = (database.clone(), fault.replace("schema.", &format!("{schema}.")));
        let said = with_fault(&world.place(), &to, move || drop(database.query(&fault).unwrap())).await;
        assert!(said.contains("the copy is not what was copied") && said.contains(found), "{nth}: {said}");
    }
    // It is sealed for a copy that was not made, and can be copied still.
    let to = Place::sqlite(world.dir.path().join("copy.db"));
    let path = world.dir.path().join("copy.db");
    let plant = move || {
        copied::connect(&path).execute("UPDATE sw_checkpoint SET body = '7'", []).unwrap();
    };
    let said = with_fault(&world.place(), &to, plant).await;
    assert!(said.contains("`checkpoint`") && said.contains("differs in `body`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_in_use_is_refused_unless_it_is_paused() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::create().unwrap();
    for (nth, builder, from) in [
        (0, Stepwell::sqlite(dir.path().join("app.db")), Place::sqlite(dir.path().join("app.db"))),
        (1, Stepwell::postgres(database.url()), Place::postgres(database.url())),
    ] {
        let to = Place::sqlite(dir.path().join(format!("copy-{nth}.db")));
        let speller = Speller::new(Second::Wait);
        let builder = builder.worker(speller.clone()).node("the-node").lease(Duration::from_millis(200));
        let stepwell = builder.open().await.unwrap();
        let workers = stepwell.start();
        let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
        speller.begun().await;
        let said = refusal(&from, &to).await;
        assert!(said.contains("the-node runs a job") && said.contains("stepwell queues pause"), "{said}");
        stepwell.pause("default", None).await.unwrap();
        assert!(refusal(&from, &to).await.contains("runs a job"), "it still does");
        speller.open_gate();
        soon("it ends", job.ended()).await.unwrap();
        stepwell.resume("default").await.unwrap();
        assert!(refusal(&from, &to).await.contains("works the queue default"));
        assert!(!dir.path().join(format!("copy-{nth}.db")).exists(), "nothing was made");
        stepwell.pause("default", None).await.unwrap();
        let copied = copy(&from, &to).await;

        // It can be read, and not written.
        assert_eq!(job.result().await.unwrap(), "a123");
        let refused = stepwell.enqueue(Spell::new("b")).await.unwrap_err().to_string();
        assert!(refused.contains("sealed") && refused.contains("stepwell db unseal"), "{refused}");
        let said = refusal(&from, &Place::sqlite(dir.path().join("other.db"))).await;
        assert!(said.contains("was copied to sqlite:") && said.contains("stepwell db unseal"), "{said}");
        let generation = stepwell.describe().generation;
        let said = unseal(from.clone()).await.unwrap_err().to_string();
        assert!(said.contains("the-node has it open"), "{said}");
        drop(workers.shutdown(Duration::from_millis(10)).await);
        drop(stepwell.close().await);

        soon("nobody has it open", async {
            while unseal(from.clone()).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(unseal(from.clone()).await.unwrap_err().to_string().contains("not sealed"));
        let again = match nth {
            0 => Stepwell::sqlite(dir.path().join("app.db")),
            _ => Stepwell::postgres(database.url()),
        };
        let again = again.worker(speller.clone()).open().await.unwrap();
        assert_ne!(again.describe().generation, generation, "it is another story from here on");
        again.enqueue(Spell::new("b")).await.unwrap();
        again.close().await.unwrap();
        let said = refusal(&from, &to).await;
        assert!(said.contains("the destination is not empty: it holds"), "{said}");
        assert!(copied.records > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_lose_something_is_refused() {
    let (world, database) = (World::fill().await, Database::create().unwrap());
    let place = |name: &str| Place::sqlite(world.dir.path().join(name));
    let there = Place::postgres(database.url());
    assert!(refusal(&place("none.db"), &there).await.contains("there is no file"));
    assert!(refusal(&there, &place("copy.db")).await.contains("there is no store at postgres://"));
    assert!(database.query("SELECT FROM pg_namespace WHERE nspname = 'stepwell'").unwrap().is_empty());
    assert!(refusal(&world.place(), &world.place()).await.contains("is the source itself"));
    std::fs::write(world.dir.path().join("text.db"), "this is no database, however long it may be").unwrap();
    assert!(refusal(&place("text.db"), &there).await.contains("not an SQLite database"));

    // An application has put in what no database can hold.
    let inbox = "INSERT INTO stepwell_inbox (id, v, kind, payload) VALUES ('a', 1, x'00', '{}')";
    // Nobody is to take it before the copy does.
    let sealing = format!("BEGIN IMMEDIATE; UPDATE sw_meta SET sealed = 1; {inbox}; COMMIT");
    world.connect().execute_batch(&sealing).unwrap();
    let said = refusal(&world.place(), &there).await;
    assert!(said.contains("column `kind` of `inbox` 1 is Blob, not text"), "{said}");
    let sealed = world.connect().execute(inbox, []).unwrap_err().to_string();
    assert!(sealed.contains("sealed"), "nobody puts in what would stay behind: {sealed}");
    world.connect().execute("UPDATE stepwell_inbox SET kind = 'a' || char(0)", []).unwrap();
    let said = refusal(&world.place(), &there).await;
    assert!(said.contains("column `kind` of `inbox` 1 holds the character U+0000"), "{said}");

    // The beginning of a copy is of no use to another one, nor to anybody.
    let opened = Stepwell::postgres(database.url()).worker(world.speller.clone()).open().await;
    let said = opened.map(drop).unwrap_err().to_string();
    assert!(said.contains("sealed"), "{said}");
    let said = refusal(&there, &place("copy.db")).await;
    assert!(said.contains("is itself the beginning of a copy"), "{said}");
    let said = unseal(there.clone()).await.unwrap_err().to_string();
    assert!(said.contains("beginning of a copy"), "{said}");
    world.connect().execute("DELETE FROM stepwell_inbox", []).unwrap();
    unseal(world.place()).await.unwrap();
    let said = refusal(&world.place(), &there).await;
    assert!(said.contains("the beginning of another copy"), "{said}");
    copy(&world.place(), &place("copy.db")).await;
}
