//! Phases in processes of their own: what arrives, what a handler that does not listen or crashes leads to, and what is
//! left of it.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[cfg(target_os = "linux")]
#[path = "isolated/cases.rs"]
mod cases;
#[cfg(target_os = "linux")]
#[path = "isolated/harness.rs"]
mod harness;
#[cfg(target_os = "linux")]
#[path = "isolated/oven.rs"]
mod oven;

fn main() {
    #[cfg(target_os = "linux")]
    {
        if std::env::args().nth(1).as_deref() == Some(oven::UNBEGUN) {
            return oven::open_unbegun();
        }
        // In a child this runs the phase, and does not return.
        stepwell::process::begin_with(oven::workers);
        match std::env::args().nth(1).as_deref() {
            Some(oven::SERVE) => oven::serve(),
            _ => harness::run(cases::CASES),
        }
    }
}
