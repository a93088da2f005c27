//! Lists the files of a source and freezes them: what the run reads from then on is exactly this.
//!
//! Opens every file once, to check that it may be read and that it has the header of the first one. Files are read in
//! the order of the uris, those of one pattern sorted by path; a file named twice is read twice.

use std::path::Path;

use common::job::{CsvDialect, Source};
use common::slice::{FrozenSource, SourceFile};

use super::error::{InvalidSource, MAX_FILES, SourceError};
use super::header::{self, Beginning};
use super::roots::Roots;
use super::window::Window;
use super::{open, pattern, uri};

/// A header is read with a small buffer: listings may be long.
const BUFFER: usize = 16 << 10;

/// Lists the files of a source, reads their headers, and freezes both. Blocks on the files.
pub fn list(source: &Source, roots: &Roots) -> Result<FrozenSource, InvalidSource> {
    let mut frozen = FrozenSource::default();
    for (place, uri) in source.uris.iter().enumerate() {
        list_uri(uri, &source.csv, roots, &mut frozen).map_err(|error| InvalidSource { uri: place, error })?;
    }
    Ok(frozen)
}

fn list_uri(uri: &str, dialect: &CsvDialect, roots: &Roots, frozen: &mut FrozenSource) -> Result<(), SourceError> {
    let path = roots.absolute(&uri::path_of(uri)?);
    let paths = if pattern::has_wildcard(&path) {
        pattern::expand(&path, roots)?
    } else {
        vec![path]
    };
    for path in paths {
        if frozen.files.len() >= MAX_FILES {
            return Err(SourceError::TooManyFiles {
                pattern: uri.to_owned(),
            });
        }
        let (file, beginning) = look_at(&path, dialect, roots)?;
        match frozen.files.first() {
            None => frozen.columns = beginning.columns,
            Some(first) => check_same_header(&file, &beginning, first, &frozen.columns)?,
        }
        frozen.files.push(file);
    }
    Ok(())
}

fn look_at(path: &Path, dialect: &CsvDialect, roots: &Roots) -> Result<(SourceFile, Beginning), SourceError> {
    let resolved = roots.resolve(path)?;
    let file = roots.open(&resolved)?;
    let metadata = open::check_opened(&resolved, &file)?;
    let mut listed = SourceFile {
        path: text_of(&resolved)?,
        bytes: metadata.len(),
        etag: open::etag(&metadata),
        data_start: 0,
    };
    let mut window = Window::new(file, &listed, BUFFER);
    let beginning = header::read(&mut window, dialect)?;
    listed.data_start = beginning.data_start;
    Ok((listed, beginning))
}

fn text_of(path: &Path) -> Result<String, SourceError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| SourceError::PathNotUtf8 {
            path: path.display().to_string(),
        })
}

fn check_same_header(
    file: &SourceFile,
    beginning: &Beginning,
    first: &SourceFile,
    columns: &[String],
) -> Result<(), SourceError> {
    if beginning.columns == columns {
        return Ok(());
    }
    let different = beginning
        .columns
        .iter()
        .zip(columns)
        .position(|(here, there)| here != there);
    let difference = match different {
        Some(place) => format!(
            "column {} is {:?} instead of {:?}",
            place + 1,
            beginning.columns[place],
            columns[place]
        ),
        None => format!(
            "it has {} columns instead of {}",
            beginning.columns.len(),
            columns.len()
        ),
    };
    Err(SourceError::HeaderDiffers {
        file: file.path.clone(),
        line: beginning.line,
        other: first.path.clone(),
        difference,
    })
}
