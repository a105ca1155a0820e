//! Chosen members of what is listed: `--fields id,state,failure.message`.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::Table;
use crate::failure::{FailedTo, Failure, code};

/// Which members of each item are shown, as the command line has it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Fields {
    /// Shows these members of each item in place of the usual columns, as the API calls them: id,state. What a member
    /// holds is failure.message.
    #[arg(long = "fields", value_name = "NAME,...", value_delimiter = ',')]
    names: Vec<String>,
}

/// What is known about the members of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Members {
    /// As the description of the API has them, under this name.
    Of(&'static str),
    /// These.
    Only(&'static [&'static str]),
}

impl Fields {
    pub(crate) fn are_chosen(&self) -> bool {
        !self.names.is_empty()
    }
    /// Refuses what no item has, before anybody is asked.
    ///
    /// # Errors
    /// If there is no such member; the error names those that there are.
    pub(crate) fn check(&self, members: Members) -> Result<(), Failure> {
        let api = match members {
            Members::Of(_) if self.are_chosen() => serde_json::from_str(stepwell_http::openapi_json())
                .failed_to("read the description of the API")?,
            _ => Value::Null,
        };
        for name in &self.names {
            let missing = match members {
                Members::Of(schema) => missing(&api, &api["components"]["schemas"][schema], name),
                Members::Only(known) if known.contains(&&**name) => None,
                Members::Only(known) => Some(known.iter().map(|&name| name.to_owned()).collect()),
            };
            if let Some(known) = missing {
                let why = format!("there is no such field; there are {}", known.join(", "));
                return Err(Failure::with_code(code::USAGE, format!("show the field {name:?}"), why));
            }
        }
        Ok(())
    }

    /// The members as columns.
    pub(super) fn table(&self, items: &[Box<RawValue>]) -> Result<Table, Failure> {
        let mut table = Table::new(&self.names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>());
        for item in items {
            table.row(self.names.iter().map(|name| words(found(item, name).as_deref())));
        }
        Ok(table)
    }
    /// Each item with these members only, byte for byte; what it does not have is null.
    pub(super) fn objects(&self, items: &[Box<RawValue>]) -> Result<Vec<Box<RawValue>>, Failure> {
        items.iter().map(|item| self.object(item)).collect()
    }
    /// One item with these members only.
    pub(super) fn object(&self, item: &RawValue) -> Result<Box<RawValue>, Failure> {
        let member = |name: &String| {
            let value = found(item, name);
            format!("{}:{}", Value::from(&**name), value.as_deref().map_or("null", RawValue::get))
        };
        let members: Vec<String> = self.names.iter().map(member).collect();
        RawValue::from_string(format!("{{{}}}", members.join(","))).failed_to("choose the fields")
    }
    /// One item as cells.
    pub(super) fn cells(&self, item: &RawValue) -> Vec<String> {
        self.names.iter().map(|name| words(found(item, name).as_deref())).collect()
    }
}

/// The names that could stand where the first unknown part of a path stands; none if all of it is known.
fn missing(api: &Value, schema: &Value, path: &str) -> Option<Vec<String>> {
    let mut schema = schema;
    let mut before = String::new();
    for part in path.split('.') {
        schema = resolved(api, schema);
        // What may hold anything has members that nobody knows.
        let known = schema["properties"].as_object()?;
        let Some(next) = known.get(part) else {
            return Some(known.keys().map(|name| format!("{before}{name}")).collect());
        };
        schema = next;
        before.push_str(part);
        before.push('.');
    }
    None
}

/// A schema itself, where there is only a word for it.
fn resolved<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return &api["components"]["schemas"][name];
    }
    let of_several = schema["oneOf"].as_array().into_iter().flatten();
    of_several.into_iter().find(|one| one["$ref"].is_string()).map_or(schema, |one| resolved(api, one))
}

/// What an item has under a path, as it was written.
fn found(item: &RawValue, path: &str) -> Option<Box<RawValue>> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(item.get()).ok()?;
    let value = members.remove(name)?;
    match rest {
        Some(rest) => found(&value, rest),
        None => Some(value),
    }
}

/// A value in a cell: a text without its quotes, a list of them with commas, and nothing for null.
fn words(value: Option<&RawValue>) -> String {
    let text = value.map_or("null", RawValue::get);
    match serde_json::from_str(text) {
        Ok(Value::Null) => String::new(),
        Ok(Value::String(text)) => text,
        Ok(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        // As it was written: numbers keep their digits.
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> Fields {
        Fields { names: names.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn what_no_item_has_is_refused_with_what_there_is() {
        let check = |name| fields(&[name]).check(Members::Of("Job")).map_err(|failure| failure.to_string());
        for name in ["id", "failure.message", "attributes.customer", "progress.done"] {
            assert_eq!(check(name), Ok(()));
        }
        assert!(check("stat").unwrap_err().contains(" queue, "));
        assert!(check("failure.words").unwrap_err().contains("failure.message"));
        let only = fields(&["value"]).check(Members::Only(&["name"])).unwrap_err();
        assert!(only.to_string().ends_with("there are name"), "{only}");
    }

    #[test]
    fn members_stay_as_they_were_written() {
        let item =
            RawValue::from_string(r#"{"id":"a","n":1.50,"tags":["x","y"],"in":{"it":"b"}}"#.into()).unwrap();
        let fields = fields(&["n", "in.it", "tags", "none"]);
        assert_eq!(
            fields.object(&item).unwrap().get(),
            r#"{"n":1.50,"in.it":"b","tags":["x","y"],"none":null}"#
        );
        assert_eq!(fields.cells(&item), ["1.50", "b", "x,y", ""]);
    }
}
