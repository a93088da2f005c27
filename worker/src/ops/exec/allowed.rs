//! The programs that `exec` may run on this worker: named when it is started, and found once.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The programs that a worker allows, by the name that jobs use; none unless somebody says so. Cloned freely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedPrograms {
    paths: Arc<BTreeMap<String, PathBuf>>,
}

/// A program that is to be allowed is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownProgram {
    /// It has a relative path.
    #[error("{name:?} is a relative path; name a program of PATH, or give its absolute path")]
    Relative {
        /// As it was named.
        name: String,
    },
    /// There is none, or it cannot be run.
    #[error("there is no program {name:?} that can be run; install it, or name another")]
    Missing {
        /// As it was named.
        name: String,
    },
}

impl AllowedPrograms {
    /// Looks for programs: names in the folders of a search path, and absolute paths.
    ///
    /// # Errors
    /// [`UnknownProgram`] for the first that is not there.
    pub fn find(names: &[String], search: &std::ffi::OsStr) -> Result<AllowedPrograms, UnknownProgram> {
        let find = |name: &String| -> Result<(String, PathBuf), UnknownProgram> {
            let missing = || UnknownProgram::Missing { name: name.clone() };
            let path = Path::new(name);
            if path.is_absolute() {
                return is_program(path)
                    .then(|| (name.clone(), path.to_owned()))
                    .ok_or_else(missing);
            }
            if name.contains('/') {
                return Err(UnknownProgram::Relative { name: name.clone() });
            }
            let mut found = std::env::split_paths(search)
                .filter(|folder| folder.is_absolute())
                .map(|folder| folder.join(name));
            let found = found
                .find(|path| !name.is_empty() && is_program(path))
                .ok_or_else(missing)?;
            Ok((name.clone(), found))
        };
        let paths = names.iter().map(find).collect::<Result<_, _>>()?;
        Ok(AllowedPrograms { paths: Arc::new(paths) })
    }

    /// Tells whether none is allowed.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns where an allowed program is.
    pub(super) fn path_of(&self, name: &str) -> Option<&Path> {
        self.paths.get(name).map(PathBuf::as_path)
    }
}

fn is_program(path: &Path) -> bool {
    let found = path.metadata();
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_once_and_what_is_not_there_is_named() {
        let allowed =
            |name: &str| AllowedPrograms::find(&[name.to_owned()], "relative:/nowhere:/usr/bin:/bin".as_ref());
        let cat = allowed("cat").expect("is there");
        assert!(
            cat.path_of("cat")
                .is_some_and(|path| path.is_absolute() && path.ends_with("cat"))
        );
        assert_eq!(cat.path_of("sh"), None);
        let name = "cat".to_owned();
        assert!(matches!(allowed("./cat"), Err(UnknownProgram::Relative { name }) if name == "./cat"));
        assert!(matches!(
            allowed("no-such-program"),
            Err(UnknownProgram::Missing { .. })
        ));
        assert!(matches!(allowed("/etc/passwd"), Err(UnknownProgram::Missing { .. })));
        assert!(matches!(allowed(""), Err(UnknownProgram::Missing { .. })));
        assert!(AllowedPrograms::find(&[name], "".as_ref()).is_err());
    }
}
