//! The one door for randomness: ids, tokens and jitter.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, rngs::StdRng};
use stepwell_core::{JobId, SessionId, Timestamp, Token};

/// Where random bits come from.
pub(crate) struct Entropy {
    random: Mutex<StdRng>,
    /// Back-off takes its upper bound, so that tests are exact.
    steady: bool,
}

impl Entropy {
    pub(crate) fn new(steady: bool) -> Self {
        Self { random: Mutex::new(rand::make_rng()), steady }
    }
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
    pub(crate) fn job_id(&self, now: Timestamp) -> JobId {
        JobId::from_parts(now, self.bytes())
    }
    pub(crate) fn session_id(&self, now: Timestamp) -> SessionId {
        SessionId::from_parts(now, self.bytes())
    }
    pub(crate) fn tokens(&self, n: usize) -> Vec<Token> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut token = || {
            let mut bytes = [0; 16];
            random.fill_bytes(&mut bytes);
            Token::from_bytes(bytes)
        };
        (0..n).map(|_| token()).collect()
    }
    /// The id of a new event log.
    pub(crate) fn generation(&self) -> [u8; 16] {
        self.bytes()
    }
    /// The bytes of a secret.
    #[cfg(feature = "webhooks")]
    pub(crate) fn secret<const N: usize>(&self) -> [u8; N] {
        self.bytes()
    }
    /// Between 0 and 1.
    pub(crate) fn jitter(&self) -> f64 {
        if self.steady {
            return 1.0;
        }
        let bits = u64::from_le_bytes(self.bytes()) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}
