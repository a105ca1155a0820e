//! Follows the events through every end of the server, as a browser does: it comes again with the last id that it saw.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    rig::{Client, Frame, Stream},
    strike::{Point, Strike},
};

/// The pause before it comes again. A new server is noticed at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Somebody who follows.
pub(crate) struct Follower {
    seen: Arc<Mutex<Vec<Frame>>>,
    failed: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU64>,
}

impl Follower {
    /// Follows from the beginning. After so many events it breaks off by itself, and comes again.
    pub(crate) fn start(
        mut address: watch::Receiver<SocketAddr>,
        token: &str,
        strike: Arc<Strike>,
        seed: u64,
        cuts: Range<u32>,
    ) -> Self {
        let follower = Self { seen: Arc::default(), failed: Arc::default(), connections: Arc::default() };
        let (seen, failed) = (follower.seen.clone(), follower.failed.clone());
        let (token, connections) = (token.to_owned(), follower.connections.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut last = String::new();
            loop {
                let client = Client::new(*address.borrow_and_update(), &token);
                let mut left = random.random_range(cuts.clone());
                if let Ok(mut stream) = Stream::open(&client, "/api/v1/events?after=0", &last).await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    while let Ok(Some(frame)) = stream.next().await {
                        match frame.event.as_str() {
                            "job:completed" | "job:failed" | "job:cancelled" => strike.pass(Point::Ended),
                            "job:webhook:delivered" => strike.pass(Point::Recorded),
                            _ => {}
                        }
                        if frame.event == "job:failed" {
                            let id = frame.json()["jobId"].as_str().unwrap().to_owned();
                            failed.lock().unwrap().push(id);
                        }
                        seen.lock().unwrap().push(frame);
                        left -= 1;
                        if left == 0 {
                            break;
                        }
                    }
                    stream.last_id().clone_into(&mut last);
                }
                tokio::time::timeout(PAUSE, address.changed()).await.ok();
            }
        });
        follower
    }
    pub(crate) fn seen(&self) -> Vec<Frame> {
        self.seen.lock().unwrap().clone()
    }
    /// Jobs of which it saw that they failed, the last one last.
    pub(crate) fn failed(&self) -> Arc<Mutex<Vec<String>>> {
        self.failed.clone()
    }
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}
