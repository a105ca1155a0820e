//! Times as they are written for others: RFC 3339.

use serde::{Serializer, ser::SerializeSeq};
use stepwell_core::Timestamp;

use crate::wire::rfc3339;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn one<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
pub(super) fn some<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_some(&rfc3339(*at)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn all<S: Serializer>(times: &[Timestamp], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(times.len()))?;
    for at in times {
        list.serialize_element(&rfc3339(*at))?;
    }
    list.end()
}
