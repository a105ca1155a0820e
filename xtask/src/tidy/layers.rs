//! Which crate may depend on which: decide, persist, run, serve, use, and never upwards.

use super::{fault::Fault, file::File};

/// A crate and the crates of this workspace below it.
struct Layer {
    name: &'static str,
    /// What it may be built on.
    uses: &'static [&'static str],
    /// What its tests may use on top of that. A path without a version is left out when a crate is published, so
    /// these may be unpublished crates.
    tests_use: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { name: "stepwell-core", uses: &[], tests_use: &[] },
    // Servers to test on. It knows nothing of a store, and `cargo xtask` starts them before there is anything to test.
    Layer { name: "stepwell-postgres-rig", uses: &[], tests_use: &[] },
    Layer { name: "stepwell-memory", uses: &["stepwell-core"], tests_use: &["stepwell-store-tests"] },
    Layer {
        name: "stepwell-sqlite",
        uses: &["stepwell-core"],
        tests_use: &["stepwell-memory", "stepwell-store-tests"],
    },
    Layer {
        name: "stepwell-postgres",
        uses: &["stepwell-core"],
        tests_use: &["stepwell-memory", "stepwell-postgres-rig", "stepwell-store-tests"],
    },
    Layer {
        // The whole crate is test code, and its property tests run a store beside the model.
        name: "stepwell-store-tests",
        uses: &[
            "stepwell-core",
            "stepwell-memory",
            "stepwell-postgres",
            "stepwell-postgres-rig",
            "stepwell-sqlite",
        ],
        tests_use: &[],
    },
    Layer {
        // It knows nothing of a store; its tests put it under one.
        name: "stepwell-sim",
        uses: &[],
        tests_use: &["stepwell", "stepwell-core", "stepwell-sqlite", "stepwell-store-tests"],
    },
    Layer {
        name: "stepwell",
        uses: &["stepwell-core", "stepwell-memory", "stepwell-postgres", "stepwell-sqlite"],
        tests_use: &["stepwell", "stepwell-postgres-rig", "stepwell-store-tests"],
    },
    Layer { name: "stepwell-http", uses: &["stepwell"], tests_use: &[] },
    Layer { name: "stepwell-dashboard", uses: &["stepwell", "stepwell-http"], tests_use: &[] },
    Layer {
        name: "stepwell-cli",
        uses: &["stepwell", "stepwell-dashboard", "stepwell-http"],
        tests_use: &["stepwell-postgres-rig"],
    },
    Layer {
        name: "stepwell-examples",
        uses: &["stepwell", "stepwell-dashboard", "stepwell-http"],
        tests_use: &[],
    },
    Layer { name: "xtask", uses: &["stepwell-postgres-rig"], tests_use: &[] },
];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    let is_member = file.path.starts_with("crates/")
        || matches!(file.path.split_once('/'), Some(("examples" | "xtask", _)));
    if file.name() != "Cargo.toml" || !is_member {
        return Vec::new();
    }
    let manifest = Manifest::read(&file.text);
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == manifest.name) else {
        let message =
            format!("the crate `{}` has no layer: give it one in xtask/src/tidy/layers.rs", manifest.name);
        return vec![file.fault(0, message)];
    };
    manifest
        .edges
        .iter()
        .filter(|edge| !layer.allows(edge))
        .map(|edge| file.fault(edge.line, format!("`{}` must not depend on `{}`", layer.name, edge.to)))
        .collect()
}

impl Layer {
    fn allows(&self, edge: &Edge) -> bool {
        self.uses.contains(&edge.to.as_str()) || edge.for_tests && self.tests_use.contains(&edge.to.as_str())
    }
}

/// What a Cargo.toml says about this workspace's crates.
#[derive(Debug, Default)]
struct Manifest {
    name: String,
    edges: Vec<Edge>,
}

#[derive(Debug, PartialEq, Eq)]
struct Edge {
    line: usize,
    to: String,
    for_tests: bool,
}

