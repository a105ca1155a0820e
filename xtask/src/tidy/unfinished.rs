//! Work that is not finished does not get in.

use super::{fault::Fault, file::File, source::mentions};

/// Put together at compile time, because this file is read by the rule as well.
const MARK: &str = concat!("FIX", "ME");

const CALLS: [&str; 2] = ["todo!", "unimplemented!"];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    let Some(source) = file.rust() else {
        return marks(file);
    };
    let calls = source.lines().flat_map(|(line, code)| {
        CALLS
            .iter()
            .filter(move |call| mentions(code, call))
            .map(move |call| file.fault(line, format!("`{call}`: finish it, or leave it out")))
    });
    let ignored = source
        .lines()
        .filter(|(_, code)| code.contains("#[ignore"))
        .map(|(line, _)| file.fault(line, "an ignored test proves nothing: repair it or remove it"));
    calls.chain(ignored).chain(marks(file)).collect()
}

fn marks(file: &File) -> Vec<Fault> {
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(MARK))
        .map(|(index, _)| file.fault(index + 1, format!("`{MARK}`: repair it now, or open an issue")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn unfinished_work_is_caught_everywhere() {
        assert_eq!(faults("crates/stepwell/src/a.rs", "fn f() { todo!() }\n"), 1);
        assert_eq!(faults("examples/src/lib.rs", "fn f() { unimplemented!() }\n"), 1);
        assert_eq!(faults("crates/stepwell/tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"), 1);
        assert_eq!(faults("crates/stepwell/src/a.rs", &format!("// {MARK}: later\n")), 1);
        assert_eq!(faults("README.md", &format!("{MARK}\n")), 1);
    }

    #[test]
    fn finished_work_passes() {
        assert_eq!(
            faults("crates/stepwell/src/a.rs", "// What to do: nothing, todo! is banned.\nfn f() {}\n"),
            0
        );
    }
}
