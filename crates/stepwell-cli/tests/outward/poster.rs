//! Asks for jobs, cancels and retries, and remembers what was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{bulk::Groups, rig::Client};

/// Jobs that one round asks for at most: what it leaves must be told at the end.
const JOBS: u64 = 8;

/// What was acknowledged about one job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    /// Whether it has a webhook of its own.
    pub(crate) own: bool,
    /// Runs that must end: the first, and one for each retry.
    pub(crate) runs: usize,
}

/// Asks, and remembers.
pub(crate) struct Poster {
    own: String,
    secret: String,
    acknowledged: Mutex<BTreeMap<String, Acknowledged>>,
    groups: Groups,
}

impl Poster {
    pub(crate) fn new(own: String, secret: &str) -> Self {
        Self { own, secret: secret.to_owned(), acknowledged: Mutex::default(), groups: Groups::default() }
    }
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, Acknowledged> {
        self.acknowledged.lock().unwrap().clone()
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Asks for one job with a webhook of its own, and answers with its id.
    pub(crate) async fn post_with_own(&self, client: &Client) -> String {
        let webhook = json!({ "url": self.own, "secret": self.secret });
        let new = json!({ "kind": "demo.steps", "payload": {}, "webhook": webhook });
        let id = client.post("/api/v1/jobs", &new).await.unwrap().good("the job");
        let id = id["id"].as_str().unwrap().to_owned();
        self.acknowledged.lock().unwrap().insert(id.clone(), Acknowledged { own: true, runs: 1 });
        id
    }

    /// Asks until the server is gone, or everything was asked for.
    pub(crate) async fn post(
        &self,
        client: &Client,
        round: u64,
        failed: Arc<Mutex<Vec<String>>>,
        seed: u64,
    ) -> Option<()> {
        let mut random = StdRng::seed_from_u64(seed);
        for n in 0..JOBS {
            if n % 3 == 0 {
                self.groups.go_on(client).await?;
            }
            let own = random.random_bool(0.4);
            let is_cancelled = n == 5 && round.is_multiple_of(2);
            let mut new = json!({
                "kind": "demo.steps",
                "payload": {
                    "failures": u64::from(random.random_bool(0.15)),
                    "fails": random.random_bool(0.15),
                    "pauseMs": random.random_range(0..30),
                },
            });
            if own {
                new["webhook"] = json!({ "url": self.own, "secret": self.secret });
            }
            if is_cancelled {
                new["delayMs"] = json!(3_600_000);
            }
            let id = accepted(client, "/api/v1/jobs", &new).await?["id"].as_str().unwrap().to_owned();
            // A job that waits for an hour only ends if its cancelling was acknowledged.
            if is_cancelled {
                accepted(client, &format!("/api/v1/jobs/{id}/cancel"), &json!({})).await?;
            }
            self.acknowledged.lock().unwrap().insert(id, Acknowledged { own, runs: 1 });
            let again = failed.lock().unwrap().pop().filter(|_| random.random_bool(0.5));
            let again = again.filter(|id| !self.groups.hold(id));
            if let Some(id) = again {
                let path = format!("/api/v1/jobs/{id}/retry");
                let answer = client.post(&path, &json!({})).await.ok()?;
                // It may have been deleted, or retried when nobody was left to hear the answer.
                if answer.status.is_success()
                    && let Some(known) = self.acknowledged.lock().unwrap().get_mut(&id)
                {
                    known.runs += 1;
                }
            }
        }
        Some(())
    }
}

/// The answer, if the server lived to give one.
async fn accepted(client: &Client, path: &str, body: &Value) -> Option<Value> {
    Some(client.post(path, body).await.ok()?.good(path))
}
