//! The Makefile's promises to those who type its targets.

use std::collections::BTreeSet;
use std::process::Command;

use tests::repository;

/// What callers may set; the Makefile says what holds if they do not.
const SETTINGS: [&str; 6] = [
    "CARGO_TARGET_DIR",
    "FIRST",
    "KILLS",
    "KILL_BATCHES",
    "RATE_SECONDS",
    "SEEDS",
];

/// Returns the targets that `make help` lists.
fn targets(makefile: &str) -> Vec<&str> {
    let listed = makefile.lines().filter(|line| line.contains(": ## "));
    listed.filter_map(|line| line.split(':').next()).collect()
}

#[test]
fn no_target_uses_a_variable_that_has_no_value() {
    let root = repository::root();
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("is there");
    let targets = targets(&makefile);
    assert!(targets.contains(&"run") && targets.contains(&"test"), "{targets:?}");

    let mut make = Command::new("make");
    make.args(["--dry-run", "--warn-undefined-variables"]).args(&targets);
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").current_dir(root);
    let made = make.output().expect("make, as the README asks for");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    let undefined: BTreeSet<&str> = said
        .lines()
        .filter_map(|line| line.split_once("undefined variable '"))
        .map(|(_, name)| name.trim_end_matches('\''))
        .filter(|name| !SETTINGS.contains(name))
        .collect();
    assert!(undefined.is_empty(), "{undefined:?}");
}
