//! A schema as an end of a copy: see [`stepwell_core::store::copy`].
//!
//! - `end`: the schema as a whole: sealed, noted on, read and written.
//! - `record`: rows, out of the database and into it. `log`: events, in batches. `statements`: how each table is read
//!   and written.

mod end;
mod log;
mod record;
mod statements;

pub use end::CopyEnd;
