//! What `stepwell config` writes: a first file, and single settings.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::json;
use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

use crate::{
    config::Config,
    failure::{FailedTo, Failure, code},
    output::Output,
};

/// What a file says that is made for a directory.
const FIRST: &str = include_str!("first.toml");
/// What a file says that is made for a user.
const FIRST_OF_USER: &str = include_str!("first_of_user.toml");

/// Which file is written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Whether it holds for whatever the user does, and not for one directory.
    is_shared: bool,
}

impl Place {
    /// The user's file; or the one that is named, or `./stepwell.toml`.
    pub(super) fn of(user: bool, named: Option<&Path>) -> Result<Self, Failure> {
        if !user {
            let path = named.map_or_else(|| PathBuf::from(Config::NAME), Path::to_owned);
            return Ok(Self { path, is_shared: false });
        }
        let path = Config::of_user().ok_or_else(|| {
            Failure::to(
                "find the user's file",
                "neither XDG_CONFIG_HOME nor HOME says where; name a file with --config",
            )
        })?;
        Ok(Self { path, is_shared: true })
    }
    fn shown(&self) -> String {
        self.path.display().to_string()
    }
    fn make_room(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(parent) if self.is_shared => fs::create_dir_all(parent),
            _ => Ok(()),
        }
    }
}

/// Writes a file to begin with, where there is none.
pub(super) fn init(out: &Output, place: &Place) -> Result<(), Failure> {
    let what = format!("make {}", place.shown());
    place.make_room().failed_to(&what)?;
    let made = fs::File::create_new(&place.path)
        .and_then(|mut file| file.write_all(if place.is_shared { FIRST_OF_USER } else { FIRST }.as_bytes()));
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let why = "it is there already; change it with an editor, or with stepwell config set";
            return Err(Failure::with_code(code::CONFLICT, what, why));
        }
        made => made.failed_to(what)?,
    }
    match out.is_json() {
        true => out.line(&json!({ "path": place.path }).to_string())?,
        false => out.line(&place.shown())?,
    }
    out.hint("stepwell config show --origin");
    Ok(())
}

/// Sets one setting. What else the file says stays as it is, comments too.
pub(super) fn set(
    out: &Output,
    place: &Place,
    profile: Option<&str>,
    name: &str,
    value: &str,
) -> Result<(), Failure> {
    let what = format!("set {name:?} in {}", place.shown());
    let before = match fs::read_to_string(&place.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.failed_to(&what)?,
    };
    let keys = keys(profile, name).map_err(|why| Failure::with_code(code::USAGE, &what, why))?;
    let after = changed(place, &what, &before, &keys, value)?;
    place.make_room().and_then(|()| replace(&place.path, &after)).failed_to(what)?;
    let name = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    match out.is_json() {
        true => {
            out.line(&json!({ "name": name, "value": value, "origin": place.shown() }).to_string())?;
        }
        false => out.line(&format!("{name}\t{value}\t{}", place.shown()))?,
    }
    out.hint("stepwell config show --origin");
    Ok(())
}

/// The way to a setting: whom commands ask stands in a table of its own, as the profile says which.
fn keys(profile: Option<&str>, name: &str) -> Result<Vec<Key>, String> {
    let keys = Key::parse(name).map_err(|_| {
        "it is the name of a setting, such as serve.listen, server, or queues.\"a b\".concurrency".to_owned()
    })?;
    if keys.len() > 1 {
        return match profile {
            Some(_) => Err("a profile has server, store, token_file and token_cmd".to_owned()),
            None => Ok(keys),
        };
    }
    let table: Vec<Key> = match profile {
        Some(profile) => vec![Key::new("profiles"), Key::new(profile)],
        None => vec![Key::new("client")],
    };
    Ok(table.into_iter().chain(keys).collect())
}

