//! A server to talk to, with workers behind it.

use std::{future::Future, time::Duration};

use axum::Router;
use serde::{Deserialize, Serialize};
use stepwell::{Builder, Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Retry, Stepwell, Worker, Workers};
use stepwell_http::{Access, Api, Hosts, Limits, NewToken, Scope, Server as Listening, Tokens};
use tokio::sync::oneshot;

use super::client::Client;

/// Two phases, each of which may be told to fail or to wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sum {
    pub(crate) of: Vec<i64>,
    pub(crate) fail: Option<String>,
    pub(crate) wait: bool,
}

impl Job for Sum {
    const KIND: &'static str = "sum";
    type Output = i64;
}

pub(crate) struct Summer;

impl Worker for Summer {
    type Job = Sum;
    fn plan(plan: &Plan<Self>) -> Phase<'_, i64> {
        let checked = plan.phase("check", (), Self::check).retry(Retry::never());
        plan.phase("add", checked, Self::add).retry(Retry::never())
    }
}

impl Summer {
    async fn check(&self, cx: &Ctx<Sum>) -> PhaseResult<usize> {
        cx.log("checking");
        if cx.job().wait {
            cx.cancelled().await;
            return Err(PhaseError::permanent("it was told to stop"));
        }
        Ok(cx.job().of.len())
    }
    async fn add(&self, cx: &Ctx<Sum>, n: usize) -> PhaseResult<i64> {
        match &cx.job().fail {
            Some(error) => Err(PhaseError::permanent(error.clone())),
            None => Ok(cx.job().of.iter().take(n).sum()),
        }
    }
}

pub(crate) struct Server {
    pub(crate) stepwell: Stepwell,
    pub(crate) workers: Option<Workers>,
    pub(crate) api: Api,
    stop: oneshot::Sender<Duration>,
    served: tokio::task::JoinHandle<()>,
}

/// How the server is set up.
pub(crate) struct Setup {
    pub(crate) builder: Builder,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) base: &'static str,
    pub(crate) work: bool,
    pub(crate) options: fn(Api) -> Api,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            builder: Stepwell::in_memory(),
            access: Access::tokens(),
            limits: Limits::default(),
            base: "",
            work: true,
            options: |api| api,
        }
    }
}

impl Setup {
    /// A server, and a client that may do everything.
    pub(crate) async fn serve(self) -> (Server, Client) {
        let stepwell = self.builder.worker(Summer).open().await.unwrap();
        let workers = self.work.then(|| stepwell.start());
        let listening = Listening::bind("127.0.0.1:0".parse().unwrap(), self.limits).await.unwrap();
        let address = listening.address().unwrap();
        let api = (self.options)(Api::new(&stepwell, self.access, Hosts::only([address.to_string()])));
        let router = match self.base {
            "" => api.router(),
            base => Router::new().nest(base, api.router()),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(listening.serve(router, async { stopped.await.unwrap_or_default() }));
        let server = Server { stepwell, workers, api, stop, served };
        let token = server.token([Scope::Admin], &[]).await;
        let client = Client { address, base: self.base.into(), token: Some(token) };
        (server, client)
    }
}

impl Server {
    /// A token with these scopes, for these queues only unless there are none.
    pub(crate) async fn token(&self, scopes: impl IntoIterator<Item = Scope>, queues: &[&str]) -> String {
        let queues = (!queues.is_empty()).then(|| queues.iter().map(|queue| (*queue).into()).collect());
        let new = NewToken {
            name: "test".into(),
            scopes: scopes.into_iter().collect(),
            queues,
            ..NewToken::default()
        };
        Tokens::new(&self.stepwell).create(new).await.unwrap().1
    }
    pub(crate) async fn stop(self) {
        self.api.drain();
        self.stop.send(Duration::from_secs(10)).ok();
        self.served.await.unwrap();
        match self.workers {
            Some(workers) => workers.shutdown(Duration::from_secs(10)).await.unwrap(),
            None => self.stepwell.close().await.unwrap(),
        }
    }
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::client::SOON, asking)
        .await
        .unwrap_or_else(|_| panic!("{what}: it did not come"));
}
