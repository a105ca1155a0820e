//! `stepwell top`: the queue, live, on a terminal.
//!
//! - `board`: what is known, and what somebody looks at. `keys`: what a key does to it. `view`: what it looks like.
//! - `feed`: where what is known comes from. `acts`: what is asked for on the way. `run`: from start to exit code.

mod acts;
mod board;
mod feed;
mod keys;
mod run;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use run::run;