/// The file's text with the setting in it, if that is one that can be understood.
fn changed(place: &Place, what: &str, before: &str, keys: &[Key], value: &str) -> Result<String, Failure> {
    let document: DocumentMut = before
        .parse()
        .map_err(|_| Config::check(&place.path, before, place.is_shared).err())
        .map_err(|failure| failure.unwrap_or_else(|| Failure::to(what, "the file is no TOML")))?;
    let mut refused = None;
    // A number, a list, true and false are meant as such where they can be; everything else is a text.
    let as_it_stands = value.parse::<Value>().ok();
    for value in as_it_stands.into_iter().chain([Value::from(value)]) {
        let mut document = document.clone();
        put(document.as_table_mut(), keys, value)
            .map_err(|key| Failure::to(what, format!("{key} is no table in it")))?;
        let after = document.to_string();
        match Config::check(&place.path, &after, place.is_shared) {
            Ok(()) => return Ok(after),
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::to(what, "it has no value")))
}

/// Puts a value under its keys, and makes the tables on the way.
fn put(table: &mut dyn TableLike, keys: &[Key], mut value: Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else { return Ok(()) };
    if !rest.is_empty() {
        let mut made = Table::new();
        // One that only holds others has no line of its own.
        made.set_implicit(rest.len() > 1);
        let item = table.entry(key.get()).or_insert(Item::Table(made));
        let inner = item.as_table_like_mut().ok_or_else(|| key.to_string())?;
        return put(inner, rest, value);
    }
    // What stands behind it on its line stays there.
    if let Some(Item::Value(old)) = table.get(key.get()) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key.get(), Item::Value(value));
    Ok(())
}

/// Writes a file as a whole: whoever reads it meanwhile finds the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to is changed, and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut file = fs::File::create_new(&beside)?;
        if let Ok(old) = fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        fs::remove_file(&beside).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(is_shared: bool) -> Place {
        Place { path: "stepwell.toml".into(), is_shared }
    }
    fn set_in(before: &str, name: &str, value: &str) -> Result<String, String> {
        let keys = keys(None, name)?;
        changed(&place(false), "set", before, &keys, value).map_err(|failure| failure.to_string())
    }

    /// A file with what its comments only suggest.
    fn meant(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix("#: ") {
            Some(meant) => format!("{meant}\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_first_files_can_be_understood_and_so_can_what_they_suggest() {
        for (text, is_shared) in [(FIRST, false), (FIRST_OF_USER, true)] {
            for text in [text.to_owned(), meant(text)] {
                Config::check(Path::new("a.toml"), &text, is_shared).unwrap();
            }
            assert!(meant(text) != text, "it suggests something");
        }
    }

    #[test]
    fn what_else_a_file_says_stays() {
        let before = "# mine\n[serve]   # here\nlisten = \"127.0.0.1:1\" # why\ngrace = '1s'\n";
        let after = set_in(before, "serve.listen", "127.0.0.1:7800").unwrap();
        assert_eq!(after, before.replace("127.0.0.1:1", "127.0.0.1:7800"));
        let after = set_in("", "server", "https://jobs.example.com").unwrap();
        assert_eq!(after, "[client]\nserver = \"https://jobs.example.com\"\n");
        let keys = keys(Some("prod"), "store").unwrap();
        let after = changed(&place(false), "set", "", &keys, "sqlite:a.db").unwrap();
        assert_eq!(after, "[profiles.prod]\nstore = \"sqlite:a.db\"\n");
    }

    #[test]
    fn values_are_what_the_setting_takes() {
        for (name, value, line) in [
            ("serve.behind_proxy", "true", "behind_proxy = true"),
            ("serve.requests_per_minute", "100", "requests_per_minute = 100"),
            ("serve.hosts", "[\"a\", \"b\"]", "hosts = [\"a\", \"b\"]"),
            ("serve.keep", "30d", "keep = \"30d\""),
            ("queues.\"a b\".concurrency", "3", "[queues.\"a b\"]\nconcurrency = 3"),
        ] {
            let after = set_in("", name, value).unwrap();
            assert!(after.contains(line), "{after}");
        }
        for (name, value, word) in [
            ("serve.listn", "127.0.0.1:1", "listn"),
            ("serve.behind_proxy", "maybe", "boolean"),
            ("serve.keep", "0s", "at least 1s"),
            ("serve.listen.port", "1", "socket address"),
            ("token_cmd", "[\"x\"]", "add server"),
            ("a b", "1", "serve.listen"),
        ] {
            let refused = set_in("", name, value).unwrap_err();
            assert!(refused.contains(word), "{name}: {refused}");
        }
    }
}
