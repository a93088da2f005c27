//! What grows with the batches of a run, packed: committed parts here, checkpoints in [`checkpoints`].
//!
//! A block holds the parts of [`BLOCK_BATCHES`] neighbouring batches. What a part has for itself takes some bytes: its
//! length, its rows, its checksum and the lease in its name. A file's name follows from the batch, the lease and a
//! [`Pattern`], of which there is one for each sink; a file that is named otherwise is kept by its whole name. So a
//! part takes about 16 bytes and not its path. Nothing here knows how sinks name files: a name that is made of its
//! pattern is compared with the one that was given, and is kept whole if they differ.

pub(super) mod checkpoints;

use std::collections::BTreeMap;

use common::ids::{BatchId, Generation, LeaseId, OpId};
use common::part::Part;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How many batches share a block.
pub(super) const BLOCK_BATCHES: u64 = 128;

/// The form in which something of neighbouring batches is stored.
pub(super) trait Blocks: Serialize + DeserializeOwned {
    /// What is kept of a batch.
    type Kept: Default;
    /// What is added to it.
    type Change;

    /// Adds to what is kept of a batch.
    fn change(kept: &mut Self::Kept, change: &Self::Change);

    /// Packs what is kept of batches of one block.
    fn pack(batches: &BTreeMap<BatchId, Self::Kept>) -> Self;

    /// Returns what is kept of each batch; `None` for a block that cannot be.
    fn unpack(&self) -> Option<BTreeMap<BatchId, Self::Kept>>;
}

/// Returns the number of the block that a batch belongs to.
pub(super) fn block_of(batch: BatchId) -> u64 {
    batch.index / BLOCK_BATCHES
}

/// The parts of neighbouring batches, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    patterns: Vec<Pattern>,
    parts: Vec<Packed>,
}

/// What the names of files are made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Pattern {
    /// How the batch is spelt, and the texts before it, between it and the lease, and behind that.
    Made(Spelling, String, String, String),
    /// It is the name.
    Whole(String),
}

/// How a batch stands in the name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Spelling {
    /// With zeros in front.
    Padded,
    /// As it is printed.
    Plain,
}

/// A part, without what follows from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Packed {
    batch: BatchId,
    op: OpId,
    pattern: u32,
    generation: u64,
    /// How far it is from the lease of the part before, which is near.
    lease: i64,
    offset: u64,
    length: u64,
    // A number with all its bits: four bytes are shorter than a number of variable length.
    checksum: [u8; 4],
    rows: u64,
}

impl Blocks for Block {
    type Kept = Vec<Part>;
    type Change = Vec<Part>;

    fn change(kept: &mut Vec<Part>, change: &Vec<Part>) {
        kept.clone_from(change);
    }

    fn pack(batches: &BTreeMap<BatchId, Vec<Part>>) -> Block {
        let mut block = Block::default();
        let mut before = 0;
        for (batch, part) in batches
            .iter()
            .flat_map(|(batch, parts)| parts.iter().map(move |part| (*batch, part)))
        {
            let (pattern, lease) = Pattern::of(&part.file, batch);
            let known = block.patterns.iter().position(|other| *other == pattern);
            let place = known.unwrap_or_else(|| {
                block.patterns.push(pattern);
                block.patterns.len() - 1
            });
            block.parts.push(Packed {
                batch,
                op: part.op,
                pattern: u32::try_from(place).expect("a block has few parts"),
                generation: lease.generation.0,
                lease: lease.sequence.wrapping_sub(before).cast_signed(),
                offset: part.offset,
                length: part.length,
                checksum: part.checksum.to_le_bytes(),
                rows: part.rows,
            });
            before = lease.sequence;
        }
        block
    }

    fn unpack(&self) -> Option<BTreeMap<BatchId, Vec<Part>>> {
        let mut batches: BTreeMap<BatchId, Vec<Part>> = BTreeMap::new();
        let mut before = 0_u64;
        for packed in &self.parts {
            let sequence = before.wrapping_add(packed.lease.cast_unsigned());
            before = sequence;
            let lease = LeaseId {
                generation: Generation(packed.generation),
                sequence,
            };
            let pattern = self.patterns.get(usize::try_from(packed.pattern).ok()?)?;
            batches.entry(packed.batch).or_default().push(Part {
                op: packed.op,
                file: pattern.name(packed.batch, lease),
                offset: packed.offset,
                length: packed.length,
                checksum: u32::from_le_bytes(packed.checksum),
                rows: packed.rows,
            });
        }
        Some(batches)
    }
}

