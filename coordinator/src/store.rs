//! What must survive: the journal's seam, and the folder that a coordinator keeps its state in.
//!
//! [`Journal`] is what the driver writes to. [`EmbeddedJournal`] keeps it in a file of the state folder;
//! [`MemoryJournal`] forgets everything with the process. [`Archive`] reads what is kept beside the ledger. [`StateDir`]
//! locks a folder against a second coordinator and keeps the generation in it, raised durably at every start. Owns no
//! scheduling and no reading for people: that is the registry's.

mod embedded;
mod journal;
mod memory;
mod origins;
mod packed;
mod state_dir;

pub use embedded::EmbeddedJournal;
pub use journal::{Archive, ArchiveError, Durability, Entry, Journal, JournalError};
pub use memory::MemoryJournal;
pub(crate) use origins::beginnings;
pub use state_dir::{StateDir, StateDirError};
