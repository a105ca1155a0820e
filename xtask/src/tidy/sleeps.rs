//! A test waits for what it expects, never for time to pass: sleeping is either too short or too slow.

use super::{fault::Fault, file::File, source::mentions};

pub(crate) fn check(file: &File) -> Vec<Fault> {
    let Some(source) = file.rust() else {
        return Vec::new();
    };
    source
        .lines()
        .filter(|(line, code)| file.is_test(*line) && mentions(code, "thread::sleep"))
        .map(|(line, _)| file.fault(line, "`thread::sleep` in a test: wait for a signal, or turn the clock"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_sleep_in_a_test_is_caught() {
        let text = "fn f() { std::thread::sleep(d); }\n";
        assert_eq!(faults("crates/stepwell/tests/a.rs", text), 1);
        assert_eq!(faults("crates/stepwell/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{text}}}\n")), 1);
    }

    #[test]
    fn production_may_sleep_and_tests_may_wait() {
        assert_eq!(faults("crates/stepwell/src/a.rs", "fn f() { std::thread::sleep(d); }\n"), 0);
        assert_eq!(faults("crates/stepwell/tests/a.rs", "fn f() { done.recv_timeout(d); }\n"), 0);
    }
}
