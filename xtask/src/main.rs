//! The project's own commands, run as `cargo xtask <command>`.

fn main() {}
