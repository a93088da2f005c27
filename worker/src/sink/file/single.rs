//! One file in input order: the join of the committed parts.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use common::failure::Failure;
use common::job::FileFormat;
use common::part::Part;

use super::disk;
use super::stage::Staged;
use super::target::Target;
use crate::ops::CancelToken;
use crate::sink::Finish;
use crate::sink::text::csv_header;

/// The file that says that the parts stay when the joined file is put in place.
const KEPT: &str = "kept-for-retry";

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Joins the committed parts in the order in which they come, checks each, and stages the file.
pub(super) fn join(target: &Target, finish: Finish<'_>) -> Result<Part, Failure> {
    let keeps_for_reopening = finish.keeps_for_reopening();
    let mut joined = Staged::create(target, None, finish.lease)?;
    match target.format {
        FileFormat::Csv => joined.append(&csv_header(&target.columns))?,
        FileFormat::Jsonl => {}
    }
    let mut rows = 0;
    for committed in finish.committed {
        let part = committed?.part;
        target.check_staged(Path::new(&part.file))?;
        copy_part(&part, &mut joined, finish.cancel)?;
        rows += part.rows;
    }
    let part = joined.seal(rows)?;
    let mark = target.hidden.join(KEPT);
    if keeps_for_reopening {
        disk::sync(&disk::create(&mark)?, &mark)?;
    } else {
        disk::remove_file(&mark)?;
    }
    Ok(part)
}

/// Puts the joined file in its place and removes everything that was staged, unless the run may go on again: then its
/// parts are joined anew.
pub(super) fn publish_joined(target: &Target, part: &Part) -> Result<(), Failure> {
    disk::publish(Path::new(&part.file), &target.place, part.length)?;
    if target.hidden.join(KEPT).exists() {
        return Ok(());
    }
    disk::remove_folder(&target.hidden)
}

/// Appends a part to the joined file. Its bytes are read once, for the copy and for the check.
fn copy_part(part: &Part, joined: &mut Staged<'_>, cancel: &CancelToken) -> Result<(), Failure> {
    let path = Path::new(&part.file);
    let unreadable = |error: &std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            let gone = format!(
                "the committed part {} is gone; somebody else changed these files: run the job again",
                part.file
            );
            return Failure::permanent(gone);
        }
        disk::failed("read the committed part", path, error)
    };
    let mut file = File::open(path).map_err(|error| unreadable(&error))?;
    file.seek(SeekFrom::Start(part.offset))
        .map_err(|error| unreadable(&error))?;
    let mut reader = BufReader::with_capacity(COPY_BYTES, file.take(part.length));
    let mut checksum = crc32fast::Hasher::new();
    let mut length = 0;
    loop {
        cancel.check()?;
        let bytes = reader.fill_buf().map_err(|error| unreadable(&error))?;
        if bytes.is_empty() {
            break;
        }
        let read = bytes.len();
        checksum.update(bytes);
        joined.append(bytes)?;
        reader.consume(read);
        length += read as u64;
    }
    if length == part.length && checksum.finalize() == part.checksum {
        return Ok(());
    }
    Err(Failure::permanent(format!(
        "the committed part {} is not what was written ({length} of {} bytes, or another checksum); \
         check the disk and run the job again",
        part.file, part.length
    )))
}
