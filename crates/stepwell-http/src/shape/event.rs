//! Events on the wire. They are encoded in `stepwell::wire`; this is what their form is told with.

use utoipa::ToSchema;

/// One thing that happened. Of `job:deleted` there are only `pos`, `type`, `at` and `data: {deletedJobId}`.
#[derive(ToSchema)]
#[schema(as = Event, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is encoded elsewhere")]
pub(crate) struct EventView {
    /// The place in the one order of all events: 1, 2, 3, … without a gap.
    pos: u64,
    /// The job.
    #[schema(format = "uuid")]
    job_id: Option<String>,
    /// The place in the job's own order: 1, 2, 3, … without a gap.
    job_seq: Option<u64>,
    /// What happened.
    r#type: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The job's kind.
    kind: Option<String>,
    /// The job's queue at that time.
    queue: Option<String>,
    /// The run of the job.
    run: Option<u32>,
    /// How often the job had been claimed in this run.
    attempt: Option<u32>,
    /// The phase it is about.
    phase: Option<String>,
    /// The rest; its members depend on the type.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}
