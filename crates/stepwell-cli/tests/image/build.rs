//! Static programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// A program to try in place of one that is built.
const GIVEN: &str = "STEPWELL_IMAGE_PROGRAM";

/// The program as the Dockerfile has it built, if there is what musl needs; else static with this machine's libc.
pub(crate) fn stepwell() -> &'static Path {
    static BUILT: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::var_os(GIVEN).map_or_else(build, PathBuf::from));
    &BUILT
}

fn build() -> PathBuf {
    let output = |command: &mut Command| {
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let architecture = std::env::consts::ARCH;
    let musl = format!("{architecture}-unknown-linux-musl");
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]));
    let has_std = Path::new(sysroot.trim()).join("lib/rustlib").join(&musl).exists();
    let has_compiler = Command::new("musl-gcc").arg("--version").stdout(Stdio::null()).status().is_ok();
    let (target, flags) = match has_std && has_compiler {
        true => (musl, ""),
        // With a target of its own, what runs while it is built is not concerned.
        false => (format!("{architecture}-unknown-linux-gnu"), "-C target-feature=+crt-static"),
    };
    println!("building for {target}; rustup target add, and musl-tools, bring musl");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "--locked", "--package", "stepwell-cli", "--target", &target]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.env("CARGO_TARGET_DIR", &place).env("RUSTFLAGS", flags);
    command.env(format!("CC_{}", target.replace('-', "_")), if flags.is_empty() { "musl-gcc" } else { "cc" });
    output(&mut command);
    place.join(target).join("release/stepwell")
}

/// A program in C.
pub(crate) fn c(text: &str, to: &Path) {
    let source = to.with_extension("c");
    std::fs::write(&source, text).unwrap();
    let built = Command::new("cc").args(["-static", "-O1", "-o"]).arg(to).arg(&source).status().unwrap();
    assert!(built.success(), "a C compiler and a static libc are needed");
    std::fs::remove_file(source).unwrap();
}
