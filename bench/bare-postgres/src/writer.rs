//! Threads with a connection each, which commit whatever has arrived since their last commit.
use std::{sync::Arc, thread};

use stepwell_bench_subject::Result;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{BATCH, store::Store};

#[derive(Clone)]
pub(crate) struct Writers(mpsc::Sender<Enqueue>);

struct Enqueue {
    payload: String,
    durable: oneshot::Sender<Result<(), String>>,
}

impl Writers {
    pub(crate) fn start(stores: Vec<Store>, phases: &str) -> Self {
        let (sender, arriving) = mpsc::channel(BATCH);
        let arriving = Arc::new(Mutex::new(arriving));
        for mut store in stores {
            let (arriving, phases) = (arriving.clone(), phases.to_owned());
            // Each thread ends with the last sender.
            thread::spawn(move || {
                while let Some(batch) = next(&arriving) {
                    let (payloads, waiting): (Vec<_>, Vec<_>) =
                        batch.into_iter().map(|job| (job.payload, job.durable)).unzip();
                    let committed = store.enqueue(&payloads, &phases).map_err(|error| error.to_string());
                    for durable in waiting {
                        // A caller that no longer waits wants no answer.
                        let _ = durable.send(committed.clone());
                    }
                }
            });
        }
        Self(sender)
    }

    /// Returns when the job is on disk.
    pub(crate) async fn enqueue(&self, payload: String) -> Result<()> {
        let (durable, answer) = oneshot::channel();
        self.0.send(Enqueue { payload, durable }).await.map_err(|_| "the writers have ended")?;
        Ok(answer.await??)
    }
}

fn next(arriving: &Mutex<mpsc::Receiver<Enqueue>>) -> Option<Vec<Enqueue>> {
    let mut arriving = arriving.blocking_lock();
    let mut batch = vec![arriving.blocking_recv()?];
    while batch.len() < BATCH
        && let Ok(next) = arriving.try_recv()
    {
        batch.push(next);
    }
    Some(batch)
}
