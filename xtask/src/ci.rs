//! `cargo xtask ci`: what every change must pass.

use crate::{
    cargo::{self, EVERYTHING},
    command,
    error::Error,
    proof,
    step::Steps,
    test, tidy,
};

/// Runs the steps until one fails, quick ones first, and prints how long each took.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    command::expect_no_arguments("ci", words)?;
    let mut steps = Steps::default();
    let outcome = all(&mut steps);
    println!("\n{steps}");
    outcome
}

fn all(steps: &mut Steps) -> Result<(), Error> {
    steps.run("format", || cargo::run(&mut cargo::cargo(&["fmt", "--all", "--check"])?))?;
    steps.run("tidy", || tidy::run(&[]))?;
    // The lint level goes to clippy alone. In RUSTFLAGS it would give every dependency a second build.
    steps.run("clippy", || {
        cargo::run(cargo::cargo(&["clippy"])?.args(EVERYTHING).args([
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))?;
        // `--all-targets` leaves out those that are no tests.
        let mut apart = cargo::cargo(&["clippy"])?;
        apart.args(EVERYTHING).args(proof::APART.iter().flat_map(|name| ["--test", name]));
        cargo::run(apart.args(["--", "-D", "warnings"]))
    })?;
    steps.run("docs", || {
        cargo::run(
            cargo::cargo(&["doc"])?.args(EVERYTHING).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    steps.run("tests", || test::suite(&[]))?;
    steps.run("doc tests", test::documentation)
}
