//! What a test cannot do without, and saying so: skipped with the reason on a desk, failed in CI.

use std::io::Write as _;
use std::path::PathBuf;

/// Returns what a test needs, or says that the test is skipped.
///
/// # Panics
/// If it is missing in CI (`CI=true`), which has to bring it.
pub fn unless<T>(needed: Option<T>, reason: &str) -> Option<T> {
    if needed.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI may not skip: {reason}");
        say(reason);
    }
    needed
}

/// Returns a file beside the repository that a test is about, or says that the test is skipped, in CI too: it cannot be
/// fetched.
pub fn unless_shared(path: &str) -> Option<PathBuf> {
    let found = super::repository::shared(path);
    if found.is_none() {
        say(&format!("../shared/{path} is not there"));
    }
    found
}

/// The names of the tests' threads are the names of the tests.
fn say(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    let mut shown = std::io::stderr().lock();
    let _ = shown.write_all(line.as_bytes());
    // `make tests` prints this file at its end, since runners hide what passing tests say.
    if let Some(file) = std::env::var_os("SKIPS") {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Returns grpcurl: named in `GRPCURL`, on the `PATH`, or fetched by `make tools`.
pub fn grpcurl() -> Option<PathBuf> {
    let named = std::env::var_os("GRPCURL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("grpcurl"));
    let target = super::repository::build()
        .parent()
        .map(|target| target.join("tools/grpcurl"));
    let found = named
        .into_iter()
        .chain(on_path)
        .chain(target)
        .find(|file| file.is_file());
    unless(found, "grpcurl is not there; `make tools` says why")
}
