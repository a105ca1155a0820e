//! `stepwell dev` as a user runs it: the real binary, on real files.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

const FILES: usize = 40;

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("files/inner")).unwrap();
    for n in 0..FILES {
        let folder = if n % 2 == 0 { "files" } else { "files/inner" };
        fs::write(place.path().join(folder).join(format!("{n}.txt")), format!("file {n}; ").repeat(n))
            .unwrap();
    }
    place
}

fn dev(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.arg("dev").args(["--dir", "files"]).args(arguments).current_dir(place);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(place: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = dev(place, arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), text)
}

fn manifest(place: &Path) -> String {
    fs::read_to_string(place.join(".stepwell/manifest.jsonl")).unwrap()
}

#[test]
fn every_file_is_in_the_manifest_with_its_hash_and_a_second_start_adds_only_what_is_new() {
    let place = place();
    let (code, text) = ended(place.path(), &["--until-idle"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("synchronous=FULL") && text.contains("added 41 jobs"), "{text}");
    let lines: Vec<serde_json::Value> =
        manifest(place.path()).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), FILES);
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    for line in &lines {
        let content = fs::read(place.path().join("files").join(line["path"].as_str().unwrap())).unwrap();
        let sha256: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (line["bytes"].as_u64(), line["sha256"].as_str()),
            (Some(content.len() as u64), Some(&*sha256))
        );
    }

    fs::write(place.path().join("files/0.txt"), "changed").unwrap();
    fs::remove_file(place.path().join("files/2.txt")).unwrap();
    let (code, text) = ended(place.path(), &["--until-idle"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("added 2 jobs"), "the changed file and the whole: {text}");
    assert_eq!(manifest(place.path()).lines().count(), FILES - 1);
}

#[test]
fn ignored_files_are_left_out_unless_all_are_wanted() {
    let place = place();
    fs::write(place.path().join("files/.gitignore"), "inner/\n").unwrap();
    assert_eq!(ended(place.path(), &["--until-idle"]).0, 0);
    assert_eq!(manifest(place.path()).lines().count(), FILES / 2 + 1);
    assert_eq!(ended(place.path(), &["--until-idle", "--all"]).0, 0);
    assert_eq!(manifest(place.path()).lines().count(), FILES + 1);
}

/// Starts it slowly, and kills it when the first jobs are under way.
fn killed(place: &Path, signal: &str) -> Option<i32> {
    let mut child = dev(place, &["--until-idle", "--slow", "20", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let begun = lines.by_ref().filter(|line| line.contains("job:phase:completed")).nth(20);
    assert!(begun.is_some(), "it ended before it could be interrupted");
    let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    lines.for_each(drop);
    child.wait().unwrap().code()
}

#[test]
fn after_kill_9_and_ctrl_c_it_goes_on_and_ends_with_the_same_manifest() {
    let undisturbed = place();
    assert_eq!(ended(undisturbed.path(), &["--until-idle"]).0, 0);
    let place = place();
    assert_eq!(killed(place.path(), "-KILL"), None, "by a signal");
    assert_eq!(killed(place.path(), "-INT"), Some(130));
    let (code, text) = ended(place.path(), &["--until-idle"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("resumed "), "{text}");
    assert_eq!(manifest(place.path()), manifest(undisturbed.path()));
}

#[test]
fn two_at_once_share_the_work() {
    let place = place();
    let both = [(); 2].map(|()| dev(place.path(), &["--until-idle", "--slow", "5"]).spawn().unwrap());
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(manifest(place.path()).lines().count(), FILES);
}

#[test]
fn sigterm_ends_it_as_ctrl_c_does() {
    let place = place();
    assert_eq!(killed(place.path(), "-TERM"), Some(130));
    let (code, text) = ended(place.path(), &["--until-idle", "--json"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("dev:resumed"), "{text}");
}

#[test]
fn slowness_is_that_of_a_start_and_not_of_a_job() {
    let place = place();
    // Of forty files, sixteen at a time: the phases of one would take four times as long as this test may.
    let mut child = dev(place.path(), &["--slow", "60000", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("job:phase:started")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, text) = ended(place.path(), &["--until-idle"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(manifest(place.path()).lines().count(), FILES);
}

#[test]
fn a_limit_on_the_size_of_files_is_told_and_kills_nothing() {
    let place = place();
    let binary = env!("CARGO_BIN_EXE_stepwell");
    let output = Command::new("sh")
        // In blocks of 512 bytes: enough for an empty queue, and not for the jobs of forty files.
        .args(["-c", r#"ulimit -f 300; exec "$0" dev --dir files --until-idle --no-http"#, binary])
        .current_dir(place.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("a limit on the size of this process's files"), "{text}");
    let (code, text) = ended(place.path(), &["--until-idle"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn wrong_input_is_told_in_one_line() {
    let place = place();
    let command = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_stepwell")).args(arguments).current_dir(place.path()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = command(&["dev", "--dir", "nowhere"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("stepwell: failed to open the directory nowhere"), "{text}");
    assert!(text.contains("name one that exists with --dir") && text.lines().count() == 1, "{text}");
    let (code, text) = command(&["dev", "--dir", "files/2.txt"]);
    assert_eq!(code, Some(1));
    assert!(text.ends_with("it is not a directory; name one with --dir\n"), "{text}");
    assert_eq!(command(&["dev", "--slow", "fast"]).0, Some(2));
    fs::write(place.path().join(".stepwell"), "").unwrap();
    let (code, text) = command(&["dev"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("create the directory ./.stepwell") && text.contains("move it away"), "{text}");
    fs::remove_file(place.path().join(".stepwell")).unwrap();
    fs::create_dir(place.path().join(".stepwell")).unwrap();
    fs::write(place.path().join(".stepwell/stepwell.db"), "this is no database; ".repeat(100)).unwrap();
    let (code, text) = command(&["dev", "--until-idle"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("is not an SQLite database") && text.contains("move this one away"), "{text}");
}

#[test]
fn an_error_is_an_object_for_whoever_asked_for_objects() {
    let place = place();
    for (arguments, code, wanted) in [
        (["--json", "--slow", "fast"], 2, "invalid value 'fast' for '--slow <MS>'"),
        (["--json", "--dir", "nowhere"], 1, "failed to open the directory nowhere"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_stepwell"))
            .arg("dev")
            .args(arguments)
            .current_dir(place.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code));
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["type"], "dev:error");
        assert!(object["message"].as_str().unwrap().contains(wanted), "{object}");
        assert!(!output.stderr.is_empty(), "people are told, too");
    }
}
