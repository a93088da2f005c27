//! What is wrong with a spec, and the nearest valid name for a mistyped one.

use std::fmt;

use super::node::Place;

/// One problem of a spec and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    /// The field's path, such as `ops[1].select`; empty for the file as a whole.
    path: String,
    message: String,
}

impl Problem {
    /// Names a problem at a place.
    pub(super) fn at(place: Place, path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            place,
            path: path.into(),
            message: message.into(),
        }
    }

    /// Returns the line and the column, from 1; `None` for what stood in an override.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        match self.place {
            Place::File { line, column } => Some((line, column)),
            Place::Override(_) => None,
        }
    }

    /// Returns the field's path, such as `ops[1].select`; empty for the text as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints the problem as compilers do, so that editors can jump there: `job.yaml:3:7: batch.rows: ...`.
    pub fn display<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        std::fmt::from_fn(move |f| {
            match &self.place {
                Place::File { line, column } => write!(f, "{file}:{line}:{column}: ")?,
                Place::Override(text) => write!(f, "--set {text}: ")?,
            }
            if !self.path.is_empty() {
                write!(f, "{}: ", self.path)?;
            }
            f.write_str(&self.message)
        })
    }
}

/// Returns the valid name that was probably meant: the closest one, if it is close enough to be a slip.
pub(super) fn nearest<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = given.to_lowercase().replace('-', "_");
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, name), name))
        .filter(|(distance, name)| *distance <= slips_allowed(name.len().max(given.len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Says that a name is unknown, which one was probably meant, and which ones are valid.
pub(super) fn unknown(what: &str, given: &str, valid: &[&str]) -> String {
    let meant = match nearest(given, valid.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => ";".to_owned(),
    };
    format!("unknown {what} {given:?}{meant} valid: {}", valid.join(", "))
}

fn slips_allowed(length: usize) -> usize {
    (length / 3).clamp(1, 4)
}
