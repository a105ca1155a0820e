//! `lib.rs` and `mod.rs` are tables of contents: documentation, `mod`, `use`, and attributes.

use super::{fault::Fault, file::File};

pub(crate) fn check(file: &File) -> Vec<Fault> {
    // The benchmarks are a workspace of their own with crates of one file.
    let is_member = ["crates/", "examples/", "xtask/"].iter().any(|home| file.path.starts_with(home));
    let is_table = is_member && file.path.contains("src/") && matches!(file.name(), "lib.rs" | "mod.rs");
    let (Some(source), true) = (file.rust(), is_table) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    if file.name() == "lib.rs"
        && !file.text.lines().any(|line| line.starts_with("//!") || line.starts_with("#![doc"))
    {
        faults.push(file.fault(0, "the crate does not say what it is for: begin with `//!`"));
    }
    if let Err(rest) = table(source.code()) {
        let line = source.code()[..source.code().len() - rest.len()].matches('\n').count() + 1;
        let message =
            "only documentation, `mod`, `use` and attributes belong here: move this to a file of its own";
        faults.push(file.fault(line, message));
    }
    faults
}

/// Reads entries until the code, or the block that it is in, ends; gives back what follows, or the first text
/// that is no entry.
fn table(code: &str) -> Result<&str, &str> {
    let mut rest = code.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        rest = entry(rest)?.trim_start();
    }
    Ok(rest)
}

fn entry(code: &str) -> Result<&str, &str> {
    if let Some(attribute) = code.strip_prefix('#') {
        return after_brackets(attribute.trim_start_matches('!')).ok_or(code);
    }
    let item = without_visibility(code);
    let end = item.find([';', '{']).unwrap_or(item.len());
    match item.split_whitespace().next() {
        Some("use" | "extern") => item.find(';').map(|end| &item[end + 1..]).ok_or(code),
        Some("mod") if item[end..].starts_with(';') => Ok(&item[end + 1..]),
        // A module in place may re-export, and no more.
        Some("mod") if item[end..].starts_with('{') => table(&item[end + 1..])?.strip_prefix('}').ok_or(code),
        _ => Err(code),
    }
}

fn without_visibility(code: &str) -> &str {
    let Some(rest) = code.strip_prefix("pub") else {
        return code;
    };
    let rest = rest.trim_start();
    if rest.starts_with('(') { after_brackets(rest).unwrap_or(rest).trim_start() } else { rest }
}

/// What follows the bracket that closes the one at the beginning.
fn after_brackets(code: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (offset, c) in code.char_indices() {
        match c {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(&code[offset + c.len_utf8()..]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<usize> {
        check(&File::new(path, text)).into_iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn a_table_of_contents_passes() {
        let text = "//! What it is.\n#![warn(missing_docs)]\n\nmod a;\n#[cfg(feature = \"x\")]\npub mod b;\n\
                    pub(crate) mod c;\npub use a::{A, B};\nuse b as d;\npub mod prelude {\n    pub use super::A;\n}\n";
        assert!(faults("crates/stepwell/src/lib.rs", text).is_empty());
    }

    #[test]
    fn anything_else_is_caught_on_its_line() {
        for item in [
            "pub fn f() {}",
            "const A: u8 = 1;",
            "impl A {}",
            "macro_rules! m { () => {} }",
            "mod t { fn f() {} }",
        ] {
            let text = format!("//! What it is.\nmod a;\n\n{item}\n");
            assert_eq!(faults("crates/stepwell/src/lib.rs", &text), [4], "{item}");
            assert_eq!(faults("crates/stepwell/src/engine/mod.rs", &text), [4], "{item}");
            assert!(faults("crates/stepwell/src/engine.rs", &text).is_empty());
        }
    }

    #[test]
    fn a_library_says_what_it_is_for() {
        assert_eq!(faults("crates/stepwell/src/lib.rs", "mod a;\n"), [0]);
        assert!(
            faults("crates/stepwell/src/lib.rs", "#![doc = include_str!(\"lib.md\")]\nmod a;\n").is_empty()
        );
    }
}
