//! Whether the store and the program belong together.

use serde_json::Value;
use stepwell::Schema;

use super::finding::Finding;
use crate::{failure::Failure, store::StoreAddress};

/// What stands against opening a store, which would bring its schema up to date.
///
/// # Errors
/// If the store cannot be looked at.
pub(super) async fn before_opening(store: &StoreAddress) -> Result<Option<Finding>, Failure> {
    if !store.exists() {
        return Ok(None);
    }
    let found = store.builder().stored_schema().await.map_err(|error| store.failed_to("look at", error))?;
    let Some(Schema { version, known }) = found else {
        let fix = format!("name another with --store, or make one: stepwell serve --store {store}");
        return Ok(Some(Finding::problem("schema", "there is no store of Stepwell's", fix)));
    };
    if version < known {
        let text = format!("version {version}, and this program has {known}");
        let fix = "back the store up, replace the programs that use it, and start one: stepwell db migrate";
        return Ok(Some(Finding::problem("schema", text, fix)));
    }
    // Of a database it is seen when it is opened: an older program may be allowed to work beside a newer one.
    Ok((version > known && store.file().is_some()).then(|| ahead(version, known)))
}

fn ahead(version: u32, known: u32) -> Finding {
    let text = format!("version {version}, and this program knows versions up to {known}");
    Finding::problem("schema", text, "use the release that has opened it, or a later one")
}

/// What an open store says.
pub(super) fn schema(health: &Value) -> Option<Finding> {
    let schema = &health["schema"];
    let (version, known) = (schema["version"].as_u64()?, schema["known"].as_u64()?);
    let text = format!("version {version} of {known}");
    Some(match version > known {
        true => {
            let text = format!("version {version}, and the server knows versions up to {known}");
            Finding::warning("schema", text, "bring this server up to the release of the others")
        }
        false => Finding::ok("schema", text),
    })
}
