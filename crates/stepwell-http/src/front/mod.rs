//! What every request passes before anybody looks at what it asks for.
//!
//! - `hosts`, `origin`: where it may come from.
//! - `door`: all of it in order, and what every answer carries.
//! - `problem`: how a refusal looks. `body`, `query`, `segment`: what is read of a request, strictly.
//! - `etag`, `page`: conditional requests, and pages of lists.

mod body;
mod door;
mod etag;
mod hosts;
mod origin;
mod page;
mod problem;
mod query;
mod segment;

pub(crate) use body::{JsonBody, OptionalBody};
pub(crate) use door::{Door, through};
pub(crate) use etag::{Condition, etag};
pub use hosts::Hosts;
pub(crate) use page::{Cursor, Page, PageInfo};
pub(crate) use problem::{Code, Fault, Problem, ProblemBody};
pub(crate) use query::{Query, Raw};
pub(crate) use segment::Segment;
