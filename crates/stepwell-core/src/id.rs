//! Ids and tokens. They are made elsewhere, from a time and random bits that are passed in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{error::Error, time::Timestamp};

/// The id of a job: a UUID of version 7 (RFC 9562).
///
/// Ids sort roughly by the time of enqueueing. Nothing in Stepwell relies on that order for correctness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

/// The id of a session: one start of one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

macro_rules! uuid_id {
    ($Id:ident, $what:literal) => {
        impl $Id {
            /// Makes an id from a time and ten random bytes.
            #[must_use]
            pub fn from_parts(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
            /// The id as its 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
            /// The id with these 16 bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
            /// The last six hexadecimal digits: enough for a person, and random, unlike the first ones.
            #[must_use]
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text[26..].to_owned()
            }
        }

        impl From<Uuid> for $Id {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
        impl From<$Id> for Uuid {
            fn from(id: $Id) -> Self {
                id.0
            }
        }
        impl fmt::Display for $Id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $Id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $Id {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|error| Error::invalid($what, format!("is not a UUID ({error}): {text:?}")))
            }
        }
    };
}
uuid_id!(JobId, "job id");
uuid_id!(SessionId, "session id");

/// A lease token: 128 random bits, new at every claim.
///
/// The epoch alone would not do: after a restore from a backup a counter can repeat, a token cannot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token([u8; 16]);

impl Token {
    /// The token with these bits.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    /// The bits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

// A token is a secret of its owner, and debug output ends up in logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes() {
        let id = JobId::from_parts(Timestamp::from_micros(1_800_000_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert_eq!(JobId::from_bytes(*id.as_bytes()), id);
        assert_eq!(Uuid::from(id).get_version_num(), 7);
        assert_eq!(id.short().len(), 6);
        assert!("7f3a2b".parse::<JobId>().unwrap_err().to_string().starts_with("`job id` is not a UUID"));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        assert_eq!(format!("{:?}", Token::from_bytes([9; 16])), "Token(…)");
    }
}
