//! Checkpoints, packed: every op's of every batch, for as long as their run is kept.
//!
//! Where they lie is packed as parts are ([`Block`]): a name is made of its batch, its lease and a pattern. What the ops up
//! to one did is a tale, and neighbouring batches tell the same ones but for the bytes that they hold; of a batch with
//! several checkpoints, a later one goes on where the tale of the one before ends. So a checkpoint takes about 30 bytes
//! and not its path and its story.

use std::collections::BTreeMap;

use common::done::{DoneOp, OpDone};
use common::ids::{BatchId, OpId};
use scheduler::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{Block, Blocks};

/// The checkpoints of a batch, by the ops that made them.
pub(in crate::store) type OfBatch = BTreeMap<OpId, Checkpoint>;

/// What happened to the checkpoints of a batch: by op the one that was made, or nothing where one was lost.
pub(in crate::store) type Change = BTreeMap<OpId, Option<Checkpoint>>;

/// The checkpoints of neighbouring batches, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct CheckpointBlock {
    places: Block,
    tales: Vec<Vec<DoneOp>>,
    /// In the order of the places.
    told: Vec<Told>,
}

/// What the ops up to a checkpoint did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    /// How many of them the batch's checkpoint before has told.
    known: u16,
    /// Which tale tells the rest, but for the bytes held.
    tale: u32,
    /// The bytes that the batch held behind each of the rest.
    held: Vec<u64>,
}

impl Blocks for CheckpointBlock {
    type Kept = OfBatch;
    type Change = Change;

    fn change(kept: &mut OfBatch, change: &Change) {
        for (op, made) in change {
            match made {
                Some(made) => kept.insert(*op, made.clone()),
                None => kept.remove(op),
            };
        }
    }

    fn pack(batches: &BTreeMap<BatchId, OfBatch>) -> CheckpointBlock {
        let mut block = CheckpointBlock::default();
        let parts = |of: &OfBatch| of.values().map(|made| made.part.clone()).collect();
        let places = batches.iter().map(|(batch, of)| (*batch, parts(of))).collect();
        block.places = Block::pack(&places);
        for of_batch in batches.values() {
            let mut before: &[DoneOp] = &[];
            for made in of_batch.values() {
                let known = if made.done.starts_with(before) { before.len() } else { 0 };
                block.tell(known, &made.done[known..]);
                before = &made.done;
            }
        }
        block
    }

    fn unpack(&self) -> Option<BTreeMap<BatchId, OfBatch>> {
        let mut batches: BTreeMap<BatchId, OfBatch> = BTreeMap::new();
        let mut told = self.told.iter();
        for (batch, parts) in self.places.unpack()? {
            let mut before: Vec<DoneOp> = Vec::new();
            for part in parts {
                let Told { known, tale, held } = told.next()?;
                let rest = self.tales.get(usize::try_from(*tale).ok()?)?;
                if rest.len() != held.len() {
                    return None;
                }
                let mut done = before.get(..usize::from(*known))?.to_vec();
                done.extend(rest.iter().zip(held).map(|(done, held)| holding(done, *held)));
                before.clone_from(&done);
                let of_batch = batches.entry(batch).or_default();
                of_batch.insert(part.op, Checkpoint { part, done });
            }
        }
        told.next().is_none().then_some(batches)
    }
}

/// Returns the checkpoints of each batch that is no half, in the order of their ops, beginning with the batch of a number.
pub(in crate::store) fn of_whole_batches(
    batches: BTreeMap<BatchId, OfBatch>,
    from: u64,
) -> impl Iterator<Item = (u64, Vec<Checkpoint>)> {
    let whole = batches
        .into_iter()
        .filter(move |(batch, of)| batch.halves.depth() == 0 && batch.index >= from && !of.is_empty());
    whole.map(|(batch, of)| (batch.index, of.into_values().collect()))
}

impl CheckpointBlock {
    fn tell(&mut self, known: usize, rest: &[DoneOp]) {
        let tale: Vec<DoneOp> = rest.iter().map(|done| holding(done, 0)).collect();
        let place = self.tales.iter().position(|other| *other == tale).unwrap_or_else(|| {
            self.tales.push(tale);
            self.tales.len() - 1
        });
        self.told.push(Told {
            known: u16::try_from(known).expect("a job has fewer ops"),
            tale: u32::try_from(place).expect("a block has few checkpoints"),
            held: rest.iter().map(|done| done.did.bytes_held).collect(),
        });
    }
}

