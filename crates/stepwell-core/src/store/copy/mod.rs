//! A whole store as another kind of store can take it over: what a copy is made of, and what its two ends must be able
//! to do.
//!
//! Every stored record is a row of one of a few tables, in values that every store knows. Keys of jobs, positions of
//! events and times are kept as they are. What a store makes for itself stays behind: the numbers of names, counters,
//! partitions, batches of events.
//!
//! - [`table`]: the tables, their columns and their keys. [`record`]: a row.
//! - [`head`]: what is true of the whole store. [`digest`]: what everything comes to.
//! - [`End`], [`Source`], [`Destination`]: what a store must be able to do. [`Note`]: what it keeps of it.
//! - [`in_use`]: whether a store may be copied, for all that works on it.
//!
//! A copy may be interrupted at any moment and goes on where it stood: the source is sealed and does not change,
//! records come in the order of their keys, and how many of a table have arrived is committed together with them.

pub mod digest;
mod end;
pub mod head;
pub mod in_use;
mod note;
pub mod record;
pub mod table;

pub use digest::Digest;
pub use end::{Batches, Destination, End, Source};
pub use head::Head;
pub use note::{Arrived, Note, Standing};
pub use record::{Record, Value};
pub use table::{Column, Kind, Table};
