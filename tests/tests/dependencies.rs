//! What the program is built from, judged without cargo-deny: licences, sources, and one version where two would not
//! work together.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use tests::repository;

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Only what is built here has been downloaded.
    let host = ["--filter-platform", env!("HOST_TARGET")];
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(host)
        .current_dir(repository::root())
        .output()
        .expect("cargo can be called");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages are a list").clone()
}

/// Reads the licences that deny.toml allows.
fn allowed() -> Vec<String> {
    let text = repository::text("deny.toml");
    let list = text
        .split_once("allow = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("deny.toml allows some")
        .0;
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Tells whether an SPDX expression can be satisfied: one side of an `OR`, both sides of an `AND`.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let tokens: Vec<String> = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest, allowed)
}

fn any_of(rest: &mut &[String], allowed: &[String]) -> bool {
    let mut found = all_of(rest, allowed);
    while rest.first().is_some_and(|token| token == "OR") {
        *rest = &rest[1..];
        found |= all_of(rest, allowed);
    }
    found
}

fn all_of(rest: &mut &[String], allowed: &[String]) -> bool {
    let mut found = one(rest, allowed);
    while rest.first().is_some_and(|token| token == "AND") {
        *rest = &rest[1..];
        found &= one(rest, allowed);
    }
    found
}

fn one(rest: &mut &[String], allowed: &[String]) -> bool {
    let (token, after) = rest.split_first().expect("an expression does not end in an operator");
    *rest = after;
    if token == "(" {
        let found = any_of(rest, allowed);
        *rest = &rest[1..];
        return found;
    }
    let mut name = token.clone();
    if rest.first().is_some_and(|token| token == "WITH") {
        name = format!("{name} WITH {}", rest[1]);
        *rest = &rest[2..];
    }
    allowed.contains(&name)
}

#[test]
fn spdx_expressions_are_read_with_their_operators() {
    let allowed = ["MIT".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for (expression, expected) in [
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0 OR (MIT AND Apache-2.0 WITH LLVM-exception)", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| {
            !package["license"]
                .as_str()
                .is_some_and(|licence| satisfied(licence, &allowed))
        })
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "deny.toml allows none of {refused:?}");
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    let elsewhere: Vec<String> = packages()
        .iter()
        .filter(|package| {
            package["source"]
                .as_str()
                .is_some_and(|source| !source.contains("github.com/rust-lang/crates.io-index"))
        })
        .map(|package| format!("{}: {}", package["name"], package["source"]))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn there_is_one_version_of_arrow_and_of_the_wire() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a package has a name").to_owned();
        versions.entry(name).or_default().push(package["version"].to_string());
    }
    for name in [
        "arrow-array",
        "arrow-buffer",
        "arrow-schema",
        "tonic",
        "prost",
        "tokio",
        "hyper",
        "axum",
    ] {
        assert_eq!(
            versions.get(name).map(Vec::len),
            Some(1),
            "{name}: {:?}",
            versions.get(name)
        );
    }
}
