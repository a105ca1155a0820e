//! As much of a test program as cargo and nextest ask for, since the usual one has a `main` of its own.

use std::panic::catch_unwind;

/// Tests by name.
pub(crate) type Cases = &'static [(&'static str, fn())];

pub(crate) fn run(cases: Cases) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        // None is ever ignored.
        let listed = cases.iter().filter(|_| !has("--ignored"));
        listed.for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let mut words = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let wanted = words.next().cloned().unwrap_or_default();
    let is_wanted = |name: &str| if has("--exact") { name == wanted } else { name.contains(&wanted) };
    let mut has_failed = false;
    for (name, case) in cases.iter().filter(|(name, _)| is_wanted(name)) {
        let passed = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        has_failed |= !passed;
    }
    std::process::exit(i32::from(has_failed));
}
