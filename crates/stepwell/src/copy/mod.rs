//! From one store to another: a whole store is copied, of whichever kind each of the two is, and the work goes on
//! there.
//!
//! Everything arrives unchanged: ids, phases, results, checkpoints, events with their positions, unique keys, what is
//! set for queues, webhooks with their secrets and what was not delivered yet, tokens, the inbox. A job that ran when
//! its process died is taken back by whoever opens the copy first, as a crash. Tables of the application stay where
//! they are.
//!
//! ```no_run
//! # async fn moved() -> Result<(), stepwell::Error> {
//! use stepwell::copy::{Copying, Place};
//!
//! let copied = Copying::new(Place::sqlite("app.db"), Place::sqlite("copy.db")).run().await?;
//! println!("{} records, {}", copied.records, copied.sha256);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! - [`Place`]: where a store is. [`Copying`]: a copy in the making. [`unseal`]: taking it back.
//! - `terms`: which copy it is, and whether it may be made.
//! - `carry`: the records, from one to the other. `compare`: whether they are the same.
//! - `stream`: records as they are read, ahead of whoever takes them.

mod carry;
mod compare;
mod copying;
mod place;
mod progress;
mod stream;
mod terms;

pub use copying::{Copied, CopiedTable, Copying, unseal};
pub use place::Place;
pub use progress::{Progress, Step};
