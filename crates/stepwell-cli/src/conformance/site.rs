//! A server of a scenario's own, with its gate.

use std::time::Duration;

use serde_json::{Value, json};
use stepwell::{Stepwell, Workers};
use stepwell_http::{Access, NewToken, Scope, Tokens};

use super::{
    gate::Gate,
    kinds::{self, QUEUE},
};
use crate::{
    client::Client,
    failure::{FailedTo, Failure},
    http::{Http, Listen},
};

/// How long one request waits for the end of a job.
const WAIT: Duration = Duration::from_secs(5);

/// A server with a store in memory, and the gate before it.
pub(super) struct Site {
    pub(super) gate: Gate,
    /// What the worker shows.
    pub(super) token: String,
    client: Client,
    http: Http,
    workers: Workers,
}

impl Site {
    /// Starts it.
    ///
    /// # Errors
    /// If no port is to be had, mostly.
    pub(super) async fn open(lease: Duration) -> Result<Self, Failure> {
        let what = "start a server for the worker";
        let stepwell = Stepwell::in_memory().lease(lease).open().await.failed_to(what)?;
        let workers = stepwell.start();
        let listen = Listen {
            address: ([127, 0, 0, 1], 0).into(),
            further_ports: 0,
            hosts: Vec::new(),
            access: Access::tokens(),
            requests_per_minute: None,
        };
        let http = Http::start(&stepwell, listen).await.failed_to(what)?;
        let gate = Gate::open(http.address).await.failed_to(what)?;
        let tokens = Tokens::new(&stepwell);
        let admin = NewToken { name: "kit".into(), scopes: [Scope::Admin].into(), ..NewToken::default() };
        let worker = NewToken {
            name: "worker".into(),
            scopes: [Scope::Workers].into(),
            queues: Some([QUEUE.into()].into()),
            kinds: Some(kinds::names().map(Into::into).collect()),
            ..NewToken::default()
        };
        let (_, admin) = tokens.create(admin).await.failed_to(what)?;
        let (_, token) = tokens.create(worker).await.failed_to(what)?;
        let client = Client::of(&http.url(), Some(&admin))?;
        Ok(Self { gate, token, client, http, workers })
    }
    /// The address that the worker is told.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.gate.address)
    }

    /// Stores a job, and answers with its id.
    pub(super) async fn enqueue(&self, kind: &str, payload: Value) -> Result<String, Failure> {
        let new = json!({ "kind": kind, "payload": payload, "queue": QUEUE });
        let made = self.client.post("store a job", "/api/v1/jobs", &new).await?.value()?;
        Ok(made["id"].as_str().unwrap_or_default().to_owned())
    }
    /// A job as it stands.
    pub(super) async fn job(&self, id: &str) -> Result<Value, Failure> {
        self.client.get("read a job", &format!("/api/v1/jobs/{id}")).await?.value()
    }
    /// A job as it stands once it has ended, or after a while.
    pub(super) async fn ended(&self, id: &str) -> Result<Value, Failure> {
        let path = format!("/api/v1/jobs/{id}?waitMs={}", WAIT.as_millis());
        self.client.get_within("read a job", &path, WAIT).await?.value()
    }
    /// The lines of a job's log.
    pub(super) async fn logs(&self, id: &str) -> Result<Value, Failure> {
        self.client.get("read a log", &format!("/api/v1/jobs/{id}/logs")).await?.value()
    }
    /// The types of a job's events.
    pub(super) async fn events(&self, id: &str) -> Result<Vec<String>, Failure> {
        let events = self.client.get("read events", &format!("/api/v1/jobs/{id}/events")).await?.value()?;
        let events = events["events"].as_array().cloned().unwrap_or_default();
        Ok(events.iter().filter_map(|event| Some(event["type"].as_str()?.to_owned())).collect())
    }
    /// Asks for a change that needs no words.
    pub(super) async fn act(&self, path: &str) -> Result<(), Failure> {
        self.client.act("steer the server", path).await.map(drop)
    }
    /// Takes a worker out, as if it was dead.
    pub(super) async fn bury(&self, worker: &str) -> Result<(), Failure> {
        self.client.delete("end a worker", &format!("/api/v1/workers/{worker}")).await.map(drop)
    }
    /// A heartbeat that names nothing, in a worker's place.
    pub(super) async fn beat_for(&self, worker: &str) -> Result<(), Failure> {
        let path = format!("/api/v1/workers/{worker}/heartbeat");
        self.client.post("send a heartbeat", &path, &json!({})).await.map(drop)
    }

    /// Ends it.
    pub(super) async fn close(self) {
        let Self { gate, http, workers, .. } = self;
        drop(gate);
        tokio::join!(http.stop(Duration::ZERO), workers.drain(Duration::ZERO));
        // Nothing of it is needed any more, and nothing is stored.
        workers.shutdown(Duration::ZERO).await.ok();
    }
}
