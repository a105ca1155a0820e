//! The guide to workers in Python and TypeScript, from an empty directory: its files are written and its commands run,
//! as they stand there.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod rig;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
};

use rig::{
    TypeScript,
    guide::{Step, last_digits, shell, steps},
};

const GUIDE: &str = include_str!("../../../docs/workers-python-typescript.md");

/// What the guide leaves running, each in a terminal of its own.
const LEFT_RUNNING: [&str; 4] =
    ["stepwell serve", "python3 worker.py", "python3 worker_async.py", "node worker.mjs"];

/// A checkout of the repository, with the TypeScript client built, as the guide wants it.
fn checkout(place: &Path, client: &TypeScript) {
    let clients = place.join("clients");
    fs::create_dir_all(&clients).unwrap();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python"), clients.join("python"))
        .unwrap();
    symlink(&client.place, clients.join("typescript")).unwrap();
}

/// Starts the server on a port of its own, and answers with its address.
fn serve(mut command: Command) -> (Child, String) {
    let mut child = command.env("STEPWELL_LISTEN", "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    (child, format!("http://{address}"))
}

/// Ends it in order, as Ctrl-C does.
fn end(mut child: Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_first_time_user_works_jobs_in_three_ways_and_sees_one_go_on() {
    let client = TypeScript::built();
    let home = tempfile::tempdir().unwrap();
    let (repository, place) = (home.path().join("stepwell"), home.path().join("place"));
    checkout(&repository, &client);
    fs::create_dir(&place).unwrap();
    let (mut exports, mut url, mut job) = (String::new(), String::new(), String::new());
    let (mut running, mut said) = (Vec::new(), Vec::new());
    for step in steps(GUIDE) {
        let script = match step {
            Step::Write { name, text } => {
                fs::write(place.join(name), text).unwrap();
                continue;
            }
            Step::Run(script) => script.trim(),
        };
        if script.starts_with("export ") {
            exports.push_str(script);
            exports.push('\n');
            continue;
        }
        let command = |script: &str| {
            let mut command = shell(&place, &format!("{exports}{script}"), &url, &job);
            command.env("STEPWELL", &repository).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        if LEFT_RUNNING.iter().any(|left| script.starts_with(left)) {
            let command = command(&format!("exec {script}"));
            if url.is_empty() {
                let (child, address) = serve(command);
                url = address;
                running.push(child);
            } else {
                running.push({ command }.spawn().unwrap());
            }
            continue;
        }
        let output = command(script).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (code, out, told) = (output.status.code(), text(&output.stdout), text(&output.stderr));
        if script.starts_with("stepwell enqueue") {
            job = last_digits(&out);
        }
        said.push((script, code, out, told));
    }
    assert_eq!(running.len(), LEFT_RUNNING.len(), "{said:?}");
    let [installed, failed, went_on, greeted, followed] = &said[..] else { panic!("{said:?}") };
    assert_eq!(installed.1, Some(0), "{installed:?}");
    assert!(failed.1 == Some(10) && failed.3.contains("counting is not allowed yet"), "{failed:?}");
    assert!(went_on.1 == Some(0) && went_on.2.contains("\"words\": 6"), "{went_on:?}");
    assert_eq!(fs::read_to_string(place.join("fetched.log")).unwrap(), "fetched\n");
    assert_eq!((greeted.1, greeted.2.as_str()), (Some(0), "hello Ada\n"), "{greeted:?}");
    let lines: Vec<&str> = followed.2.lines().collect();
    assert_eq!(
        (lines.first(), lines.last()),
        (Some(&"job:enqueued"), Some(&"160 pixels in 3 steps")),
        "{followed:?}"
    );
    assert_eq!(lines.iter().filter(|line| **line == "job:phase:completed").count(), 2, "{followed:?}");
    // The workers before the server, which they say goodbye to.
    running.into_iter().rev().for_each(end);
}

#[test]
fn the_typescript_of_the_guide_and_of_the_readme_has_the_types_it_shows() {
    const README: &str = include_str!("../../../clients/typescript/README.md");
    let client = TypeScript::built();
    let place = tempfile::Builder::new().prefix("blocks").tempdir_in(&client.place).unwrap();
    let blocks: Vec<&str> =
        [GUIDE, README].into_iter().flat_map(|page| page.split("```ts\n").skip(1)).collect();
    assert!(blocks.len() >= 4, "{blocks:?}");
    for (nth, block) in blocks.into_iter().enumerate() {
        let name = place.path().join(format!("block{nth}.ts"));
        // What a page has of its own.
        let own = "declare const draw: (job: unknown) => void, drawAll: () => void, redraw: (event: unknown) => void;\n\
                   declare const ticket: () => Promise<string>;\n";
        let text = block.split("```").next().unwrap();
        let client = "import { Client, Worker } from \"stepwell\";\nconst client = new Client();\n";
        let before = if text.contains("import ") { "" } else { client };
        fs::write(&name, format!("{own}{before}{text}")).unwrap();
    }
    let settings = r#"{"extends": "../tsconfig.json", "compilerOptions": {"rootDir": ".", "noEmit": true,
        "noUnusedLocals": false}, "include": ["."]}"#;
    fs::write(place.path().join("tsconfig.json"), settings).unwrap();
    client.run(Command::new("npx").args(["tsc", "-p"]).arg(place.path()));
}
