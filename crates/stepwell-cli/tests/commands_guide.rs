//! The guide to commands as jobs, from an empty directory: its files are written and its commands run, as they stand
//! there.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

mod rig;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rig::guide::{Step, last_digits, shell, steps};

const GUIDE: &str = include_str!("../../../docs/commands.md");

#[test]
fn a_first_time_user_breaks_a_phase_repairs_it_and_sees_the_job_go_on() {
    let steps = steps(GUIDE);
    let place = tempfile::tempdir().unwrap();
    let (mut server, mut url, mut job) = (None, String::new(), String::new());
    let mut said = Vec::new();
    for step in &steps {
        match step {
            Step::Write { name, text } => fs::write(place.path().join(name), text).unwrap(),
            Step::Run(script) if script.trim() == "stepwell dev" => {
                let mut command = shell(place.path(), &format!("exec {script}"), "", "");
                let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
                let told = lines.find(|line| line.starts_with("API ")).unwrap();
                url = told.split(['/', ' ']).nth(3).map(|address| format!("http://{address}")).unwrap();
                // It goes on telling, and must not be held up.
                std::thread::spawn(move || lines.for_each(drop));
                server = Some(child);
            }
            Step::Run(script) => {
                let output = shell(place.path(), script, &url, &job).output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                if script.starts_with("stepwell enqueue") {
                    job = last_digits(&text);
                }
                let told = String::from_utf8(output.stderr).unwrap();
                said.push((script.trim(), output.status.code(), text, told));
            }
        }
    }
    let [(_, failed, _, why), (_, ended, what, _), (_, drawn, drawing, _)] = &said[..] else {
        panic!("{said:?}")
    };
    assert!(*failed == Some(10) && why.contains("KeyError: 'fetsh'"), "{said:?}");
    assert!(*ended == Some(0) && what.contains("result\t\"Numbers: 3 words\""), "{said:?}");
    assert!(*drawn == Some(0) && drawing.contains("nothing is left to do"), "{said:?}");
    assert_eq!(fs::read_to_string(place.path().join("fetched.log")).unwrap(), "fetched\n");
    let mut server = server.unwrap();
    assert!(Command::new("kill").args(["-INT", &server.id().to_string()]).status().unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(130));
}
