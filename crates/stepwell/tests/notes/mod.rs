//! Jobs whose ends are told, and what a test waits for until they are.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part"
)]

use std::time::Duration;

use stepwell::{
    Ctx, EventType, Job, JobHandle, JobId, PageRequest, PhaseResult, Stepwell, Workers,
    webhook::{Delivery, DeliveryFilter, DeliveryState, NewEndpoint, NewSecret},
};

use crate::{sink::Sink, support::soon};

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Note(pub String);
impl Job for Note {
    const KIND: &'static str = "note";
    type Output = String;
}
pub async fn write(cx: &Ctx<Note>) -> PhaseResult<String> {
    match cx.job().0.as_str() {
        "fail" => Err(stepwell::PhaseError::permanent("no paper")),
        text => Ok(text.to_owned()),
    }
}

pub async fn running(builder: stepwell::Builder) -> (Stepwell, Workers) {
    let stepwell = builder.worker_fn::<Note, _, _>(write).open().await.unwrap();
    let workers = stepwell.start();
    (stepwell, workers)
}
pub async fn endpoint(stepwell: &Stepwell, sink: &Sink) -> NewSecret {
    stepwell.webhooks().create(NewEndpoint::new(sink.url("/hook"))).await.unwrap()
}
pub async fn note(stepwell: &Stepwell, text: &str) -> JobHandle<Note> {
    stepwell.enqueue(Note(text.into())).await.unwrap()
}
/// Waits until a job's log says so, and answers with what it says.
pub async fn told(stepwell: &Stepwell, job: JobId, ty: EventType) -> stepwell::Event {
    let mut events = stepwell.events().of_job(job).after(0).subscribe();
    let found = async {
        loop {
            let event = events.next().await.expect("the queue is open");
            if event.event_type == ty {
                return event;
            }
        }
    };
    soon(&format!("{ty}"), found).await
}
pub async fn deliveries(stepwell: &Stepwell, filter: DeliveryFilter) -> Vec<Delivery> {
    stepwell.webhooks().deliveries(filter, PageRequest::default()).await.unwrap().items
}
/// Waits until a delivery is in a state.
pub async fn reaches(
    stepwell: &Stepwell,
    id: JobId,
    state: DeliveryState,
) -> stepwell::webhook::DeliveryDetail {
    let found = async {
        loop {
            let detail = stepwell.webhooks().delivery(id).await.unwrap();
            if detail.delivery.state == state {
                return detail;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(&format!("the delivery is {state:?}"), found).await
}