impl Pattern {
    /// Finds the batch and the lease in a file's name; without them the whole name is the pattern.
    fn of(file: &str, batch: BatchId) -> (Pattern, LeaseId) {
        let none = LeaseId {
            generation: Generation(0),
            sequence: 0,
        };
        for spelling in [Spelling::Padded, Spelling::Plain] {
            if let Some((pattern, lease)) = split(file, batch, spelling)
                && pattern.name(batch, lease) == file
            {
                return (pattern, lease);
            }
        }
        (Pattern::Whole(file.to_owned()), none)
    }

    fn name(&self, batch: BatchId, lease: LeaseId) -> String {
        match self {
            Pattern::Made(spelling, before, between, behind) => {
                format!("{before}{}{between}{lease}{behind}", spelling.spell(batch))
            }
            Pattern::Whole(name) => name.clone(),
        }
    }
}

impl Spelling {
    fn spell(self, batch: BatchId) -> String {
        match self {
            Spelling::Padded => format!("{:06}", batch.index),
            Spelling::Plain => batch.to_string(),
        }
    }
}

fn split(file: &str, batch: BatchId, spelling: Spelling) -> Option<(Pattern, LeaseId)> {
    let folder = file.rfind('/').map_or(0, |slash| slash + 1);
    let number = spelling.spell(batch);
    let first = folder + file[folder..].find(&number)?;
    let rest = &file[first + number.len()..];
    let mark = rest.find("-l")?;
    let (between, lease) = rest.split_at(mark + 1);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let generation = digits(&lease[1..]);
    let dot = 1 + generation;
    let sequence = digits(lease.get(dot..)?.strip_prefix('.')?);
    let (lease, behind) = lease.split_at(dot + 1 + sequence);
    let id = LeaseId {
        generation: Generation(lease[1..dot].parse().ok()?),
        sequence: lease[dot + 1..].parse().ok()?,
    };
    let texts = [&file[..first], between, behind].map(str::to_owned);
    let [before, between, behind] = texts;
    Some((Pattern::Made(spelling, before, between, behind), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(op: u16, file: &str, length: u64) -> Part {
        Part {
            op: OpId(op),
            file: file.to_owned(),
            offset: length % 3,
            length,
            checksum: 0xdead_0000 | (length as u32 & 0xffff),
            rows: length / 10,
        }
    }

    fn there_and_back(batches: &BTreeMap<BatchId, Vec<Part>>) -> Block {
        let block = Block::pack(batches);
        let bytes = postcard::to_allocvec(&block).expect("is stored");
        let again: Block = postcard::from_bytes(&bytes).expect("is read");
        assert_eq!(again.unpack().as_ref(), Some(batches));
        block
    }

    #[test]
    fn regular_names_cost_some_bytes_a_part_and_one_pattern() {
        let mut batches = BTreeMap::new();
        for index in 0..BLOCK_BATCHES {
            let batch = BatchId::whole(index + 999_950);
            let lease = 4_000_000 + index * 7 % 60;
            let file = format!("/data/out/.all.csv.plumbline-r7/part-{:06}-l3.{lease}.csv", batch.index);
            batches.insert(batch, vec![part(3, &file, 12_000 + index)]);
        }
        let block = there_and_back(&batches);
        assert_eq!(block.patterns.len(), 1);
        let bytes = postcard::to_allocvec(&block).expect("is stored").len() as u64;
        assert!(bytes < 20 * BLOCK_BATCHES, "{bytes} bytes");
    }

    #[test]
    fn names_that_do_not_follow_are_kept_as_they_are() {
        let half: BatchId = "12.0.1".parse().expect("a batch");
        let names = [
            "/out/.r7/part-000012.0.1-l1.57.csv",
            "/out/.r7/part-000012-l01.57.csv",
            "/out/.r7/part-000012-l1.csv",
            "/out/.r7/000012",
            "/out-l1.2/000012/part",
            "/out/\u{e9}-000012-l1.99999999999999999999.csv",
            "000012-l1.5",
            "",
        ];
        let parts = names.iter().zip(0..).map(|(name, op)| part(op, name, 7)).collect();
        let whole = vec![
            part(1, "/out/.r7/part-000012-l2.58.csv", 9),
            part(2, "/out/b/part-000012-l2.58.csv", 9),
        ];
        there_and_back(&BTreeMap::from([(half, parts), (BatchId::whole(12), whole)]));
    }

    #[test]
    fn a_block_without_its_pattern_is_told() {
        let mut block = Block::pack(&BTreeMap::from([(BatchId::whole(1), vec![part(1, "a", 1)])]));
        block.patterns.clear();
        assert_eq!(block.unpack(), None);
    }
}
