//! How commands say what they got: tables for people, tab-separated lines for programs, JSON if asked for.
//!
//! - `place`: where things are said. `table`: lists. `text`: what may stand in a line.
//! - `ago`, `bytes`: times and sizes as people say them. `job`: jobs and their events as lines.

mod ago;
mod bytes;
mod job;
mod place;
mod table;
mod text;

pub(crate) use ago::{Ago, span};
pub(crate) use bytes::bytes;
pub(crate) use job::{event_line, event_text, phase_bar, tint};
pub(crate) use place::{Format, Output};
pub(crate) use table::Table;
pub(crate) use text::{clean, field, short, text_of};
