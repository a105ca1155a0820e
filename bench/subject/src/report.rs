//! The one line of JSON that a subject prints.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Durability, Result, syncs};

/// What was measured, by name; the unit is the name's last word.
pub type Figures = BTreeMap<String, f64>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub settings: String,
    /// Which store, and its version.
    pub store: String,
    pub durability: Durability,
    /// How often the process itself asked for a file to be made durable, over its whole life.
    pub syncs: u64,
    pub figures: Figures,
}

impl Report {
    #[must_use]
    pub fn new(settings: &str, store: String, durability: Durability, figures: Figures) -> Self {
        Self { settings: settings.into(), store, durability, syncs: syncs::count(), figures }
    }

    /// # Errors
    /// If the subject did not measure it.
    pub fn figure(&self, name: &str) -> Result<f64> {
        self.figures.get(name).copied().ok_or_else(|| format!("the report has no {name}").into())
    }

    /// # Errors
    /// If a figure cannot be written as JSON.
    pub fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}
