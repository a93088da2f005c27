//! Ids: what names a run, an op, a batch, a task, an attempt, a lease, a session and a worker.
//!
//! All are small, ordered and copyable (a worker's name apart), print as people read them in logs and charts
//! (`r7/transform_1[12]#2` needs the op's name, so [`AttemptId::display`] takes it), and never convert silently.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names one run for ever: runs are numbered from 1 by the coordinator. Printed `r7`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// The place of an op in its job's chain; `extract` is always op 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(pub u16);

impl OpId {
    /// The op that every chain begins with.
    pub const EXTRACT: OpId = OpId(0);

    /// Returns the op's place as an index into the job's ops.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The way from a whole batch down to one of its halves: empty for a batch that was never bisected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Halves {
    /// The turns taken, the first one in the highest bit.
    turns: u32,
    /// How many turns were taken.
    depth: u8,
}

impl Halves {
    /// No turn: the whole batch.
    pub const WHOLE: Halves = Halves { turns: 0, depth: 0 };

    /// The most often that a batch can be halved.
    pub const MAX_DEPTH: u8 = 32;

    /// Returns the first and second half below this one, or `None` at the greatest depth.
    pub fn split(self) -> Option<(Halves, Halves)> {
        if self.depth == Self::MAX_DEPTH {
            return None;
        }
        let turn = 1_u32 << (31 - u32::from(self.depth));
        let first = Halves {
            turns: self.turns,
            depth: self.depth + 1,
        };
        let second = Halves {
            turns: self.turns | turn,
            depth: self.depth + 1,
        };
        Some((first, second))
    }

    /// Returns how many times the batch was halved to get here.
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// Returns the turns from the top: 0 for a first half, 1 for a second.
    pub fn turns(self) -> impl Iterator<Item = u8> {
        (0..self.depth).map(move |level| {
            if self.turns & (1 << (31 - u32::from(level))) == 0 {
                0
            } else {
                1
            }
        })
    }

    /// Rebuilds a way from its turns, or `None` when it is deeper than [`Halves::MAX_DEPTH`] or a turn is not 0 or 1.
    pub fn from_turns(turns: impl IntoIterator<Item = u8>) -> Option<Halves> {
        turns.into_iter().try_fold(Halves::default(), |way, turn| {
            let (first, second) = way.split()?;
            match turn {
                0 => Some(first),
                1 => Some(second),
                2.. => None,
            }
        })
    }
}

/// Names a batch within its run: its place in the source, and the half of it if it was bisected. Printed `12.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    /// The place of the batch in the run, from 0.
    pub index: u64,
    /// Which half of it, if it was bisected.
    pub halves: Halves,
}

impl BatchId {
    /// Names a whole batch by its place in the run.
    pub fn whole(index: u64) -> BatchId {
        BatchId {
            index,
            halves: Halves::default(),
        }
    }
}

impl From<u64> for BatchId {
    fn from(index: u64) -> Self {
        BatchId::whole(index)
    }
}

/// The schedulable unit: one op on one batch, or one op on the whole run (`batch` is `None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The run it belongs to.
    pub run: RunId,
    /// The op it executes.
    pub op: OpId,
    /// The batch it works on; `None` for a task over the whole run.
    pub batch: Option<BatchId>,
}

/// The number of one execution of a task, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The number of a task's first execution.
    pub const FIRST: Attempt = Attempt(1);

    /// Returns the number of the execution after this one.
    pub fn next(self) -> Attempt {
        Attempt(self.0 + 1)
    }
}

/// One execution of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// What is executed.
    pub task: TaskId,
    /// Which execution of it.
    pub attempt: Attempt,
}

impl AttemptId {
    /// Prints the attempt with its op's name: `r7/transform_1[12]#2`, or `r7/load#1` for a task over the whole run.
    pub fn display(self, op_name: &str) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            write!(f, "{}/{op_name}", self.task.run)?;
            if let Some(batch) = self.task.batch {
                write!(f, "[{batch}]")?;
            }
            write!(f, "#{}", self.attempt.0)
        })
    }
}

