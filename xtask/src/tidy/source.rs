//! Rust text taken apart just far enough for the rules: code without comments and literals, the string
//! literals, and which lines are test code.
//!
//! This is no parser. It knows comments, the forms of literals, and balanced brackets, which is what it takes not
//! to mistake the documentation of a call for the call.

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text with comments and the insides of literals blanked out, line for line the same.
    code: String,
    strings: Vec<Literal>,
    test_lines: Vec<bool>,
}

/// A string literal, without its quotes, escapes left as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let (code, strings) = blank(text);
        let test_lines = test_lines(&code);
        Self { code, strings, test_lines }
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The lines of code with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn strings(&self) -> &[Literal] {
        &self.strings
    }

    /// Whether the line, counted from 1, lies in an item that exists only for tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line.wrapping_sub(1)).copied().unwrap_or(false)
    }
}

/// Whether `line` has `word` as a word of its own, not as the end or the beginning of a longer name.
pub(crate) fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let joined = |edge: Option<char>, beside: Option<char>| {
            edge.is_some_and(is_name) && beside.is_some_and(is_name)
        };
        !joined(word.chars().next(), before) && !joined(word.chars().next_back(), after)
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits the text into code with the same line breaks, and the string literals.
fn blank(text: &str) -> (String, Vec<Literal>) {
    let chars: Vec<char> = text.chars().collect();
    let mut scanner = Scanner { chars: &chars, at: 0, line: 1, code: String::with_capacity(text.len()) };
    let mut strings = Vec::new();
    while let Some(c) = scanner.peek(0) {
        match c {
            '/' if scanner.peek(1) == Some('/') => scanner.blank_while(|c| c != '\n'),
            '/' if scanner.peek(1) == Some('*') => scanner.blank_comment(),
            '"' => strings.push(scanner.string(0, 0)),
            '\'' => scanner.quote(),
            _ if is_name(c) => match scanner.prefix() {
                Some((prefix, hashes)) => strings.push(scanner.string(prefix, hashes)),
                None => scanner.keep_while(is_name),
            },
            _ => scanner.keep(),
        }
    }
    (scanner.code, strings)
}

struct Scanner<'a> {
    chars: &'a [char],
    at: usize,
    line: usize,
    code: String,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.code.push(c);
            self.advance(c);
        }
    }

    fn skip(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.code.push(if c == '\n' { '\n' } else { ' ' });
        self.advance(c);
        Some(c)
    }

    fn advance(&mut self, c: char) {
        self.at += 1;
        self.line += usize::from(c == '\n');
    }

    fn keep_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&keep) {
            self.keep();
        }
    }

    fn blank_while(&mut self, blank: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&blank) {
            self.skip();
        }
    }

    /// Block comments nest.
    fn blank_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.skip();
                    continue;
                }
            }
            self.skip();
            self.skip();
            if depth == 0 {
                return;
            }
        }
    }

    /// At the beginning of a name: the length of `r`, `b`, `br`, `c` or `cr` and the number of hashes, if they
    /// belong to a string.
    fn prefix(&self) -> Option<(usize, usize)> {
        for prefix in ["br", "cr", "r", "b", "c"] {
            let length = prefix.len();
            if !prefix.chars().enumerate().all(|(index, c)| self.peek(index) == Some(c)) {
                continue;
            }
            let hashes = (0..).take_while(|index| self.peek(length + index) == Some('#')).count();
            let raw = prefix.ends_with('r');
            if self.peek(length + hashes) == Some('"') && (raw || hashes == 0) {
                // The raw form without hashes still must not read escapes, so it is told apart by the prefix.
                return Some((length, hashes));
            }
        }
        None
    }

    fn string(&mut self, prefix: usize, hashes: usize) -> Literal {
        let raw = prefix > 0 && self.chars[self.at + prefix - 1] == 'r';
        for _ in 0..prefix + hashes {
            self.skip();
        }
        let line = self.line;
        self.keep();
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.keep();
                (0..hashes).for_each(|_| _ = self.skip());
                break;
            }
            text.extend(self.skip());
            if c == '\\' && !raw {
                text.extend(self.skip());
            }
        }
        Literal { line, text }
    }

    /// A character literal, or the mark of a lifetime.
    fn quote(&mut self) {
        let is_char = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.keep();
        if !is_char {
            return;
        }
        if self.skip() == Some('\\') {
            self.skip();
        }
        self.blank_while(|c| c != '\'');
        self.keep();
    }
}

/// Marks the lines of every item under `#[cfg(test)]`, and all of them under `#![cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    if code.contains("#![cfg(test)]") {
        lines.fill(true);
    }
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (start, _) in code.match_indices(attribute) {
            let end = item_end(code, start);
            let first = code[..start].matches('\n').count();
            let last = code[..end].matches('\n').count();
            lines[first..=last.min(code.lines().count() - 1)].fill(true);
        }
    }
    lines
}

/// Where the item ends whose first attribute begins at `start`.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    let mut in_attribute = false;
    for (offset, c) in code[start..].char_indices() {
        match c {
            '#' if depth == 0 => in_attribute = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == ']' {
                    in_attribute = false;
                } else if depth == 0 && c == '}' && !in_attribute {
                    return start + offset;
                }
            }
            ';' | ',' if depth == 0 => return start + offset,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = Source::parse(concat!(
            "a(); // now()\n",
            "/* now() /* nested */ now() */ b();\n",
            "let c = \"now() \\\" now()\"; d();\n",
            "let e = r#\"now() \" now()\"#; f();\n",
            "let g = '\"'; let h = '\\''; i::<'static>();\n",
        ));
        assert!(!source.code().contains("now"), "{}", source.code());
        for call in ["a();", "b();", "d();", "f();", "i::<'static>();"] {
            assert!(source.code().contains(call), "{call} is missing in {}", source.code());
        }
        assert_eq!(source.code().lines().count(), 5);
    }

    #[test]
    fn strings_keep_their_text_and_line() {
        let source = Source::parse("\n  let a = \"x\\\"y\";\n  let b = br##\"p\"#q\"##; let c = r\"\\\";\n");
        let found: Vec<_> =
            source.strings().iter().map(|literal| (literal.line, literal.text.as_str())).collect();
        assert_eq!(found, [(2, "x\\\"y"), (3, "p\"#q"), (3, "\\")]);
    }

    #[test]
    fn a_name_that_ends_like_a_prefix_is_not_a_literal() {
        let source = Source::parse("let our = number; br(); r#type();\n");
        assert!(source.strings().is_empty());
        assert!(source.code().contains("br(); r#type();"), "{}", source.code());
    }

    #[test]
    fn the_test_module_ends_with_its_brace() {
        let source = Source::parse(
            "fn a() {}\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n",
        );
        let test: Vec<_> = (1..=7).filter(|line| source.is_test(*line)).collect();
        assert_eq!(test, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_test_only_import_is_one_line() {
        let source = Source::parse("#[cfg(test)]\nuse a::{b, c};\nfn d() {}\n");
        assert!(source.is_test(2));
        assert!(!source.is_test(3));
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert!(mentions("std::thread::sleep(d)", "thread::sleep"));
        assert!(!mentions("fastrand::u8(..)", "rand::"));
        assert!(!mentions("snow()", "now()"));
        assert!(mentions("= now()", "now()"));
        assert!(!mentions("todo!", "tod"));
    }
}
