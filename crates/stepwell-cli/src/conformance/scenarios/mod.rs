//! The scenarios, one file each. `all`: the list of them.

mod alive;
mod all;
mod asleep;
mod blocked;
mod cancelled;
mod forgotten;
mod given_back;
mod idle;
mod lossy;
mod lost;
mod newer;
mod quiet;
mod refused;
mod terminated;
mod told_to_end;
mod work;

pub(super) use all::{ALL, Scenario};
