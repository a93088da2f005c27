//! Finds the files that a path with wildcards names: `*` and `?` within a name, `**` for any folders in between.
//!
//! Owns the matching and the walk. Hidden names are matched only by a pattern that begins with a dot, `**` enters no
//! hidden folder and no symlink, and folders are no match. Every folder that is listed lies below an allowed root.
//! Known weakness: a `**` high up in a large tree takes as long as walking the tree does.

use std::path::{Component, Path, PathBuf};

use super::error::{MAX_FILES, SourceError};
use super::open;
use super::roots::Roots;

/// Tells whether a path has a wildcard.
pub(super) fn has_wildcard(path: &Path) -> bool {
    path.components().any(|part| is_wild(&name_of(part)))
}

/// Returns the files that an absolute path with wildcards names, sorted.
pub(super) fn expand(path: &Path, roots: &Roots) -> Result<Vec<PathBuf>, SourceError> {
    let mut folder = PathBuf::new();
    let mut segments = Vec::new();
    for part in path.components() {
        let name = name_of(part);
        if segments.is_empty() && !is_wild(&name) {
            folder.push(part);
        } else {
            segments.push(name);
        }
    }
    if segments.last().is_some_and(|last| last == "**") {
        segments.push("*".to_owned());
    }
    let mut walk = Walk {
        roots,
        pattern: path,
        found: Vec::new(),
    };
    walk.folder(&folder, &segments)?;
    walk.found.sort();
    walk.found.dedup();
    if walk.found.is_empty() {
        return Err(SourceError::NoMatch {
            pattern: path.display().to_string(),
        });
    }
    Ok(walk.found)
}

struct Walk<'a> {
    roots: &'a Roots,
    pattern: &'a Path,
    found: Vec<PathBuf>,
}

/// What a name in a folder is, symlinks followed unless said otherwise.
enum Kind {
    Folder,
    /// A folder behind a symlink.
    LinkedFolder,
    Other,
}

impl Walk<'_> {
    /// Finds the files below a folder that the remaining segments name.
    fn folder(&mut self, folder: &Path, segments: &[String]) -> Result<(), SourceError> {
        let Some((segment, rest)) = segments.split_first() else {
            return Ok(());
        };
        if segment == "**" {
            self.folder(folder, rest)?;
        }
        for (name, kind) in self.entries(folder)? {
            let path = folder.join(&name);
            match kind {
                Kind::Folder if segment == "**" => {
                    if !name.starts_with('.') {
                        self.folder(&path, segments)?;
                    }
                }
                Kind::Folder | Kind::LinkedFolder if matches(segment, &name) => self.folder(&path, rest)?,
                Kind::Other if rest.is_empty() && matches(segment, &name) => self.file(path)?,
                Kind::Folder | Kind::LinkedFolder | Kind::Other => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf) -> Result<(), SourceError> {
        if self.found.len() >= MAX_FILES {
            return Err(SourceError::TooManyFiles {
                pattern: self.pattern.display().to_string(),
            });
        }
        self.found.push(path);
        Ok(())
    }

    fn entries(&self, folder: &Path) -> Result<Vec<(String, Kind)>, SourceError> {
        let folder = match self.roots.resolve(folder) {
            // A pattern in a folder that does not exist matches nothing.
            Err(SourceError::Missing { .. }) => return Ok(Vec::new()),
            resolved => resolved?,
        };
        let unreadable = |error| open::unreadable(&folder, error);
        let mut entries = Vec::new();
        for entry in folder.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = match entry.file_type().map_err(unreadable)? {
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_symlink() && entry.path().is_dir() => Kind::LinkedFolder,
                _ => Kind::Other,
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(SourceError::PathNotUtf8 {
                    path: entry.path().display().to_string(),
                });
            };
            entries.push((name.to_owned(), kind));
        }
        Ok(entries)
    }
}

fn name_of(part: Component<'_>) -> String {
    part.as_os_str().to_string_lossy().into_owned()
}

fn is_wild(segment: &str) -> bool {
    segment.contains(['*', '?'])
}

/// Tells whether a name matches a segment of a pattern.
fn matches(segment: &str, name: &str) -> bool {
    if name.starts_with('.') && !segment.starts_with('.') {
        return false;
    }
    let segment: Vec<char> = segment.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut s, mut n) = (0, 0);
    // Where to go on when the last `*` has to take one more character.
    let mut retry = None;
    while n < name.len() {
        if segment.get(s) == Some(&'*') {
            retry = Some((s, n));
            s += 1;
        } else if segment.get(s).is_some_and(|c| *c == '?' || *c == name[n]) {
            s += 1;
            n += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            s = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    segment[s..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_characters_and_a_question_mark_one() {
        for (segment, name) in [
            ("*", "a"),
            ("*.csv", "a.csv"),
            ("a*b*c", "a1b2b3c"),
            ("?.csv", "é.csv"),
            ("a**", "a"),
            (".*", ".a"),
        ] {
            assert!(matches(segment, name), "{segment} {name}");
        }
        for (segment, name) in [("*", ".a"), ("*.csv", "a.csv.gz"), ("?", "ab"), ("?", ""), ("a*b", "a")] {
            assert!(!matches(segment, name), "{segment} {name}");
        }
    }
}
