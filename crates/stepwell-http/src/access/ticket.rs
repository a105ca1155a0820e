//! Tickets: a way in for a browser's `EventSource`, which cannot send headers. A ticket stands in an address, and
//! addresses end up in logs and histories, so it opens one stream once, and only for a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use stepwell::{Stepwell, Timestamp};

use super::Grant;
use crate::front::{Code, Problem};

/// How long a ticket is good.
const GOOD: Duration = Duration::from_mins(1);
/// Tickets that are out at once.
const TICKETS_MAX: usize = 10_000;

/// The tickets that this process has given out, by their hashes.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Out>>);

/// A ticket that is out: whose it is, and until when it is good.
type Out = (Arc<Grant>, Timestamp);

impl Tickets {
    /// Gives out a ticket, good until the time that is answered.
    pub(crate) fn give(
        &self,
        stepwell: &Stepwell,
        grant: Arc<Grant>,
    ) -> Result<(String, Timestamp), Problem> {
        let now = stepwell.clock().now();
        let text = format!("swt_{}", URL_SAFE_NO_PAD.encode(stepwell.random::<32>()));
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if out.len() >= TICKETS_MAX {
            out.retain(|_, (_, end)| *end > now);
        }
        if out.len() >= TICKETS_MAX {
            return Err(Problem::new(Code::Overloaded, "too many tickets are out").retry_after(GOOD));
        }
        out.insert(Sha256::digest(text.as_bytes()).into(), (grant, now + GOOD));
        Ok((text, now + GOOD))
    }
    /// Takes a ticket in. It is good once.
    pub(crate) fn take(&self, stepwell: &Stepwell, text: &str) -> Option<Arc<Grant>> {
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let (grant, end) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash)?;
        (end > stepwell.clock().now()).then_some(grant)
    }
}
