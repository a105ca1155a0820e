//! The TypeScript client, installed and built in a copy under the build directory, once for all tests.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// What is not a source of it.
const OUTPUT: [&str; 3] = ["dist", "dist-tests", "node_modules"];

/// The client, ready to be imported.
pub(crate) struct TypeScript {
    pub(crate) place: PathBuf,
}

impl TypeScript {
    /// Builds it, unless it is built from just these sources.
    pub(crate) fn built() -> Self {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let place = temporary.join("typescript-client");
        // Tests run in processes of their own, and one of them builds.
        let lock = File::create(temporary.join("typescript-client.lock")).unwrap();
        lock.lock().unwrap();
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript"));
        let mut hasher = DefaultHasher::new();
        sources.hash(&mut hasher);
        let (made, wanted) = (place.join("built"), hasher.finish().to_string());
        if fs::read_to_string(&made).ok().as_ref() != Some(&wanted) {
            fs::remove_dir_all(&place).ok();
            for (name, bytes) in sources {
                let copy = place.join(name);
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::write(copy, bytes).unwrap();
            }
            let client = Self { place: place.clone() };
            client.npm(&["ci", "--no-audit", "--no-fund", "--prefer-offline"]);
            client.npm(&["run", "build"]);
            fs::write(made, wanted).unwrap();
        }
        Self { place }
    }
    /// Runs npm in it, which must succeed, and answers with what it said.
    pub(crate) fn npm(&self, words: &[&str]) -> String {
        self.run(Command::new("npm").args(words))
    }
    /// Runs a command in it, which must succeed, and answers with what it said.
    pub(crate) fn run(&self, command: &mut Command) -> String {
        let output = command.current_dir(&self.place).output();
        let output =
            output.expect("npm is installed, with Node.js 20.11 or newer: the tests of the client need them");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{command:?}\n{said}\n{told}");
        said
    }
}

/// The files of the client, by their names.
fn sources(client: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut sources = Vec::new();
    let mut open = vec![client.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if !entry.file_type().unwrap().is_dir() {
                sources.push((path.strip_prefix(client).unwrap().to_owned(), fs::read(path).unwrap()));
            } else if !OUTPUT.iter().any(|name| entry.file_name() == *name) {
                open.push(path);
            }
        }
    }
    sources.sort();
    sources
}
