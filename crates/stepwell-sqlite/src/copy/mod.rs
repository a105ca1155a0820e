//! A file as an end of a copy: see [`stepwell_core::store::copy`].
//!
//! - `end`: the file as a whole: sealed, noted on, read and written.
//! - `record`: rows, out of the file and into it. `statements`: how each table is read and written.

mod end;
mod record;
mod statements;

pub use end::CopyEnd;
