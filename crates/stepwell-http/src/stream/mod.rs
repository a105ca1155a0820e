//! Events, live.
//!
//! Whoever follows owns a place in the log and nothing else: no task, no connection to the store, no buffer. All read
//! from one ring, in which each event is encoded once. Whoever is slow falls back to reading from the store, and
//! whoever stalls is cut by the connection below, which does not wait for this code to run.
//!
//! - `wanted`: what is asked for, and from where on.
//! - `follow`: what is found, in order, with gaps and resets.
//! - `live`: as an event stream. `poll`: as JSON.

mod follow;
mod live;
mod poll;
mod wanted;

pub(crate) use follow::Follow;
pub(crate) use live::live;
pub(crate) use poll::{Polled, poll};
pub(crate) use wanted::{Start, Wanted, place_of};
