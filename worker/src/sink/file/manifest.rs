//! The manifest of a folder: which files are the result, and of what run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::failure::Failure;
use common::state::RunState;
use serde::{Deserialize, Serialize};

use super::disk;
use super::stage::Staged;
use super::target::Target;

/// The manifest's name in the folder.
pub(super) const MANIFEST: &str = "_manifest.json";

/// What a manifest says, as it is read back.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Manifest {
    /// The run, printed as `r7`.
    pub(super) run: String,
    /// The parts in the order of the input.
    pub(super) parts: Vec<ManifestPart>,
}

/// One file of the result.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestPart {
    /// Its name in the folder.
    pub(super) file: String,
    /// The rows it holds.
    pub(super) rows: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// The CRC-32 of its bytes, in hexadecimal.
    pub(super) crc32: String,
}

impl Manifest {
    /// Reads a manifest; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Manifest>, Failure> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk::failed("read", path, &error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Failure::permanent(format!(
                "{} is no manifest of plumbline: {error}; move it away, or write to another folder",
                path.display()
            ))
        })
    }

    /// Returns the parts by name.
    pub(super) fn by_name(&self) -> BTreeMap<&str, &ManifestPart> {
        self.parts.iter().map(|part| (part.file.as_str(), part)).collect()
    }
}

/// A manifest that is being written part by part, so that a run of many batches needs no memory for it.
pub(super) struct ManifestWriter<'a> {
    staged: Staged<'a>,
    text: Vec<u8>,
    rows: u64,
    parts: u64,
}

impl<'a> ManifestWriter<'a> {
    /// Begins a manifest.
    pub(super) fn begin(target: &Target, staged: Staged<'a>, state: RunState) -> Result<ManifestWriter<'a>, Failure> {
        let columns: Vec<&String> = target.columns.fields().iter().map(|field| field.name()).collect();
        let mut writer = ManifestWriter {
            staged,
            text: Vec::new(),
            rows: 0,
            parts: 0,
        };
        let json = |value: serde_json::Value| value.to_string();
        writer.append(format_args!(
            "{{\n  \"run\": {},\n  \"job\": {},\n  \"state\": {},\n  \"columns\": {},\n  \"parts\": [",
            json(target.run.to_string().into()),
            json(target.job.as_str().into()),
            json(state.as_str().into()),
            json(columns.into_iter().cloned().collect()),
        ))?;
        Ok(writer)
    }

    /// Adds a part.
    pub(super) fn part(&mut self, part: &ManifestPart) -> Result<(), Failure> {
        let comma = if self.parts == 0 { "" } else { "," };
        self.parts += 1;
        self.rows += part.rows;
        let json = serde_json::to_string(part)
            .map_err(|error| Failure::permanent(format!("a part has no JSON form: {error}")))?;
        self.append(format_args!("{comma}\n    {json}"))
    }

    /// Ends the manifest and makes it durable.
    pub(super) fn seal(mut self) -> Result<common::part::Part, Failure> {
        let end = if self.parts == 0 { "]" } else { "\n  ]" };
        let rows = self.rows;
        self.append(format_args!("{end},\n  \"rows\": {rows}\n}}\n"))?;
        self.staged.append(&self.text)?;
        self.staged.seal(rows)
    }

    fn append(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
        self.text.write_fmt(text).expect("a Vec takes all bytes");
        if self.text.len() > 64 << 10 {
            self.staged.append(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}
