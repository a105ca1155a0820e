//! The Python clients and their workers, on threads and for asyncio, by their own tests, against the real server.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod serving;

use std::{path::Path, process::Command};

use serving::Serving;

#[test]
fn the_python_client_and_worker_pass_their_tests() {
    let place = tempfile::tempdir().unwrap();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo"]);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python");
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "-v", "-s", "tests"])
        .current_dir(&client)
        .env("PYTHONPATH", "src")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("STEPWELL_SERVER", format!("http://{}", serving.address))
        .env_remove("STEPWELL_TOKEN")
        .output()
        .expect("python3 is installed: the tests of the Python client need it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("\nOK") && told.contains("Ran 28 tests"), "{told}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}
