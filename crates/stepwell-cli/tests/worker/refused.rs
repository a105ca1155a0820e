//! What a worker cannot begin with.

use crate::{
    serving::Serving,
    working::{Place, command},
};

const KINDS: &str = "[[kinds.k.phases]]\nname = \"p\"\nrun = [\"true\"]\n";

fn refused(place: &Place, arguments: &[&str]) -> (i32, String) {
    let output = command(place, arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let (place, nothing) = (Place::with(KINDS), Place::new());
    let nobody = "http://127.0.0.1:1";
    for (place, arguments, code, words) in [
        (&nothing, &["--server", nobody] as &[&str], 2, &["stepwell.toml", "--config"] as &[&str]),
        (&place, &["--config", "none.toml"], 1, &["none.toml"]),
        (&place, &["--server", "localhost:7717"], 2, &["address of a server"]),
        (&place, &["--server", nobody], 6, &["does not answer"]),
        (&place, &["--server", nobody, "--queue", "k"], 2, &["is a kind", "[queues.k]"]),
        (&place, &["--server", nobody, "--store", "sqlite:a.db"], 2, &["--store"]),
        (&place, &["--store", "sqlite:none.db"], 3, &["no such file"]),
        (&place, &["--server", nobody, "--concurrency", "0"], 2, &["--concurrency"]),
        (&place, &["--server", nobody, "--name", ""], 2, &["1 to 200"]),
    ] {
        let (found, told) = refused(place, arguments);
        assert_eq!(found, code, "{arguments:?}: {told}");
        assert!(words.iter().all(|word| told.contains(word)), "{arguments:?}: {told}");
    }
    let empty = Place::with("[[kinds.k.phases]]\nname = \"p\"\nrun = []\n");
    let (code, told) = refused(&empty, &["--server", nobody]);
    assert!(code == 1 && told.contains("phase `p` of `k`") && told.contains("no program"), "{told}");
}

#[test]
fn a_token_that_is_missing_or_wrong_is_said() {
    let (server, place) = (Place::new(), Place::with(KINDS).file("token", "sw_wrong_wrong"));
    let serving = Serving::start(server.path(), &[]);
    for arguments in [&[] as &[&str], &["--token-file", "token"]] {
        let (code, told) = refused(&place, &[&["--server", &serving.url()], arguments].concat());
        assert!(code == 4 && told.contains("token"), "{code} {told}");
    }
    assert_eq!(serving.end("-TERM").0, Some(0));
}
