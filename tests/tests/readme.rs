//! The README's lines, run as they stand: every command of a `sh` block that calls grpcurl.
//!
//! The section on Docker Compose is left out: its lines are run against a real engine by the container tests.
//! The addresses in them are those of the defaults, which are replaced by a test cluster's.

use std::path::PathBuf;
use std::process::Command;

use tests::{Cluster, Scratch, plumb, repository, skip};

/// The section whose lines need a Docker engine.
const COMPOSE: &str = "## A cluster with Docker Compose";

/// Returns a document without one of its sections.
fn without_section(text: &str, heading: &str) -> String {
    let (before, section) = text.split_once(heading).expect("the document has the section");
    let after = section
        .split_once("\n## ")
        .map_or(String::new(), |(_, rest)| format!("\n## {rest}"));
    format!("{before}{after}")
}

/// Returns the commands of a document's `sh` blocks, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut command = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
            continue;
        }
        if !inside || line.trim_start().starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(start) => command.push_str(start),
            None => {
                command.push_str(line);
                found.push(std::mem::take(&mut command));
            }
        }
    }
    found
}

/// Makes a folder with links to the programs that the README calls by name.
fn programs(scratch: &Scratch, grpcurl: &PathBuf) -> PathBuf {
    let folder = scratch.path("bin");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(grpcurl, folder.join("grpcurl")).expect("a link");
    std::os::unix::fs::symlink(plumb::binary(), folder.join("plumb")).expect("a link");
    folder
}

fn has_jq() -> bool {
    Command::new("jq")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn every_grpcurl_line_of_the_readme_works_in_its_order() {
    let Some(grpcurl) = skip::grpcurl() else { return };
    let readme = repository::text("README.md");
    let commands: Vec<String> = commands(&without_section(&readme, COMPOSE))
        .into_iter()
        .filter(|command| command.contains("grpcurl"))
        .collect();
    assert!(!commands.is_empty(), "the README shows how to use grpcurl");
    let needs_jq = commands.iter().any(|command| command.contains("jq "));
    if needs_jq && skip::unless(has_jq().then_some(()), "jq is not there").is_none() {
        return;
    }
    let mut cluster = Cluster::coordinator_in_the_repository();
    cluster.add_worker("w1", 2);
    cluster.add_worker("w2", 2);
    cluster.wait_for_workers(2);
    let mut path = programs(cluster.scratch(), &grpcurl).into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    for command in commands {
        let here = command
            .replace("localhost:50051", "127.0.0.1:50051")
            .replace("127.0.0.1:50051", cluster.address("grpc"));
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &here])
            .current_dir(repository::root())
            .env("PATH", &path)
            .env("TMPDIR", cluster.scratch().path("tmp"))
            .output()
            .expect("bash can be called");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{here}\n{}\n{said}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    cluster.finish();
}

#[test]
fn blocks_are_read_with_their_continued_lines() {
    let text = "```sh\n# a comment\na \\\n  b\nc\n```\n```yaml\nd\n```\n";
    assert_eq!(commands(text), ["a   b", "c"]);
}