impl Manifest {
    /// Reads the few forms of TOML in which a dependency can be written.
    fn read(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
                // `[dependencies.name]` is a dependency by itself.
                if let Some((table, name)) =
                    section.rsplit_once("dependencies.").map(|(table, name)| (table.to_owned(), name))
                {
                    manifest.depend(index + 1, name, table.ends_with("dev-"));
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if section == "package" && key.trim() == "name" {
                manifest.name = quoted(value).to_owned();
            }
            if section.ends_with("dependencies") {
                let key = key.split('.').next().unwrap_or_default().trim().trim_matches('"');
                let name = renamed(value).unwrap_or(key);
                manifest.depend(index + 1, name, section.ends_with("dev-dependencies"));
            } else if section.contains("dependencies.") && key.trim() == "package" {
                manifest.depend(index + 1, quoted(value), section.contains("dev-dependencies."));
            }
        }
        manifest
    }

    fn depend(&mut self, line: usize, name: &str, for_tests: bool) {
        if name == "stepwell" || name.starts_with("stepwell-") {
            self.edges.push(Edge { line, to: name.to_owned(), for_tests });
        }
    }
}

/// The name of the crate behind `key = { package = "name", .. }`.
fn renamed(value: &str) -> Option<&str> {
    value.split(['{', ',', '}']).find_map(|field| {
        let (key, name) = field.split_once('=')?;
        (key.trim() == "package").then(|| quoted(name))
    })
}

/// The text between the first two quotation marks.
fn quoted(value: &str) -> &str {
    value.split('"').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n\n{rest}\n");
        let file = File::new(format!("crates/{name}/Cargo.toml"), text);
        check(&file).into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn arrows_that_point_down_pass() {
        assert!(faults("stepwell-core", "[dependencies]\nserde.workspace = true\n").is_empty());
        assert!(
            faults("stepwell-sqlite", "[dependencies]\nstepwell-core.workspace = true # the decisions\n")
                .is_empty()
        );
        assert!(
            faults("stepwell", "[dependencies]\nstepwell-sqlite = { workspace = true, optional = true }\n")
                .is_empty()
        );
        assert!(faults("stepwell-cli", "[dependencies]\nstepwell.workspace = true\n").is_empty());
    }

    #[test]
    fn every_form_of_an_arrow_that_points_up_is_caught() {
        for rest in [
            "[dependencies]\nstepwell.workspace = true",
            "[dependencies]\nstepwell = { path = \"../stepwell\" }",
            "[dependencies]\nstepwell = { path = \"../package\" }",
            "[dependencies]\n\"stepwell\" = \"0.1\"",
            "[dependencies]\nqueue = { package = \"stepwell\", version = \"0.1\" }",
            "[dependencies.stepwell]\nworkspace = true",
            "[dependencies.queue]\npackage = \"stepwell\"",
            "[build-dependencies]\nstepwell.workspace = true",
            "[dev-dependencies]\nstepwell.workspace = true",
            "[target.'cfg(unix)'.dependencies]\nstepwell.workspace = true",
        ] {
            assert_eq!(
                faults("stepwell-sqlite", rest),
                ["`stepwell-sqlite` must not depend on `stepwell`"],
                "{rest}"
            );
        }
        assert_eq!(faults("stepwell-core", "[dependencies]\nstepwell-memory.workspace = true").len(), 1);
        assert_eq!(faults("stepwell-cli", "[dependencies]\nstepwell-sqlite.workspace = true").len(), 1);
    }

    #[test]
    fn the_stores_meet_the_store_tests_only_as_tests() {
        assert!(
            faults("stepwell-store-tests", "[dependencies]\nstepwell-sqlite.workspace = true").is_empty()
        );
        assert!(
            faults("stepwell-sqlite", "[dev-dependencies]\nstepwell-store-tests.workspace = true").is_empty()
        );
        assert_eq!(
            faults("stepwell-sqlite", "[dependencies]\nstepwell-store-tests.workspace = true").len(),
            1
        );
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        assert_eq!(faults("stepwell-mongo", "").len(), 1);
    }

    #[test]
    fn the_table_itself_points_down() {
        for (index, layer) in LAYERS.iter().enumerate() {
            let below: Vec<_> = LAYERS[..index].iter().map(|layer| layer.name).collect();
            assert!(layer.uses.iter().all(|name| below.contains(name)), "{}", layer.name);
        }
    }
}
