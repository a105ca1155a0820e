//! Lists of jobs.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stepwell::{JobRecord, JobState, Order, PageRequest, is_internal, limits};
use utoipa::{IntoParams, ToSchema};

use crate::{
    access::Caller,
    front::{Cursor, Page, PageInfo, Problem, Raw},
    hub::Hub,
    shape::{Attribute, Filter, JobStateName, JobView},
};

/// Jobs on one page, unless set, and at most.
pub(super) const LIMIT: usize = 50;
pub(super) const LIMIT_MAX: usize = 500;

/// Which page of the list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListJobs {
    /// In this state.
    #[param(value_type = Option<JobStateName>, inline)]
    state: Option<JobState>,
    /// Of this kind.
    kind: Option<String>,
    /// In this queue.
    queue: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this unique key.
    unique_key: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// By when they were stored: `desc`, unless set, has the last one first.
    #[param(inline)]
    order: Option<OrderName>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OrderName {
    /// The first one first.
    Asc,
    /// The last one first.
    #[default]
    Desc,
}

/// Jobs, page by page.
///
/// A search attribute is asked for as `attr.NAME=VALUE`. A page may hold less than was asked for, or nothing, although
/// there is a next one. `page.pos` is a place in the event log from before the page was read: whoever follows the
/// events after it misses nothing.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs",
    params(ListJobs),
    responses((status = 200, description = "The jobs", body = Page<JobView>)),
)]
pub(crate) async fn list_jobs(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Raw(pairs): Raw,
) -> Result<Json<Page<JobView>>, Problem> {
    let (found, page) = Listing::read(pairs)?.find(&hub).await?;
    let theirs = found.iter().filter(|job| grant.covers_job(job));
    Ok(Json(Page { data: theirs.map(JobView::from).collect(), page }))
}

/// A page that is asked for.
pub(super) struct Listing {
    filter: Filter,
    order: OrderName,
    limit: usize,
    cursors: Cursor,
    after: Option<i64>,
}

impl Listing {
    /// Reads what a query says.
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let (attributes, others): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(name, _)| name.starts_with("attr."));
        let query: ListJobs = Raw(others).decode()?;
        let attribute = match attributes.as_slice() {
            [] => None,
            [(name, value)] => {
                Some(Attribute { name: name["attr.".len()..].to_owned(), value: value.clone() })
            }
            _ => {
                return Err(Problem::of(
                    "?attr",
                    "may stand there once; narrow the list down by tags or queue",
                ));
            }
        };
        let ListJobs { state, kind, queue, tag, unique_key, cursor, limit, order } = query;
        if kind.as_deref().is_some_and(is_internal) {
            return Err(Problem::reserved("?kind"));
        }
        let filter = Filter { state, kind, queue, tag, attribute, unique_key };
        let (limit, order) = (limit_of(limit)?, order.unwrap_or_default());
        let cursors = Cursor::of("jobs", &(&filter, order));
        let after = cursors.read(cursor.as_deref())?;
        Ok(Self { filter, order, limit, cursors, after })
    }
    /// The same with fewer on it.
    pub(super) fn of_at_most(self, n: usize) -> Self {
        Self { limit: self.limit.min(n), ..self }
    }
    /// The jobs that are on it, whoever may see them, and where it stands.
    pub(super) async fn find(self, hub: &Hub) -> Result<(Vec<JobRecord>, PageInfo), Problem> {
        let Self { filter, order, limit, cursors, after } = self;
        // Read before the page: what happens in between is on the page, or after this place, or both.
        let pos = hub.head();
        let order = match order {
            OrderName::Asc => Order::OldestFirst,
            OrderName::Desc => Order::NewestFirst,
        };
        let found = hub.stepwell.list(filter.jobs(), PageRequest { order, limit, after }).await?;
        let next = found.next.map(|next| cursors.write(&next));
        Ok((found.items, PageInfo { next, prev: None, limit, pos: Some(pos) }))
    }
}

/// How many of a list are wanted.
pub(super) fn limit_of(limit: Option<usize>) -> Result<usize, Problem> {
    const { assert!(LIMIT_MAX <= limits::PAGE_MAX) };
    match limit.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::of("?limit", format!("must be 1 to {LIMIT_MAX}"))),
    }
}
