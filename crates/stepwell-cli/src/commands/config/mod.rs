//! `stepwell config`.
//!
//! - `command`: the words, and what is set. `edit`: a first file, and single settings.

mod command;
mod edit;

pub(crate) use command::{Arguments, run, settings};
