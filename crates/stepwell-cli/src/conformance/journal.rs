//! Everything that was asked and answered, in order.

use std::{ops::Deref, time::Duration};

use serde_json::Value;

use super::{
    call::Call,
    exchange::{Exchange, Handed},
};

/// The requests of all workers of a scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(pub(super) Vec<Exchange>);

impl Deref for Journal {
    type Target = [Exchange];
    fn deref(&self) -> &[Exchange] {
        &self.0
    }
}

impl Journal {
    pub(super) fn calls(&self, call: Call) -> impl Iterator<Item = &Exchange> {
        self.iter().filter(move |exchange| exchange.call == call)
    }
    /// The ids of the workers that have registered, in order.
    pub(super) fn workers(&self) -> Vec<&str> {
        self.calls(Call::Register).filter_map(|exchange| exchange.granted()?.body["id"].as_str()).collect()
    }
    /// The phases that workers know to be theirs, in order, each once.
    pub(super) fn handed(&self) -> Vec<Handed> {
        let mut all: Vec<Handed> = Vec::new();
        for exchange in self.iter() {
            let Some(answer) = exchange.granted() else { continue };
            let worker = match exchange.call {
                Call::Claim => exchange.body["workerId"].as_str().unwrap_or_default().to_owned(),
                Call::Complete => {
                    let before = all.iter().find(|handed| handed.lease == exchange.subject);
                    before.map(|handed| handed.worker.clone()).unwrap_or_default()
                }
                _ => continue,
            };
            let claims = match exchange.call {
                Call::Claim => answer.body["claims"].as_array().map_or(&[][..], Vec::as_slice),
                _ => std::slice::from_ref(&answer.body["next"]),
            };
            for claim in claims {
                let Some(lease) = claim["lease"].as_str() else { continue };
                if !all.iter().any(|handed| handed.lease == lease) {
                    let (lease, claim, at) = (lease.to_owned(), claim.clone(), answer.at);
                    all.push(Handed { lease, worker: worker.clone(), claim, at });
                }
            }
        }
        all
    }
    /// The phases of a job that workers know to be theirs.
    pub(super) fn handed_of(&self, job: &str) -> Vec<Handed> {
        let mut handed = self.handed();
        handed.retain(|handed| handed.claim["job"]["id"] == job);
        handed
    }
    /// What was said under a lease.
    pub(super) fn reports<'j>(&'j self, lease: &'j str) -> impl Iterator<Item = &'j Exchange> {
        self.iter().filter(move |exchange| exchange.call.is_report() && exchange.subject == lease)
    }
    /// What was said to end a phase.
    pub(super) fn ends<'j>(&'j self, lease: &'j str) -> impl Iterator<Item = &'j Exchange> {
        self.reports(lease).filter(|exchange| exchange.call.is_end())
    }
    /// The heartbeats of a worker.
    pub(super) fn beats<'j>(&'j self, worker: &'j str) -> impl Iterator<Item = &'j Exchange> {
        self.calls(Call::Heartbeat).filter(move |exchange| exchange.subject == worker)
    }
    /// The claims of a worker.
    pub(super) fn claims<'j>(&'j self, worker: &'j str) -> impl Iterator<Item = &'j Exchange> {
        self.calls(Call::Claim).filter(move |exchange| exchange.body["workerId"] == worker)
    }
    /// When a worker was first told that this is wanted of it.
    pub(super) fn desired(&self, worker: &str, desired: &str) -> Option<Duration> {
        let told = |exchange: &Exchange| {
            Some(exchange.granted()?).filter(|told| told.body["desired"] == desired).map(|told| told.at)
        };
        self.beats(worker).find_map(told)
    }
    /// When a worker first learned how a lease stands.
    pub(super) fn standing(&self, lease: &str, status: &str) -> Option<Duration> {
        let told = |exchange: &Exchange| {
            let stands = exchange.standing(lease).is_some_and(|told| told == status);
            exchange.told().filter(|_| stands).map(|answer| answer.at)
        };
        self.calls(Call::Heartbeat).find_map(told)
    }
    /// What may be asked of the server: one line each, for people.
    pub(super) fn lines(&self) -> impl Iterator<Item = Value> {
        self.iter().map(|exchange| {
            let answer = exchange.answer.as_ref();
            serde_json::json!({
                "ms": u64::try_from(exchange.asked.as_millis()).unwrap_or(u64::MAX),
                "request": exchange.line,
                "idempotencyKey": exchange.key,
                "body": exchange.body,
                "status": answer.map(|answer| answer.status),
                "answer": answer.map(|answer| &answer.body),
                "delivered": answer.is_some_and(|answer| answer.delivered),
            })
        })
    }
}
