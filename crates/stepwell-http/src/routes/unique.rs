//! What is said of the job that holds a unique key.

use stepwell::Error;

use crate::{
    access::Grant,
    front::{Code, Problem},
    hub::Hub,
};

/// Why something was refused. The job that holds the unique key is named to those only who may see it: a token that is
/// limited to other queues or kinds learns that there is one, and nothing else of it.
pub(super) async fn in_the_way(hub: &Hub, grant: &Grant, error: Error) -> Problem {
    let Some(holder) = error.unique_holder().filter(|_| grant.is_limited()) else { return error.into() };
    match hub.stepwell.job(holder).await.is_ok_and(|job| grant.covers_job(&job)) {
        true => error.into(),
        false => Problem::new(Code::ConflictUnique, "a job that is not for this token has this unique key"),
    }
}