/// The number of a coordinator's incarnation: durably raised by one at every start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// Names a lease for ever, and is its fencing token: later leases compare greater, over restarts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId {
    /// The coordinator's incarnation that granted it.
    pub generation: Generation,
    /// Its number within the incarnation.
    pub sequence: u64,
}

/// Names one connected incarnation of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The coordinator's incarnation that opened it.
    pub generation: Generation,
    /// Its number within the incarnation.
    pub sequence: u64,
}

/// What an attempt made: named (batch, op, attempt), so that no two attempts ever share an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutputId {
    /// The batch it holds.
    pub batch: BatchId,
    /// The op that made it.
    pub op: OpId,
    /// The execution that made it.
    pub attempt: Attempt,
}

/// The name that a worker process gives itself; two live processes never share one (the later wins).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerName(Arc<str>);

impl WorkerName {
    /// The longest name accepted, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks and keeps a name: 1 to 128 bytes, no control characters.
    pub fn new(name: &str) -> Result<WorkerName, InvalidId> {
        if name.is_empty() || name.len() > Self::MAX_LEN || name.chars().any(char::is_control) {
            return Err(InvalidId {
                what: "worker name",
                text: name.to_owned(),
                want: "1 to 128 bytes without control characters",
            });
        }
        Ok(WorkerName(name.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected {want}")]
pub struct InvalidId {
    /// The kind of id that was wanted.
    pub what: &'static str,
    /// What was given.
    pub text: String,
    /// The form that is accepted.
    pub want: &'static str,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.strip_prefix('r')
            .and_then(|digits| digits.parse().ok())
            .map(RunId)
            .ok_or_else(|| InvalidId {
                what: "run id",
                text: text.to_owned(),
                want: "r followed by a number, as in r7",
            })
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)?;
        self.halves.turns().try_for_each(|turn| write!(f, ".{turn}"))
    }
}

impl FromStr for BatchId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "batch id",
            text: text.to_owned(),
            want: "a number, then .0 or .1 for each half, as in 12.0.1",
        };
        let mut fields = text.split('.');
        let index = fields.next().and_then(|field| field.parse().ok()).ok_or_else(invalid)?;
        let turns: Vec<u8> = fields
            .map(|field| field.parse().map_err(|_| invalid()))
            .collect::<Result<_, _>>()?;
        let halves = Halves::from_turns(turns).ok_or_else(invalid)?;
        Ok(BatchId { index, halves })
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}.{}", self.generation.0, self.sequence)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}.{}", self.generation.0, self.sequence)
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_id_prints_its_halves_and_reads_back() {
        let (_, second) = Halves::default().split().expect("can be halved");
        let (first_of_second, _) = second.split().expect("can be halved");
        let id = BatchId {
            index: 12,
            halves: first_of_second,
        };
        assert_eq!(id.to_string(), "12.1.0");
        assert_eq!("12.1.0".parse(), Ok(id));
        assert!("12.2".parse::<BatchId>().is_err());
        assert!("".parse::<BatchId>().is_err());
    }

    #[test]
    fn halves_are_ordered_by_their_place_in_the_batch() {
        let (first, second) = Halves::default().split().expect("can be halved");
        let (_, end_of_first) = first.split().expect("can be halved");
        let (start_of_second, _) = second.split().expect("can be halved");
        assert!(end_of_first < start_of_second);
    }

    #[test]
    fn an_attempt_prints_as_people_read_it() {
        let task = TaskId {
            run: RunId(7),
            op: OpId(1),
            batch: Some(12.into()),
        };
        assert_eq!(
            AttemptId {
                task,
                attempt: Attempt(2)
            }
            .display("transform_1")
            .to_string(),
            "r7/transform_1[12]#2"
        );
        let whole_run = TaskId { batch: None, ..task };
        assert_eq!(
            AttemptId {
                task: whole_run,
                attempt: Attempt::FIRST
            }
            .display("load")
            .to_string(),
            "r7/load#1"
        );
    }

    #[test]
    fn a_lease_of_a_later_generation_is_greater() {
        let old = LeaseId {
            generation: Generation(1),
            sequence: 900,
        };
        let new = LeaseId {
            generation: Generation(2),
            sequence: 1,
        };
        assert!(old < new);
    }
}
