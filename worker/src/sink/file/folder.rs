//! A folder of parts with a manifest.
//!
//! Publishing the manifest of a run that replaces another goes in steps that can be repeated: the older manifest moves
//! to the hidden folder, the new parts move out of it, what only the older manifest names is deleted, the new manifest
//! is put in place, the hidden folder goes.

use std::path::{Path, PathBuf};

use common::failure::Failure;
use common::ids::BatchId;
use common::job::IfExists;
use common::part::Part;

use super::manifest::{MANIFEST, Manifest, ManifestPart, ManifestWriter};
use super::stage::Staged;
use super::target::Target;
use super::{disk, keeps_result};
use crate::sink::Finish;

/// The name that the older manifest has in the hidden folder while it is replaced.
const REPLACED: &str = "replaced.json";

/// Puts a committed part where it belongs.
pub(super) fn publish_part(target: &Target, batch: BatchId, part: &Part) -> Result<(), Failure> {
    disk::publish(Path::new(&part.file), &place_of(target, batch, part), part.length)
}

/// Returns where a committed part belongs.
fn place_of(target: &Target, batch: BatchId, part: &Part) -> PathBuf {
    let name = target.part_name(batch);
    let last = target.place.join(&name);
    let place = match target.if_exists {
        IfExists::Refuse => return last,
        // What is there stays until the run has succeeded.
        IfExists::Replace => committed_folder(target).join(name),
    };
    // After the end of the run the part may be in its last place already.
    if !Path::new(&part.file).exists() && !place.exists() && last.exists() {
        return last;
    }
    place
}

/// Makes sure that every part is published and stages the manifest. `None` if the run leaves what it was to replace.
pub(super) fn finish(target: &Target, finish: Finish<'_>) -> Result<Option<Part>, Failure> {
    let older = older_manifest(target)?;
    if older.is_some() && !keeps_result(finish.state) {
        return Ok(None);
    }
    let staged = Staged::create(target, None, finish.lease)?;
    let mut manifest = ManifestWriter::begin(target, staged, finish.state)?;
    for committed in finish.committed {
        finish.cancel.check()?;
        let committed = committed?;
        let (batch, part) = (committed.batch, &committed.part);
        disk::put_in_place(Path::new(&part.file), &place_of(target, batch, part), part.length)?;
        manifest.part(&ManifestPart {
            file: target.part_name(batch),
            rows: part.rows,
            bytes: part.length,
            crc32: format!("{:08x}", part.checksum),
        })?;
    }
    // Once for all parts: nearly all were in place before, and the manifest that names them comes after.
    disk::sync_folder(&committed_folder(target))?;
    disk::sync_folder(&target.place)?;
    manifest.seal().map(Some)
}

/// Puts the staged manifest in place, and for a run that replaces another its parts before.
pub(super) fn publish_manifest(target: &Target, part: &Part) -> Result<(), Failure> {
    let staged = Path::new(&part.file);
    let place = target.place.join(MANIFEST);
    // If it is in place already, only the sweeping is left.
    if let (IfExists::Replace, Some(manifest)) = (target.if_exists, Manifest::read(staged)?) {
        replace_parts(target, &manifest)?;
    }
    disk::publish(staged, &place, part.length)?;
    disk::remove_folder(&target.hidden)
}

fn replace_parts(target: &Target, manifest: &Manifest) -> Result<(), Failure> {
    let replaced = target.hidden.join(REPLACED);
    if older_manifest(target)?.is_some() {
        std::fs::rename(target.place.join(MANIFEST), &replaced)
            .map_err(|error| disk::failed("move away", &target.place.join(MANIFEST), &error))?;
        disk::sync_folder(&target.hidden)?;
    }
    let committed = committed_folder(target);
    for part in &manifest.parts {
        disk::put_in_place(&committed.join(&part.file), &target.place.join(&part.file), part.bytes)?;
    }
    disk::sync_folder(&target.place)?;
    if let Some(older) = Manifest::read(&replaced)? {
        let kept = manifest.by_name();
        // Names only: a manifest that was tampered with must not name files elsewhere.
        let is_name = |name: &str| Path::new(name).file_name().is_some_and(|last| last == name);
        for part in older
            .parts
            .iter()
            .filter(|part| is_name(&part.file) && !kept.contains_key(part.file.as_str()))
        {
            disk::remove_file(&target.place.join(&part.file))?;
        }
    }
    Ok(())
}

/// Reads the manifest of an older run from the folder.
fn older_manifest(target: &Target) -> Result<Option<Manifest>, Failure> {
    let run = target.run.to_string();
    Ok(Manifest::read(&target.place.join(MANIFEST))?.filter(|manifest| manifest.run != run))
}

/// Where the committed parts of a run wait that replaces another.
fn committed_folder(target: &Target) -> PathBuf {
    target.hidden.join("committed")
}