fn holding(done: &DoneOp, bytes_held: u64) -> DoneOp {
    let did = OpDone {
        bytes_held,
        ..done.did.clone()
    };
    DoneOp { op: done.op, did }
}

#[cfg(test)]
mod tests {
    use common::part::Part;

    use super::super::BLOCK_BATCHES;
    use super::*;

    /// A batch's checkpoint, in the file that a worker writes.
    fn made(op: u16, batch: u64, lease: u64) -> Checkpoint {
        let done = |did: u16| DoneOp {
            op: OpId(did),
            did: OpDone {
                rows_in: 1_000,
                rows_out: 1_000,
                bytes_held: 180_000 + (batch * 7_919 + u64::from(did)) % 20_000,
                ..OpDone::default()
            },
        };
        let folder = format!("/data/kept/.plumbline-r7-00000000deadbeef/op-{op}/{:06}", batch / 256);
        Checkpoint {
            part: Part {
                op: OpId(op),
                file: format!("{folder}/{batch}-l3.{lease}.arrow"),
                offset: 0,
                length: 190_000 + batch % 1_000,
                checksum: (batch as u32).wrapping_mul(0x9e37_79b1),
                rows: 1_000,
            },
            done: (0..=op).map(done).collect(),
        }
    }

    fn there_and_back(batches: &BTreeMap<BatchId, OfBatch>) -> Vec<u8> {
        let bytes = postcard::to_allocvec(&CheckpointBlock::pack(batches)).expect("is stored");
        let again: CheckpointBlock = postcard::from_bytes(&bytes).expect("is read");
        assert_eq!(again.unpack().as_ref(), Some(batches));
        bytes
    }

    #[test]
    fn a_million_batches_with_two_checkpoints_each_take_less_than_64_mb() {
        let mut batches = BTreeMap::new();
        for index in 999_936..999_936 + BLOCK_BATCHES {
            let of_batch = [2, 4].map(|op| (OpId(op), made(op, index, 4_000_000 + index * 7 % 60)));
            batches.insert(BatchId::whole(index), OfBatch::from(of_batch));
        }
        let bytes = there_and_back(&batches).len() as u64;
        assert!(bytes * 1_000_000 / BLOCK_BATCHES < 64_000_000, "{bytes} bytes");
    }

    #[test]
    fn names_of_early_batches_and_tales_of_their_own_come_back_as_they_were() {
        let half: BatchId = "12.0.1".parse().expect("a batch");
        let mut tall = made(4, 3, 9);
        tall.done[1].did.rows_out = 7;
        tall.part.file = "/elsewhere/3".to_owned();
        let batches = BTreeMap::from([
            (BatchId::whole(0), OfBatch::from([(OpId(1), made(1, 0, 1))])),
            (
                BatchId::whole(3),
                OfBatch::from([(OpId(2), made(2, 3, 5)), (OpId(4), tall)]),
            ),
            (half, OfBatch::from([(OpId(0), made(0, 12, 8))])),
        ]);
        there_and_back(&batches);
        assert_eq!(CheckpointBlock::default().unpack(), Some(BTreeMap::new()));
    }

    #[test]
    fn a_lost_checkpoint_goes_and_the_others_of_its_batch_stay() {
        let mut kept = OfBatch::from([(OpId(1), made(1, 0, 1)), (OpId(2), made(2, 0, 2))]);
        let change = Change::from([(OpId(2), None), (OpId(3), Some(made(3, 0, 3)))]);
        CheckpointBlock::change(&mut kept, &change);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [OpId(1), OpId(3)]);
    }

    #[test]
    fn a_block_whose_tales_are_cut_off_is_told() {
        let whole = BTreeMap::from([(BatchId::whole(1), OfBatch::from([(OpId(1), made(1, 1, 1))]))]);
        let mut block = CheckpointBlock::pack(&whole);
        block.tales.clear();
        assert_eq!(block.unpack(), None);
    }
}
