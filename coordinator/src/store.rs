//! What must survive: the journal's seam, and the folder that a coordinator keeps its state in.
//!
//! [`Journal`] is what the driver writes to; [`MemoryJournal`] is the implementation that forgets everything with
//! the process. [`StateDir`] locks a folder against a second coordinator and keeps the generation in it, raised
//! durably at every start. Owns no scheduling and no reading for people: that is the registry's.

mod journal;
mod memory;
mod state_dir;

pub use journal::{Durability, Entry, Journal, JournalError};
pub use memory::MemoryJournal;
pub use state_dir::{StateDir, StateDirError};
