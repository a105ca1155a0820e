//! Bulk operations: the same for every job that a filter finds.
//!
//! A bulk operation is itself a job, of a reserved kind. So it survives whatever its process does not, goes on where it
//! stood, can be watched and cancelled, and is kept as long as other jobs are.
//!
//! - [`Bulk`]: what an application or an API calls. [`BulkAction`], [`Selection`]: what is done, and to which jobs.
//! - `worker`: does it, batch by batch.

mod action;
mod operation;
mod selection;
mod worker;

pub use action::BulkAction;
pub use operation::{Bulk, BulkFailure, BulkOperation, BulkPage, BulkPreview, NewBulk};
pub use selection::Selection;
pub(crate) use worker::{AT_ONCE, BulkWorker, KIND, QUEUE};
