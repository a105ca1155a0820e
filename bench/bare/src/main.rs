//! The bare store: what prepared statements in a loop reach on the tables that a durable, phased queue needs.
//!
//! It is the floor that Stepwell is measured against, so it leaves out all that makes a queue: no handlers, no
//! wake-ups, no leases that expire. What it writes is complete: the job with its phases packed as JSON, the payload
//! apart, a token and an epoch per claim, and one event row per transition, at `synchronous=FULL`.
mod drain;
mod enqueue;
mod seed;
mod store;
mod writer;

use stepwell_bench_subject::{Figures, Report, Request, Result, monotonic_ns, sqlite};

use crate::store::Store;

/// Jobs per commit wherever there is a choice.
const BATCH: usize = 256;

fn main() -> Result<()> {
    let begun_ns = monotonic_ns();
    let request = Request::from_command_line();
    let mut store = Store::open(request.store.as_ref())?;
    let durability = store.durability()?;
    let (settings, figures) = match request.command.as_str() {
        "bulk" => ("one thread, 1,000 per commit", enqueue::in_bulk(&request, store)?),
        "callers" => ("one writer thread, group commit", enqueue::from_callers(&request, store)?),
        "commit" => ("one thread, 1 per commit", enqueue::singly(&request, store)?),
        "drain" => ("one thread, 256 per commit", drain::measure(&request, &mut store)?),
        "startup" => ("one thread", drain::first(begun_ns, &mut store)?),
        "seed" => {
            seed::fill(&request, &mut store)?;
            ("", Figures::new())
        }
        _ => request.unknown(),
    };
    Report::new(settings, sqlite::version(), durability, figures).print()
}
