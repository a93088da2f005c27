//! The never rules of ARCHITECTURE.md that Cargo and the sources can answer for: what depends on what, and where the
//! wire's types are named.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::repository;

/// Returns the names of everything that a crate is built from.
fn tree(package: &str) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-p",
            package,
        ])
        .current_dir(repository::root())
        .output()
        .expect("cargo can be called");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn expect_without(package: &str, forbidden: &[&str]) {
    let tree = tree(package);
    assert!(
        tree.iter().any(|name| name == package),
        "cargo tree answers for {package}"
    );
    let found: Vec<_> = tree.iter().filter(|name| forbidden.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "{package} must never depend on {found:?}");
}

/// Returns all Rust files of the repository, as paths from its root.
fn rust_files() -> Vec<PathBuf> {
    let root = repository::root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("a folder can be listed")
            .filter_map(Result::ok)
        {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(&root).expect("it was found below").to_owned());
            }
        }
    }
    found.sort();
    found
}

const EFFECTS: [&str; 8] = ["tokio", "tonic", "prost", "axum", "rand", "getrandom", "proto", "mio"];

#[test]
fn the_scheduler_depends_on_no_io_no_wire_and_no_chance() {
    expect_without("scheduler", &EFFECTS);
}

#[test]
fn the_agent_depends_on_no_io_no_wire_and_no_chance() {
    expect_without("agent", &EFFECTS);
}

#[test]
fn the_vocabulary_depends_on_no_io_no_wire_and_no_chance() {
    expect_without("common", &EFFECTS);
}

#[test]
fn the_worker_knows_neither_the_coordinator_nor_the_scheduler() {
    expect_without("worker", &["coordinator", "scheduler", "plumb"]);
}

#[test]
fn the_coordinator_knows_neither_the_worker_nor_the_agent() {
    expect_without("coordinator", &["worker", "agent", "plumb"]);
}

/// Where the wire's types may be named: the conversions, and the edges.
const EDGES: [&str; 7] = [
    "proto/",
    "coordinator/src/grpc",
    "worker/src/session",
    "worker/src/exchange",
    "cli/src/client",
    "cli/src/spec",
    "tests/",
];

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Tells whether a file's code, unit tests and comments left out, holds a word that no longer word ends in.
fn names(path: &Path, word: &str) -> bool {
    let text = std::fs::read_to_string(repository::root().join(path)).expect("a source file can be read");
    let code = text.split_once("#[cfg(test)]").map_or(text.as_str(), |(code, _)| code);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    lines
        .flat_map(|line| line.match_indices(word).map(move |(at, _)| &line[..at]))
        .any(|before| !before.ends_with(is_name))
}

#[test]
fn generated_types_are_named_at_the_edges_only() {
    let named = |path: &&PathBuf| names(path, "proto::v1");
    let at_an_edge = |path: &Path| is_test(path) || EDGES.iter().any(|edge| path.to_string_lossy().starts_with(edge));
    let files = rust_files();
    let elsewhere: Vec<_> = files.iter().filter(named).filter(|path| !at_an_edge(path)).collect();
    assert!(
        elsewhere.is_empty(),
        "generated types are named beyond the edges: {elsewhere:?}"
    );
    assert!(
        files.iter().any(|path| named(&path)),
        "the edges name them: this test looks for the right words"
    );
}

const SCHEDULER: &str = "coordinator/scheduler/src";

/// The floors of the scheduler, from the top: each knows those below it.
const FLOORS: [&str; 7] = [
    "handlers",
    "questions",
    "rules",
    "scheduler",
    "state",
    "interface",
    "journal",
];

/// Returns the files of a floor of the scheduler: its root, and those in its folder.
fn files_of(floor: &str) -> Vec<PathBuf> {
    let (root, folder) = (format!("{SCHEDULER}/{floor}.rs"), format!("{SCHEDULER}/{floor}"));
    let mut files = rust_files();
    files.retain(|path| path == Path::new(&root) || path.starts_with(&folder));
    files
}

#[test]
fn each_floor_of_the_scheduler_imports_those_below_it_and_none_above() {
    for (place, floor) in FLOORS.iter().enumerate() {
        let files = files_of(floor);
        assert!(!files.is_empty(), "{floor} is a floor");
        for path in files {
            let above: Vec<_> = FLOORS[..place]
                .iter()
                .filter(|above| names(&path, &format!("crate::{above}::")))
                .collect();
            assert!(above.is_empty(), "{} imports {above:?}", path.display());
            let knows = FLOORS[place..].contains(&"scheduler");
            assert!(
                knows || !names(&path, "crate::Scheduler"),
                "{} knows no scheduler",
                path.display()
            );
        }
    }
    assert!(
        names(Path::new(SCHEDULER).join("rules/grant.rs").as_path(), "crate::state::"),
        "this test looks for the right words"
    );
}

#[test]
fn no_rule_of_the_scheduler_calls_a_handler() {
    let text =
        |path: &PathBuf| std::fs::read_to_string(repository::root().join(path)).expect("a source file can be read");
    let handlers: String = files_of("handlers").iter().map(text).collect();
    let methods = handlers.split("fn ").skip(1).filter_map(|method| {
        let (name, arguments) = method.split_once('(')?;
        arguments.trim_start().starts_with('&').then_some(name)
    });
    let methods: Vec<&str> = methods.filter(|name| name.starts_with(char::is_alphabetic)).collect();
    assert!(methods.contains(&"on_reported"), "this test finds handlers");
    for path in files_of("rules") {
        let rule: String = text(&path).split_whitespace().collect();
        let called: Vec<_> = methods
            .iter()
            .filter(|name| rule.contains(&format!("self.{name}(")))
            .collect();
        assert!(called.is_empty(), "{} calls {called:?}", path.display());
    }
}

#[test]
fn only_one_file_of_the_coordinator_chooses_status_codes() {
    let chooses = |path: &&PathBuf| path.starts_with("coordinator/src") && !is_test(path) && names(path, "Code::");
    let files = rust_files();
    let found: Vec<_> = files.iter().filter(chooses).collect();
    assert_eq!(found, [Path::new("coordinator/src/grpc/status.rs")]);
}

#[test]
fn no_source_file_is_longer_than_eight_hundred_lines() {
    let lines = |path: &PathBuf| {
        std::fs::read_to_string(repository::root().join(path))
            .expect("a source file can be read")
            .lines()
            .count()
    };
    let long: Vec<_> = rust_files().into_iter().filter(|path| lines(path) > 800).collect();
    assert!(long.is_empty(), "split them: {long:?}");
}

#[test]
fn only_one_crate_may_say_unsafe() {
    // Spelled in two halves, so that this file does not name it.
    let named = concat!("unsafe", "_code");
    let found: Vec<PathBuf> = rust_files()
        .into_iter()
        .filter(|path| !path.starts_with("scan/src"))
        .filter(|path| std::fs::read_to_string(repository::root().join(path)).is_ok_and(|text| text.contains(named)))
        .collect();
    assert!(found.is_empty(), "only scan may say {named}: {found:?}");
}
