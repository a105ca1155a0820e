//! The bare store on PostgreSQL: what prepared statements in a loop reach on the tables that a durable, phased queue
//! needs. What it leaves out and what it writes is as in the one on SQLite.
mod store;
mod writer;

use std::{future::ready, thread, time::Instant};

use stepwell_bench_subject::{
    Figures, Memory, Payload, Report, Request, Result, bulk, callers, latency, monotonic_ns, packed,
};

use tokio::task::block_in_place;

use crate::{
    store::{Store, now_us},
    writer::Writers,
};

/// Jobs per commit wherever there is a choice.
const BATCH: usize = 1_024;
/// Connections that drain, and that commit for callers: what was fastest on two cores.
const CONNECTIONS: usize = 4;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

fn main() -> Result<()> {
    let begun_ns = monotonic_ns();
    let request = Request::from_command_line();
    let mut store = Store::open(&request.store)?;
    let durability = store.durability()?;
    let (settings, figures) = match request.command.as_str() {
        "bulk" => ("one connection, 1,000 per commit", in_bulk(&request, store)?),
        "callers" => ("4 connections, group commit", from_callers(&request, store)?),
        "commit" => ("one connection, 1 per commit", singly(&request, store)?),
        "drain" => ("4 connections, 1,024 per commit", drain(&request, store)?),
        "startup" => ("one connection", first(begun_ns, &mut store)?),
        "seed" => {
            seed(&request, &mut store)?;
            ("", Figures::new())
        }
        _ => request.unknown(),
    };
    Report::new(settings, "PostgreSQL".into(), durability, figures).print()
}

fn pending(request: &Request) -> String {
    packed(request.phases, 0, false, now_us())
}

fn in_bulk(request: &Request, mut store: Store) -> Result<Figures> {
    let phases = pending(request);
    block_on(bulk::measure(request.jobs, |payloads: Vec<Payload>| {
        let texts: serde_json::Result<Vec<_>> = payloads.iter().map(serde_json::to_string).collect();
        let enqueue = |texts: Vec<_>| block_in_place(|| store.enqueue(&texts, &phases));
        ready(texts.map_err(Into::into).and_then(enqueue))
    }))
}

fn from_callers(request: &Request, store: Store) -> Result<Figures> {
    let mut stores = vec![store];
    if request.callers > 1 {
        for _ in 1..CONNECTIONS {
            stores.push(Store::open(&request.store)?);
        }
    }
    let writers = Writers::start(stores, &pending(request));
    block_on(callers::measure(request, move |payload| {
        let writers = writers.clone();
        async move { writers.enqueue(serde_json::to_string(&payload)?).await }
    }))
}

/// One commit per job, with time between them: how long this server takes.
fn singly(request: &Request, mut store: Store) -> Result<Figures> {
    let phases = pending(request);
    block_on(latency::spaced(request.jobs, |payload: Payload| {
        let text = serde_json::to_string(&payload).map_err(Into::into);
        ready(text.and_then(|text| block_in_place(|| store.enqueue(&[text], &phases))))
    }))
}

/// Claims and ends everything that is due: per batch one commit for the claim and one for each phase.
fn drain(request: &Request, store: Store) -> Result<Figures> {
    let mut stores = vec![store];
    for _ in 1..CONNECTIONS {
        stores.push(Store::open(&request.store)?);
    }
    let (start, count) = (Instant::now(), request.phases);
    let threads: Vec<_> =
        stores.into_iter().map(|store| thread::spawn(move || drain_on(store, count))).collect();
    let mut jobs = 0;
    for thread in threads {
        jobs += thread.join().map_err(|_| "a thread panicked")??;
    }
    let per_second = jobs as f64 / start.elapsed().as_secs_f64();
    Ok(Figures::from([
        ("jobs_per_second".into(), per_second),
        ("phases_per_second".into(), per_second * count as f64),
        ("peak_mib".into(), Memory::read()?.peak_mib),
        ("lost".into(), request.jobs.abs_diff(jobs) as f64),
    ]))
}

fn drain_on(mut store: Store, count: u64) -> Result<u64> {
    let mut jobs = 0;
    loop {
        let claimed = store.claim(BATCH, &packed(count, 0, true, now_us()))?;
        if claimed.count() == 0 {
            return Ok(jobs);
        }
        for payload in &claimed.payloads {
            // What a handler would need at least.
            let _: Payload = serde_json::from_str(payload)?;
        }
        for phase in 0..count {
            let last = phase + 1 == count;
            store.end_phase(&claimed, phase, last, &packed(count, phase + 1, !last, now_us()))?;
        }
        jobs += claimed.count() as u64;
    }
}

/// From the beginning of the process until one job is claimed.
fn first(begun_ns: u64, store: &mut Store) -> Result<Figures> {
    let claimed = store.claim(1, &packed(1, 0, true, now_us()))?;
    let took_ms = (monotonic_ns() - begun_ns) as f64 / 1e6;
    if claimed.count() == 0 {
        return Err("nothing was due".into());
    }
    Ok(Figures::from([("first_claim_ms".into(), took_ms)]))
}

/// Jobs that are only to be in the way: ended ones with their history, and waiting ones.
fn seed(request: &Request, store: &mut Store) -> Result<()> {
    let now_us = now_us();
    let (ended, waiting) = (packed(1, 1, false, now_us), packed(1, 0, false, now_us));
    store.seed(request.finished, 2, now_us - DAY_US, &ended)?;
    store.seed(request.scheduled, 0, now_us + DAY_US, &waiting)?;
    store.seed(request.ready, 0, now_us - DAY_US, &waiting)?;
    store.client.batch_execute("VACUUM ANALYZE")?;
    Ok(())
}

fn block_on<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measurement)
}
