//! Who asks, and what they may do.
//!
//! - `scope`, `grant`: what may be allowed, and what is allowed to somebody.
//! - `policy`: how an application decides who somebody is.
//! - `secret`, `tokens`: tokens as text, and as they are stored.
//! - `ticket`: a way in for a browser's `EventSource`, which cannot send headers.
//! - `rates`: how often.
//! - `guard`: the check before every operation, and what is written down about every change.
//! - `audit`: the record of changes.

mod audit;
mod grant;
mod guard;
mod policy;
mod rates;
mod scope;
mod secret;
mod ticket;
mod tokens;

pub(crate) use audit::{Entry, SCOPE as AUDIT};
pub use grant::Grant;
pub(crate) use grant::{Caller, Unlimited};
pub(crate) use guard::{Guard, Need};
pub use policy::{Access, Refusal};
pub(crate) use rates::Rates;
pub use scope::Scope;
pub(crate) use secret::hex;
pub(crate) use ticket::Tickets;
pub use tokens::{NewToken, Rotation, TokenRecord, Tokens};
