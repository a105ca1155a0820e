//! What holds for every plan, policy, key, text and row, and not only for those that somebody thought of.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod properties {
    mod any_row;
    mod backoff;
    mod events;
    mod json;
    mod matching;
    mod sequence;
    mod unique;
}
