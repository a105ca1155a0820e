//! Pages of a list: where one ended, the next begins, whatever was added or removed meanwhile.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{Code, Problem};

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it. A page may hold less than was asked for, or nothing, although there is a next one.
    pub(crate) data: Vec<T>,
    /// Where it stands in the list.
    pub(crate) page: PageInfo,
}

/// Where a page stands in its list.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageInfo {
    /// The `cursor` of the next page; null if this is the last one.
    pub(crate) next: Option<String>,
    /// Pages are read forwards only.
    #[schema(value_type = Option<String>)]
    pub(crate) prev: Option<()>,
    /// The most that a page holds.
    pub(crate) limit: usize,
    /// The place in the event log before the page was read: follow the events after it, and nothing is missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pos: Option<String>,
}

/// Where a page ended, for one list and one filter only.
pub(crate) struct Cursor {
    filter: [u8; 6],
}

impl Cursor {
    /// For the list with this name and filter.
    pub(crate) fn of(list: &str, filter: &impl Serialize) -> Self {
        let mut hash = Sha256::new_with_prefix(list);
        hash.update(serde_json::to_vec(filter).unwrap_or_default());
        let digest = hash.finalize();
        let mut filter = [0; 6];
        filter.copy_from_slice(&digest[..6]);
        Self { filter }
    }
    pub(crate) fn write(&self, place: &impl Serialize) -> String {
        let mut bytes = self.filter.to_vec();
        bytes.extend(serde_json::to_vec(place).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }
    /// Reads a cursor.
    ///
    /// # Errors
    /// That it is none, or that it is of another list.
    pub(crate) fn read<P: DeserializeOwned>(&self, text: Option<&str>) -> Result<Option<P>, Problem> {
        let Some(text) = text else { return Ok(None) };
        let wrong = || {
            Problem::new(
                Code::CursorInvalid,
                "?cursor is not the cursor of a page with this filter and order",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let place = bytes.strip_prefix(&self.filter).ok_or_else(wrong)?;
        serde_json::from_slice(place).map(Some).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_with_its_list_and_filter() {
        let cursor = Cursor::of("jobs", &("mail", 1));
        let text = cursor.write(&42_i64);
        assert_eq!(cursor.read::<i64>(Some(&text)).unwrap(), Some(42));
        assert_eq!(cursor.read::<i64>(None).unwrap(), None);
        for other in [Cursor::of("jobs", &("mail", 2)), Cursor::of("audit", &("mail", 1))] {
            assert_eq!(other.read::<i64>(Some(&text)).unwrap_err().code, Code::CursorInvalid);
        }
        for text in ["", "x", "%%%", &text[1..]] {
            assert!(cursor.read::<i64>(Some(text)).is_err(), "{text}");
        }
    }
}
