//! Three ways to put jobs into the file.
use std::future::{Future, ready};

use stepwell_bench_subject::{Figures, Payload, Request, Result, bulk, callers, latency};

use crate::{
    store::{self, Store},
    writer::Writer,
};

/// One thread, a commit per call of many.
pub(crate) fn in_bulk(request: &Request, mut store: Store) -> Result<Figures> {
    let enqueue_many = |payloads: Vec<Payload>| {
        ready(store.commit(|tx| {
            let now_us = store::now_us();
            for payload in payloads {
                store::enqueue(tx, &serde_json::to_string(&payload)?, request.phases, now_us)?;
            }
            Ok(())
        }))
    };
    block_on(bulk::measure(request.jobs, enqueue_many))
}

/// Many tasks, whose jobs a writer thread commits together.
pub(crate) fn from_callers(request: &Request, store: Store) -> Result<Figures> {
    let writer = Writer::start(store, request.phases);
    block_on(callers::measure(request, move |payload| {
        let writer = writer.clone();
        async move { writer.enqueue(serde_json::to_string(&payload)?).await }
    }))
}

/// One commit per job, with time between them: how long this disk takes.
pub(crate) fn singly(request: &Request, mut store: Store) -> Result<Figures> {
    let enqueue = |payload: Payload| {
        ready(store.commit(|tx| {
            store::enqueue(tx, &serde_json::to_string(&payload)?, request.phases, store::now_us())
        }))
    };
    block_on(latency::spaced(request.jobs, enqueue))
}

fn block_on<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measurement)
}
