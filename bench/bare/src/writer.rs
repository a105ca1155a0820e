//! A thread that owns the connection and commits whatever has arrived since the last commit.
use std::thread;

use stepwell_bench_subject::Result;
use tokio::sync::{mpsc, oneshot};

use crate::{
    BATCH,
    store::{self, Store},
};

#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Enqueue>);

struct Enqueue {
    payload: String,
    durable: oneshot::Sender<Result<(), String>>,
}

impl Writer {
    pub(crate) fn start(mut store: Store, phases: u64) -> Self {
        let (sender, mut arriving) = mpsc::channel(BATCH);
        // The thread ends with the last sender.
        thread::spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while let Some(first) = arriving.blocking_recv() {
                batch.push(first);
                while batch.len() < BATCH
                    && let Ok(next) = arriving.try_recv()
                {
                    batch.push(next);
                }
                commit(&mut store, &mut batch, phases);
            }
        });
        Self(sender)
    }

    /// Returns when the job is on disk.
    pub(crate) async fn enqueue(&self, payload: String) -> Result<()> {
        let (durable, answer) = oneshot::channel();
        self.0.send(Enqueue { payload, durable }).await.map_err(|_| "the writer has ended")?;
        Ok(answer.await??)
    }
}

fn commit(store: &mut Store, batch: &mut Vec<Enqueue>, phases: u64) {
    let committed = store.commit(|tx| {
        let now_us = store::now_us();
        batch.iter().try_for_each(|job| store::enqueue(tx, &job.payload, phases, now_us))
    });
    let committed = committed.map_err(|error| error.to_string());
    for job in batch.drain(..) {
        // A caller that no longer waits wants no answer.
        let _ = job.durable.send(committed.clone());
    }
}
