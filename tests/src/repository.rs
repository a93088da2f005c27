//! Where things are: the repository's files, the sample data, the binary.

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate is a folder of the repository")
        .to_owned()
}

/// Returns one of the repository's files.
pub fn file(path: &str) -> PathBuf {
    root().join(path)
}

/// Returns the text of one of the repository's files.
///
/// # Panics
/// If it cannot be read.
pub fn text(path: &str) -> String {
    let path = file(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a file of the folder that may lie beside the repository, if it is there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = root().parent()?.join("shared").join(path);
    path.is_file().then_some(path)
}

/// Returns the folder of the build that this program is part of, such as `target/debug`: a test lies in `deps` in it.
pub fn build() -> PathBuf {
    let program = std::env::current_exe().expect("a test is a program");
    let folder = program.parent().expect("a program is in a folder");
    let of_tests = folder.parent().filter(|_| folder.ends_with("deps"));
    of_tests.unwrap_or(folder).to_owned()
}
