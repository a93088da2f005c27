//! Parked outputs: what waits on this worker for its next op, here or elsewhere.
//!
//! Owns the data of kept outputs: in memory while the worker's budget ([`Memory`]) has room for them, otherwise spilled
//! to files as Arrow IPC: the one that comes when it does not fit, those that are there when chains need the room. A
//! spill file is unlinked as soon as it is made, so the system deletes it with the process, however that ends. Which outputs are
//! kept and dropped is the agent's decision.
//!
//! Data comes from the slots' threads with [`Parking::park`], and goes to them with [`Parking::get`] or to other
//! workers with [`Parking::ipc`]; all of it is synchronous and may read or write a file.
//!
//! Known weakness: each spilled output holds one file descriptor, and the largest output is spilled, not the one that
//! will wait longest; while it is written it takes its bytes twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::ids::{OutputId, RunId};

use crate::batch::{Batch, BatchBytesError};
use crate::memory::{Held, Memory, Use};

/// The parked outputs of a worker.
#[derive(Debug)]
pub struct Parking {
    spill_dir: PathBuf,
    memory: Arc<Memory>,
    files_made: AtomicU64,
    parked: Mutex<Parked>,
}

#[derive(Debug, Default)]
struct Parked {
    outputs: BTreeMap<(RunId, OutputId), Output>,
    /// The bytes in files.
    spilled: u64,
}

/// Where an output's data is.
#[derive(Clone, Debug)]
enum Output {
    Memory { batch: Batch, held: Arc<Held> },
    Spilled { file: Arc<File>, bytes: u64 },
}

/// How many bytes are parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParkedBytes {
    /// In memory.
    pub memory: u64,
    /// In files.
    pub spilled: u64,
}

