//! Owned, cheaply cloned names of kinds, queues, phases and tags.

use std::sync::Arc;

use crate::{error::Error, limits};

/// The name of a kind, a queue, a phase or a tag.
///
/// Names are owned, because kinds may be registered at run time, and shared, because a job is copied at every
/// transition.
pub type Name = Arc<str>;

/// Checks a name that came from outside.
///
/// `what` is the field's name as the caller knows it, for the message.
///
/// # Errors
/// A validation error that names the field and the limit, if the name is empty, longer than
/// [`limits::NAME_BYTES_MAX`], or holds a control character. U+0000 is one: PostgreSQL cannot store it.
pub fn check(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid(what, "must not be empty"));
    }
    if name.len() > limits::NAME_BYTES_MAX {
        let found = name.len();
        let limit = limits::NAME_BYTES_MAX;
        return Err(Error::invalid(what, format!("is {found} bytes long, the limit is {limit}; shorten it")));
    }
    if let Some(bad) = name.chars().find(|character| character.is_control()) {
        let code = u32::from(bad);
        return Err(Error::invalid(what, format!("holds the control character U+{code:04X}; remove it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "send_email", "größe", "a:b/c.d-e"] {
            check("kind", name).unwrap();
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_field_and_the_limit() {
        assert_eq!(check("kind", "").unwrap_err().to_string(), "`kind` must not be empty");
        assert!(check("queue", "a\0b").unwrap_err().to_string().contains("U+0000"));
        let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
        assert!(check("queue", &long).unwrap_err().to_string().contains("the limit is 200"));
    }
}
