//! Secrets, and whether they are found anywhere.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Secrets, with what each is.
#[derive(Default)]
pub(crate) struct Hoard {
    secrets: Vec<(String, String)>,
    found: Vec<String>,
}

impl Hoard {
    /// Keeps a secret that was made by others.
    pub(crate) fn keep(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what} is too short to be found by accident alone: {secret}");
        self.secrets.push((what.to_owned(), secret.to_owned()));
    }
    /// Makes one that is text.
    pub(crate) fn make(&mut self, what: &str) -> String {
        let secret = format!("canary{:02}feedfacecafe", self.secrets.len());
        self.keep(what, &secret);
        secret
    }
    /// Makes one in the form of a webhook's secret.
    pub(crate) fn make_secret(&mut self, what: &str) -> String {
        let key = STANDARD.encode(format!("canary{:02}feedfacecafe0123", self.secrets.len()));
        self.keep(what, &key);
        format!("whsec_{key}")
    }
    pub(crate) fn of(&self, what: &str) -> &str {
        &self.secrets.iter().find(|(kept, _)| kept == what).unwrap().1
    }

    /// Looks for all of them.
    pub(crate) fn look(&mut self, place: &str, text: &str) {
        for (what, secret) in &self.secrets {
            if holds(text, secret) {
                self.found.push(format!("{what} in {place}: {}", around(text, secret)));
            }
        }
    }
    /// Looks for one of them.
    pub(crate) fn look_for(&mut self, what: &str, place: &str, text: &str) {
        let secret = self.of(what).to_owned();
        if holds(text, &secret) {
            self.found.push(format!("{what} in {place}"));
        }
    }
    pub(crate) fn found(&self) -> &[String] {
        &self.found
    }
}

/// Whether a text holds a secret, as it is or in a form from which it can be read back.
fn holds(text: &str, secret: &str) -> bool {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", secret.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']).to_owned();
    let decoded = STANDARD.decode(secret).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let forms = [secret.to_owned(), STANDARD.encode(secret).trim_end_matches('=').to_owned(), hex, bytes];
    forms.into_iter().chain(decoded).any(|form| text.contains(&form))
}

fn around<'t>(text: &'t str, secret: &str) -> &'t str {
    let at = text.find(secret).unwrap_or(0);
    let (from, to) = (at.saturating_sub(80), (at + secret.len() + 40).min(text.len()));
    &text[text.floor_char_boundary(from)..text.ceil_char_boundary(to)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_whatever_form_and_nothing_else_is() {
        let mut hoard = Hoard::default();
        let text = hoard.make("a text");
        let key = hoard.make_secret("a key");
        let key = key.strip_prefix("whsec_").unwrap();
        hoard.look("an answer", "{\"id\": \"canary\", \"secret\": \"whsec_\"}");
        assert!(hoard.found().is_empty());
        let decoded = String::from_utf8(STANDARD.decode(key).unwrap()).unwrap();
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        let debugged = format!("{:?}", text.as_bytes());
        let forms = [format!("x{text}y"), key.to_owned(), decoded, hex, STANDARD.encode(&text), debugged];
        for (nth, form) in forms.into_iter().enumerate() {
            hoard.look("an answer", &format!("ä{form}ä"));
            assert_eq!(hoard.found().len(), nth + 1, "{form}");
        }
        hoard.look_for("a text", "a file", &text);
        assert_eq!(hoard.found().len(), 7);
    }
}
