//! What differs from one time to the next, under names that do not.

/// Letters of a UUID.
const UUID: usize = 36;
/// What stands before what looks like a token's id, and is none.
const HASH: &str = "\"hash\":\"";
/// Letters of a token's id.
const TOKEN: usize = 16;
/// Letters of a time.
const TIME: usize = "2027-03-01T09:00:00.000000Z".len();
/// Digits by which people name an id.
const DIGITS: usize = 6;

/// The ids that were seen, in the order in which they were.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<String>);

impl Ids {
    /// Text with names in place of what differs.
    pub(crate) fn redact(&mut self, text: &str) -> String {
        let mut redacted = String::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let starts_word = !redacted.ends_with(|before: char| before.is_ascii_alphanumeric());
            if let Some(id) = rest.get(..UUID).filter(|id| starts_word && is_uuid(id)) {
                redacted.push_str(&format!("<{}>", self.number(id)));
                rest = &rest[UUID..];
            } else if let Some(id) =
                rest.get(..TOKEN).filter(|id| starts_word && is_token(id, rest) && !redacted.ends_with(HASH))
            {
                redacted.push_str(&format!("<{}>", self.number(id)));
                rest = &rest[TOKEN..];
            } else if let Some(length) = secret(rest) {
                redacted.push_str("<secret>");
                rest = &rest[length..];
            } else if rest.get(..TIME).is_some_and(is_time) {
                redacted.push_str("<time>");
                rest = &rest[TIME..];
            } else if let Some(length) = count(&redacted, rest) {
                redacted.push_str("<n>");
                rest = &rest[length..];
            } else if let Some(length) = measured(&redacted, rest).filter(|_| starts_word) {
                redacted.push_str("<n>");
                rest = &rest[length..];
            } else if let Some(length) = size(rest).filter(|_| starts_word && !redacted.ends_with('.')) {
                redacted.push_str("<size>");
                rest = &rest[length..];
            } else if let Some(length) = span(rest).filter(|_| starts_word && !redacted.ends_with('.')) {
                redacted.push_str("<span>");
                rest = &rest[length..];
            } else {
                redacted.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        // How often progress is told depends on how long it takes, and so do the places of events.
        let lines = redacted.lines().filter(|line| !line.contains("job:progress\t"));
        let numbered = |line: &str| match line.split_once("\t<time>\tjob:") {
            Some((pos, rest)) if pos.parse::<u64>().is_ok() => format!("<n>\t<time>\tjob:{rest}\n"),
            _ => format!("{line}\n"),
        };
        lines.map(numbered).collect()
    }
    fn number(&mut self, id: &str) -> usize {
        if !self.0.iter().any(|known| known == id) {
            self.0.push(id.to_owned());
        }
        self.0.iter().position(|known| known == id).unwrap() + 1
    }
    /// A command with ids in place of their names.
    pub(crate) fn fill_in(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (n, id) in self.0.iter().enumerate() {
            command = command.replace(&format!("<{}>", n + 1), id);
            command = command.replace(&format!("<{}…>", n + 1), &id[id.len() - DIGITS..]);
        }
        command
    }
}

/// Whether it is the id of a token.
fn is_token(id: &str, text: &str) -> bool {
    let is_hex = |letter: char| matches!(letter, '0'..='9' | 'a'..='f');
    // A number is none.
    id.chars().all(is_hex)
        && id.contains(|letter: char| letter.is_ascii_lowercase())
        && !text[TOKEN..].starts_with(is_hex)
}

/// How long the secret of a webhook, or a token, at the beginning is.
fn secret(text: &str) -> Option<usize> {
    if let Some(rest) = text.strip_prefix("sw_") {
        let rest = rest
            .trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
        return Some(text.len() - rest.len());
    }
    let rest = text.strip_prefix("whsec_")?;
    let is_base64 = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=');
    Some(text.len() - rest.trim_start_matches(is_base64).len())
}

/// How long a number is that counts changes, of which there may be more or fewer.
fn count(before: &str, text: &str) -> Option<usize> {
    let counted = [
        "\"version\":",
        "\"nextSeq\":",
        "\"pos\":",
        "\"versionBefore\":",
        "\"versionAfter\":",
        "\"known\":",
        "before\t",
        "after\t",
        "schema\t",
        "schema\t<n> of ",
        "schema\tversion ",
        "schema\tversion <n> of ",
        "\"schema\",\"status\":\"ok\",\"text\":\"version ",
        "\"schema\",\"status\":\"ok\",\"text\":\"version <n> of ",
    ];
    let is_counted = counted.iter().any(|name| before.ends_with(name));
    let length = text.find(|letter: char| !letter.is_ascii_digit()).filter(|length| *length > 0)?;
    is_counted.then_some(length)
}

/// How long a number is that was measured, or that makes a name one's own.
fn measured(before: &str, text: &str) -> Option<usize> {
    let length = text.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '_'))?;
    let is_measured = [" jobs/s", " ms"].iter().any(|unit| text[length..].starts_with(unit));
    let is_own = before.ends_with(".stepwell-bench-");
    // Those of results are few, and always the same.
    let is_bytes = length > 3 && ["\"bytes\":", "\"logBytes\":"].iter().any(|name| before.ends_with(name));
    (length > 0 && (is_measured || is_own || is_bytes)).then_some(length)
}

/// How long a size at the beginning is: `4.0 KiB`.
fn size(text: &str) -> Option<usize> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').filter(|n| *n > 0)?;
    let unit = [" bytes", " KiB", " MiB", " GiB", " TiB"]
        .into_iter()
        .find(|unit| text[digits..].starts_with(unit))?;
    Some(digits + unit.len())
}

fn is_uuid(text: &str) -> bool {
    text.char_indices().all(|(n, letter)| match n {
        8 | 13 | 18 | 23 => letter == '-',
        _ => letter.is_ascii_hexdigit(),
    })
}

fn is_time(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    text.chars().zip(shape.chars()).all(|(letter, wanted)| match wanted {
        'd' => letter.is_ascii_digit(),
        _ => letter == wanted,
    })
}

/// How long a span at the beginning is: `12ms`, `3.4s`, `1m02s`.
fn span(text: &str) -> Option<usize> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').filter(|n| *n > 0)?;
    let rest = &text[digits..];
    let unit = ["ms", "s"].into_iter().find(|unit| rest.starts_with(unit)).map(str::len);
    let length = digits
        + match (unit, rest.strip_prefix('m')) {
            (Some(unit), _) => unit,
            (None, Some(seconds)) => 1 + span(seconds)?,
            (None, None) => return None,
        };
    let is_word = text[length..].chars().next().is_none_or(|letter| !letter.is_ascii_alphanumeric());
    is_word.then_some(length)
}

#[test]
fn what_differs_gets_a_name() {
    let mut ids = Ids::default();
    let (first, second) = ("01981b3e-8a4f-7c06-9c39-4d1f6a7be2aa", "01981b3e-8a4f-7c06-9c39-4d1f6a7be2ab");
    let text =
        format!("{second} {first} {second} 2027-03-01T09:00:00.123456Z 12ms 3.4s 1m02s 1/20 steps 2x3s");
    assert_eq!(ids.redact(&text), "<1> <2> <1> <time> <span> <span> <span> 1/20 steps 2x3s\n");
    let text = "12\t2027-03-01T09:00:00.123456Z\tjob:failed\n{\"version\":12} whsec_a+/b=";
    assert_eq!(ids.redact(text), "<n>\t<time>\tjob:failed\n{\"version\":<n>} <secret>\n");
    assert_eq!(ids.fill_in("get <2> <1…>"), format!("get {first} 7be2ab"));
}
