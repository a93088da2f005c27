//! Which files are found, and which are refused.

use std::os::unix::fs::symlink;

use common::failure::{Failure, FailureKind};
use common::job::FieldProblem;
use rustix::fs::{CWD, FileType, Mode};

use super::*;

fn names(frozen: &FrozenSource) -> Vec<String> {
    let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    frozen.files.iter().map(|file| name(&file.path)).collect()
}

#[test]
fn patterns_are_sorted_and_skip_folders_and_hidden_files() {
    let csv: &[u8] = b"x\n";
    let files = Files::new(&[
        ("b.csv", csv),
        ("a.csv", csv),
        (".hidden.csv", csv),
        ("c.txt", csv),
        ("d.csv/e.csv", csv),
        ("d.csv/deep/f.csv", csv),
        ("x1/g.csv", csv),
        ("x2/g.csv", csv),
        (".x/g.csv", csv),
    ]);
    for (pattern, found) in [
        ("*.csv", &["a.csv", "b.csv"][..]),
        ("?.txt", &["c.txt"]),
        ("x*/g.csv", &["g.csv", "g.csv"]),
        ("x?/*", &["g.csv", "g.csv"]),
        ("**/*.csv", &["a.csv", "b.csv", "f.csv", "e.csv", "g.csv", "g.csv"]),
        ("d.csv/**", &["f.csv", "e.csv"]),
        (".h*", &[".hidden.csv"]),
    ] {
        assert_eq!(names(&files.list(&[pattern]).unwrap()), found, "{pattern}");
    }
    let in_order = files.list(&["b.csv", "a.csv"]).unwrap();
    assert_eq!(names(&in_order), ["b.csv", "a.csv"]);
}

#[test]
fn a_path_is_relative_to_the_base_absolute_or_a_file_uri() {
    let files = Files::new(&[("in/a b.csv", b"x\n")]);
    let path = files.path("in/a b.csv").canonicalize().unwrap();
    let path = path.to_str().unwrap();
    for uri in [
        "in/a b.csv",
        "in/../in/a b.csv",
        path,
        &format!("file://{}", path.replace(' ', "%20")),
    ] {
        assert_eq!(files.list(&[uri]).unwrap().files[0].path, path);
    }
}

#[test]
fn a_problem_names_the_uri_of_the_spec() {
    let files = Files::new(&[("a.csv", b"x\n")]);
    let missing = FieldProblem::from(files.list(&["a.csv", "no/*.csv"]).unwrap_err());
    let pattern = files.path("no/*.csv");
    assert_eq!(
        missing,
        FieldProblem::new("source.uris[1]", format!("{}: matches no file", pattern.display()))
    );
    let missing = files.list(&["b.csv"]).unwrap_err();
    assert!(matches!(missing.error, SourceError::Missing { .. }));
    assert!(
        missing
            .to_string()
            .contains("does not exist; check the path (relative ones start at /")
    );
    assert_eq!(Failure::from(missing.error).kind, FailureKind::BadInput);
}

#[test]
fn only_regular_files_are_read_and_nothing_is_waited_for() {
    let files = Files::new(&[("folder/a.csv", b"x\n")]);
    rustix::fs::mknodat(CWD, files.path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(files.path("socket")).unwrap();
    for (uri, what) in [
        ("folder", "a folder"),
        ("pipe", "a pipe"),
        ("pip?", "a pipe"),
        ("socket", "a socket"),
        ("/dev/zero", "a device"),
    ] {
        assert_eq!(
            files.refusal(uri).trim_start_matches('/'),
            format!(
                "{}: is {what}; name a regular file",
                uri.trim_start_matches('/').replace('?', "e")
            )
        );
    }
    if cfg!(target_os = "linux") {
        assert!(
            files
                .refusal("/proc/self/status")
                .ends_with("is a file of the kernel; name a regular file")
        );
    }
}

/// Roots `inside` and, behind a symlink, `linked`; a file `outside.csv` beside them.
fn with_roots() -> (Files, Roots) {
    let csv: &[u8] = b"x\n";
    let files = Files::new(&[
        ("inside/deep/a.csv", csv),
        ("real/b.csv", csv),
        ("outside.csv", csv),
        ("out/c.csv", csv),
    ]);
    symlink("real", files.path("linked")).unwrap();
    symlink("deep/a.csv", files.path("inside/alias.csv")).unwrap();
    symlink("../outside.csv", files.path("inside/escape.csv")).unwrap();
    symlink("../out", files.path("inside/exit")).unwrap();
    let allowed = AllowedRoots::below(&[files.path("inside"), files.path("linked")]).unwrap();
    let roots = Roots::new(&files.path("inside"), allowed).unwrap();
    (files, roots)
}

#[test]
fn what_lies_below_a_root_is_read_also_through_symlinks() {
    let (files, roots) = with_roots();
    let linked = files.path("linked/b.csv");
    let real = files.path("real/b.csv");
    for uri in [
        "deep/a.csv",
        "alias.csv",
        "de*/*.csv",
        linked.to_str().unwrap(),
        real.to_str().unwrap(),
    ] {
        let frozen = list(&source(&[uri], CsvDialect::default()), &roots).unwrap();
        assert_eq!(frozen.files.len(), 1, "{uri}");
    }
}

#[test]
fn nothing_outside_the_roots_is_read_or_told_apart() {
    let (files, roots) = with_roots();
    let outside = files.path("outside.csv");
    let absent = files.path("absent.csv");
    for uri in [
        "../outside.csv",
        "deep/../../outside.csv",
        "escape.csv",
        "exit/c.csv",
        "exit/*.csv",
        "../*.csv",
        "/etc/passwd",
        outside.to_str().unwrap(),
        absent.to_str().unwrap(),
    ] {
        let refused = list(&source(&[uri], CsvDialect::default()), &roots).unwrap_err();
        assert!(
            matches!(refused.error, SourceError::OutsideRoots { .. }),
            "{uri}: {refused}"
        );
    }
    assert!(AllowedRoots::below(&[absent]).is_err());
}
