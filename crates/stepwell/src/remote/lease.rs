//! What a remote worker shows.

use std::{fmt, str::FromStr};

use stepwell_core::{Error, JobId, Name, SessionId, id::Token, lease::Fence};

/// The beginning of a token, by which people and scanners know it.
const MARK: &str = "swl_";
/// Bytes before the phase's name: session, job, epoch, token.
const HEAD: usize = 16 + 16 + 8 + 16;

/// The lease of one phase of one job: who shows it may report on that phase, until the lease is lost.
///
/// It is a secret, like any other key: its text is for the worker, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    pub(super) session: SessionId,
    pub(super) job: JobId,
    pub(super) epoch: u64,
    pub(super) token: Token,
    pub(super) phase: Name,
}

impl LeaseToken {
    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }
    pub(super) fn fence(&self) -> Fence {
        Fence::Owner { epoch: self.epoch, token: self.token }
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        let epoch = self.epoch.to_be_bytes();
        let parts: [&[u8]; 5] = [
            self.session.as_bytes(),
            self.job.as_bytes(),
            &epoch,
            self.token.as_bytes(),
            self.phase.as_bytes(),
        ];
        parts.into_iter().flatten().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseToken(job {}, phase {}, epoch {})", self.job, self.phase, self.epoch)
    }
}

impl FromStr for LeaseToken {
    type Err = Error;
    /// What nobody can have been given is as good as a lease that was lost.
    fn from_str(text: &str) -> Result<Self, Error> {
        read(text).ok_or_else(Error::lease_lost)
    }
}

fn read(text: &str) -> Option<LeaseToken> {
    let digits = text.strip_prefix(MARK)?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if digits.len() % 2 != 0 || digits.len() / 2 > HEAD + stepwell_core::limits::NAME_BYTES_MAX {
        return None;
    }
    let bytes: Vec<u8> = digits.chunks_exact(2).map(byte).collect::<Option<_>>()?;
    let (head, phase) = bytes.split_at_checked(HEAD)?;
    let part = |from: usize| head[from..from + 16].try_into().ok();
    Some(LeaseToken {
        session: SessionId::from_bytes(part(0)?),
        job: JobId::from_bytes(part(16)?),
        epoch: u64::from_be_bytes(head[32..40].try_into().ok()?),
        token: Token::from_bytes(part(40)?),
        phase: std::str::from_utf8(phase).ok().filter(|name| !name.is_empty())?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        let lease = LeaseToken {
            session: SessionId::from_bytes([1; 16]),
            job: JobId::from_bytes([2; 16]),
            epoch: 300,
            token: Token::from_bytes([254; 16]),
            phase: "größe".into(),
        };
        let text = lease.to_string();
        assert_eq!(text.parse::<LeaseToken>().unwrap(), lease);
        assert!(!format!("{lease:?}").contains("fefe"), "what it opens is not shown");
        for wrong in
            ["", "swl_", "swl_00", &text[..text.len() - 1], &text[4..], &format!("{text}zz"), &text[..116]]
        {
            assert!(wrong.parse::<LeaseToken>().unwrap_err().is_lease_lost(), "{wrong}");
        }
    }
}
