//! How commands say what they got: tables for people, tab-separated lines for programs, JSON if asked for.
//!
//! - `place`: where things are said. `table`: lists. `fields`: chosen members of them. `text`: what may stand in a
//!   line. `job`: jobs and their events as lines.
//! - `bar`: something that moves. `ago`, `bytes`: times and sizes as people say them.

mod ago;
mod bar;
mod bytes;
mod fields;
mod job;
mod place;
mod table;
mod text;

pub(crate) use ago::{Ago, span};
pub(crate) use bar::Bar;
pub(crate) use bytes::bytes;
pub(crate) use fields::{Fields, Members};
pub(crate) use job::{event_line, event_text, phase_bar, tint};
pub(crate) use place::{Format, Output, beside, is_dumb};
pub(crate) use table::Table;
pub(crate) use text::{clean, field, short, text_of};