/// A parked output cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParkingError {
    /// Its file cannot be read or written.
    #[error("read or write a spilled output: {0}")]
    Io(#[from] io::Error),
    /// Its bytes are no batch.
    #[error("a spilled output: {0}")]
    Bytes(#[from] BatchBytesError),
}

impl Parking {
    /// Makes an empty parking that keeps in memory what fits there and spills the rest to files in a folder.
    pub fn new(memory: Arc<Memory>, spill_dir: PathBuf) -> Parking {
        Parking {
            spill_dir,
            memory,
            files_made: AtomicU64::new(0),
            parked: Mutex::default(),
        }
    }

    /// Keeps an output and returns its size in bytes. A spill that fails leaves it in memory.
    pub fn park(&self, run: RunId, output: OutputId, batch: Batch) -> u64 {
        let bytes = batch.bytes_held();
        let kept = match self.memory.try_hold(Use::Parked, bytes) {
            Some(held) => in_memory(batch, held),
            None => self.spill(&batch).unwrap_or_else(|error| {
                tracing::warn!(%run, %error, "an output could not be spilled and stays in memory");
                in_memory(batch, self.memory.hold(Use::Parked, bytes))
            }),
        };
        let size = kept.bytes();
        self.lock().insert((run, output), kept);
        size
    }

    /// Spills outputs until the budget holds again, or none is left in memory.
    pub fn make_room(&self) {
        while self.memory.is_over_budget() {
            let Some((key, batch)) = self.lock().largest_in_memory() else {
                return;
            };
            match self.spill(&batch) {
                Ok(spilled) => self.lock().replace(key, spilled),
                Err(error) => {
                    tracing::warn!(run = %key.0, %error, "an output could not be spilled and stays in memory");
                    return;
                }
            }
        }
    }

    /// Moves a kept output out of memory, because nobody will want it for a while, and returns its size in bytes. A spill
    /// that fails leaves it in memory.
    pub fn set_aside(&self, run: RunId, output: OutputId) -> Option<u64> {
        let kept = self.find(run, output)?;
        let Output::Memory { batch, .. } = &kept else {
            return Some(kept.bytes());
        };
        match self.spill(batch) {
            Ok(spilled) => {
                let size = spilled.bytes();
                self.lock().replace((run, output), spilled);
                Some(size)
            }
            Err(error) => {
                tracing::warn!(%run, %error, "an output could not be spilled and stays in memory");
                Some(kept.bytes())
            }
        }
    }

    /// Returns a kept output; `None` if there is none of that name.
    pub fn get(&self, run: RunId, output: OutputId) -> Result<Option<Batch>, ParkingError> {
        match self.find(run, output) {
            None => Ok(None),
            Some(Output::Memory { batch, .. }) => Ok(Some(batch)),
            Some(Output::Spilled { file, bytes }) => Ok(Some(Batch::from_ipc(&read(&file, bytes)?)?)),
        }
    }

    /// Returns a kept output as an Arrow IPC stream; `None` if there is none of that name.
    pub fn ipc(&self, run: RunId, output: OutputId) -> Result<Option<Vec<u8>>, ParkingError> {
        match self.find(run, output) {
            None => Ok(None),
            Some(Output::Memory { batch, .. }) => Ok(Some(batch.to_ipc()?)),
            Some(Output::Spilled { file, bytes }) => Ok(Some(read(&file, bytes)?)),
        }
    }

    /// Returns the size of a kept output in bytes.
    pub fn size(&self, run: RunId, output: OutputId) -> Option<u64> {
        self.lock().outputs.get(&(run, output)).map(Output::bytes)
    }

    /// Deletes an output; one that is not kept is fine.
    pub fn drop_output(&self, run: RunId, output: OutputId) {
        self.lock().remove(&(run, output));
    }

    /// Deletes what is kept for a run.
    pub fn drop_run(&self, run: RunId) {
        let mut parked = self.lock();
        let of_run: Vec<_> = parked
            .outputs
            .keys()
            .copied()
            .filter(|(owner, _)| *owner == run)
            .collect();
        for key in of_run {
            parked.remove(&key);
        }
    }

    /// Returns how many bytes are parked.
    pub fn bytes(&self) -> ParkedBytes {
        ParkedBytes {
            memory: self.memory.bytes().parked,
            spilled: self.lock().spilled,
        }
    }

    /// Returns the memory that parked outputs count against.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn find(&self, run: RunId, output: OutputId) -> Option<Output> {
        self.lock().outputs.get(&(run, output)).cloned()
    }

    fn spill(&self, batch: &Batch) -> Result<Output, ParkingError> {
        let ipc = batch.to_ipc()?;
        let mut file = self.unlinked_file()?;
        file.write_all(&ipc)?;
        Ok(Output::Spilled {
            file: Arc::new(file),
            bytes: ipc.len() as u64,
        })
    }

    fn unlinked_file(&self) -> io::Result<File> {
        let number = self.files_made.fetch_add(1, Ordering::Relaxed);
        let name = format!("plumb-spill-{}-{number}-{}", std::process::id(), uuid::Uuid::new_v4());
        let path = self.spill_dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parked {
    fn insert(&mut self, key: (RunId, OutputId), output: Output) {
        self.remove(&key);
        self.spilled += output.spilled();
        self.outputs.insert(key, output);
    }

    fn remove(&mut self, key: &(RunId, OutputId)) {
        if let Some(output) = self.outputs.remove(key) {
            self.spilled -= output.spilled();
        }
    }

    /// Puts a spilled output in the place of the same one in memory, unless that is gone.
    fn replace(&mut self, key: (RunId, OutputId), output: Output) {
        if self.outputs.contains_key(&key) {
            self.insert(key, output);
        }
    }

    fn largest_in_memory(&self) -> Option<((RunId, OutputId), Batch)> {
        let in_memory = self.outputs.iter().filter_map(|(key, output)| match output {
            Output::Memory { batch, held } => Some((held.bytes(), key, batch)),
            Output::Spilled { .. } => None,
        });
        let largest = in_memory.max_by_key(|(bytes, _, _)| *bytes);
        largest.map(|(_, key, batch)| (*key, batch.clone()))
    }
}

impl Output {
    fn bytes(&self) -> u64 {
        match self {
            Output::Memory { held, .. } => held.bytes(),
            Output::Spilled { bytes, .. } => *bytes,
        }
    }

    fn spilled(&self) -> u64 {
        match self {
            Output::Memory { .. } => 0,
            Output::Spilled { bytes, .. } => *bytes,
        }
    }
}

fn in_memory(batch: Batch, held: Held) -> Output {
    let held = Arc::new(held);
    Output::Memory { batch, held }
}

fn read(file: &File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut buffer, 0)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use common::ids::BatchId;
    use common::units::ByteSize;

    use super::*;
    use crate::testing::{batch_of, output};

    const RUN: RunId = RunId(1);

    #[test]
    fn what_does_not_fit_in_memory_is_spilled_and_comes_back() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let batch = batch_of(1_000);
        let parking = Parking::new(Memory::new(ByteSize(batch.bytes_held())), dir.path().to_owned());
        for index in 0..3 {
            parking.park(RUN, output(index, 1), batch.clone());
        }
        let bytes = parking.bytes();
        assert_eq!(bytes.memory, batch.bytes_held());
        assert!(bytes.spilled > 0);
        for index in 0..3 {
            let back = parking.get(RUN, output(index, 1)).expect("is read").expect("is kept");
            assert_eq!(back.records(), batch.records());
        }
        let left = std::fs::read_dir(dir.path()).expect("is a folder").count();
        assert_eq!(left, 0, "a spill file has no name that could be left over");
        parking.drop_run(RUN);
        assert_eq!(parking.bytes(), ParkedBytes::default());
    }

    #[test]
    fn what_is_set_aside_leaves_the_memory_and_comes_back() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let batch = batch_of(1_000);
        let parking = Parking::new(Memory::new(ByteSize(1 << 30)), dir.path().to_owned());
        let output = output(0, 1);
        parking.park(RUN, output, batch.clone());
        let size = parking.set_aside(RUN, output).expect("is kept");
        assert_eq!(
            parking.bytes(),
            ParkedBytes {
                memory: 0,
                spilled: size
            }
        );
        assert_eq!(parking.set_aside(RUN, output), Some(size));
        let back = parking.get(RUN, output).expect("is read").expect("is kept");
        assert_eq!(back.records(), batch.records());
        parking.drop_output(RUN, output);
        assert_eq!(parking.set_aside(RUN, output), None);
        assert_eq!(parking.bytes(), ParkedBytes::default());
    }

    #[test]
    fn a_folder_that_is_gone_leaves_the_output_in_memory() {
        let parking = Parking::new(Memory::new(ByteSize(0)), PathBuf::from("/nowhere/at/all"));
        let output = output(BatchId::whole(1).index, 1);
        parking.park(RUN, output, batch_of(3));
        assert!(parking.get(RUN, output).expect("is read").is_some());
        parking.drop_output(RUN, output);
        parking.drop_output(RUN, output);
        assert_eq!(parking.bytes(), ParkedBytes::default());
    }

    #[test]
    fn parked_outputs_give_way_when_chains_need_the_room() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let (small, large) = (batch_of(100), batch_of(1_000));
        let both = small.bytes_held() + large.bytes_held();
        let memory = Memory::new(ByteSize(both));
        let parking = Parking::new(Arc::clone(&memory), dir.path().to_owned());
        parking.park(RUN, output(0, 1), small.clone());
        parking.park(RUN, output(1, 1), large.clone());
        parking.make_room();
        assert_eq!((parking.bytes().memory, parking.bytes().spilled), (both, 0));
        let _chain = memory.hold(Use::Running, 1);
        parking.make_room();
        assert_eq!(parking.bytes().memory, small.bytes_held(), "the largest is enough");
        assert!(parking.bytes().spilled > 0);
        let back = parking.get(RUN, output(1, 1)).expect("is read").expect("is kept");
        assert_eq!(back.records(), large.records());
        let _larger = memory.hold(Use::Running, 2 * both);
        parking.make_room();
        assert_eq!(
            parking.bytes().memory,
            0,
            "what chains hold cannot be spilled, everything else is"
        );
    }
}
