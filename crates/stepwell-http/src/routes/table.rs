//! Every operation, with the scope that it takes.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    aspects, batch, bulk, claims, create, deliveries, events, export, health, jobs, kinds, list, metrics,
    queues, stats, steer, system, tokens, webhooks, workers,
};
use crate::{
    access::{Guard, Need, Scope},
    hub::Hub,
    openapi,
};

/// Every operation. Without a hub there is no way in: then only its description is of use.
pub(crate) fn table(hub: Option<Arc<Hub>>) -> OpenApiRouter<Arc<Hub>> {
    let router = OpenApiRouter::with_openapi(openapi::frame());
    Guard::new(hub, router)
        // Jobs.
        .on_unaudited(Scope::JobsEnqueue, routes!(create::create_job))
        .on_unaudited(Scope::JobsEnqueue, routes!(batch::create_jobs))
        .on(Scope::JobsRead, routes!(list::list_jobs))
        .on(Scope::JobsRead, routes!(export::export_jobs))
        .on(Scope::JobsRead, routes!(jobs::get_job))
        .on(Scope::JobsManage, routes!(steer::edit_job))
        .on(Scope::JobsManage, routes!(steer::delete_job))
        .on(Scope::JobsManage, routes!(steer::cancel_job))
        .on(Scope::JobsManage, routes!(steer::retry_job))
        .on(Scope::JobsManage, routes!(steer::rerun_job))
        .on(Scope::JobsManage, routes!(steer::run_job_now))
        .on(Scope::JobsRead, routes!(aspects::list_phases))
        .on(Scope::JobsRead, routes!(aspects::get_phase))
        .on(Scope::JobsRead, routes!(aspects::list_logs))
        .on(Scope::JobsRead, routes!(aspects::explain_job))
        .on(Need::Ticket(Scope::EventsRead), routes!(events::follow_job))
        // Queues and kinds.
        .on(Scope::QueuesRead, routes!(queues::list_queues))
        .on(Scope::QueuesRead, routes!(queues::get_queue))
        .on(Scope::QueuesManage, routes!(queues::pause_queue))
        .on(Scope::QueuesManage, routes!(queues::set_queue))
        .on(Scope::QueuesManage, routes!(queues::resume_queue))
        .on(Scope::QueuesRead, routes!(kinds::list_kinds))
        .on(Scope::QueuesRead, routes!(kinds::get_kind))
        // Events.
        .on(Need::Ticket(Scope::EventsRead), routes!(events::follow_events))
        .on(Scope::EventsRead, routes!(events::list_event_types))
        .on_unaudited(Scope::EventsRead, routes!(events::create_ticket))
        // How much, how fast.
        .on(Scope::QueuesRead, routes!(stats::get_stats))
        .on(Scope::QueuesRead, routes!(stats::get_series))
        // The same for many jobs.
        .on(Scope::JobsManage, routes!(bulk::create_bulk_operation))
        .on(Scope::JobsManage, routes!(bulk::list_bulk_operations))
        .on(Scope::JobsManage, routes!(bulk::get_bulk_operation))
        .on(Scope::JobsManage, routes!(bulk::cancel_bulk_operation))
        .on(Scope::JobsManage, routes!(bulk::list_bulk_failures))
        // Webhooks, and deliveries to them.
        .on(Scope::WebhooksRead, routes!(webhooks::list_webhooks))
        .on(Scope::WebhooksManage, routes!(webhooks::create_webhook))
        .on(Scope::WebhooksRead, routes!(webhooks::get_webhook))
        .on(Scope::WebhooksManage, routes!(webhooks::edit_webhook))
        .on(Scope::WebhooksManage, routes!(webhooks::delete_webhook))
        .on(Scope::WebhooksManage, routes!(webhooks::enable_webhook))
        .on(Scope::WebhooksManage, routes!(webhooks::disable_webhook))
        .on(Scope::WebhooksManage, routes!(webhooks::rotate_webhook_secret))
        .on(Scope::WebhooksManage, routes!(webhooks::test_webhook))
        .on(Scope::WebhooksManage, routes!(deliveries::replay_webhook))
        .on(Scope::WebhooksRead, routes!(webhooks::get_webhook_stats))
        .on(Scope::WebhooksRead, routes!(deliveries::list_webhook_deliveries))
        .on(Scope::WebhooksRead, routes!(deliveries::list_deliveries))
        .on(Scope::WebhooksRead, routes!(deliveries::get_delivery))
        .on(Scope::WebhooksManage, routes!(deliveries::redeliver))
        .on(Scope::WebhooksManage, routes!(deliveries::skip_delivery))
        .on(Scope::WebhooksRead, routes!(deliveries::list_job_deliveries))
        // Workers that speak HTTP. What they do to jobs is told by events.
        .on(Scope::Workers, routes!(workers::register_worker))
        .on(Scope::QueuesRead, routes!(workers::list_workers))
        .on(Scope::QueuesRead, routes!(workers::get_worker))
        .on(Scope::Workers, routes!(workers::delete_worker))
        .on(Scope::QueuesManage, routes!(workers::quiet_worker))
        .on(Scope::QueuesManage, routes!(workers::resume_worker))
        .on(Scope::QueuesManage, routes!(workers::terminate_worker))
        .on_unaudited(Scope::Workers, routes!(workers::beat))
        .on_unaudited(Scope::Workers, routes!(claims::claim))
        .on_unaudited(Scope::Workers, routes!(claims::save_checkpoint))
        .on_unaudited(Scope::Workers, routes!(claims::report_progress))
        .on_unaudited(Scope::Workers, routes!(claims::add_logs))
        .on_unaudited(Scope::Workers, routes!(claims::complete_claim))
        .on_unaudited(Scope::Workers, routes!(claims::fail_claim))
        .on_unaudited(Scope::Workers, routes!(claims::snooze_claim))
        .on_unaudited(Scope::Workers, routes!(claims::release_claim))
        // Tokens, and who changed what.
        .on(Scope::Admin, routes!(tokens::list_tokens))
        .on(Scope::Admin, routes!(tokens::create_token))
        .on(Scope::Admin, routes!(tokens::rotate_token))
        .on(Scope::Admin, routes!(tokens::revoke_token))
        .on(Scope::Admin, routes!(tokens::list_audit))
        // The server itself.
        .on(Need::Nothing, routes!(system::healthz))
        .on(Need::Nothing, routes!(system::readyz))
        .on(Need::Nothing, routes!(system::openapi))
        .on(Need::Nothing, routes!(system::problem_page))
        .on(Need::Anybody, routes!(system::version))
        .on(Need::Anybody, routes!(system::whoami))
        .on(Scope::Metrics, routes!(health::get_health))
        .on(Scope::Metrics, routes!(metrics::metrics))
        .into_router()
}
