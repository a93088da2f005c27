//! What can go wrong with the file, and how it is told to whoever started the coordinator.

use std::path::Path;

use scheduler::RecordSequence;

use super::codec::Damage;
use super::tables::FORMAT;
use crate::store::JournalError;

/// What can go wrong inside; becomes a [`JournalError`] with the file's path.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// A value is not what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// Records are missing.
    #[error("record {} follows record {}", got.0, last.0)]
    Gap { last: RecordSequence, got: RecordSequence },
    /// The storage library refuses.
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// A newer program wrote it.
    #[error("format {found} is newer than {FORMAT}")]
    Newer { found: u32 },
    /// An older program wrote it.
    #[error("format {found} is older than {FORMAT}")]
    Older { found: u32 },
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                StoreError::Redb(error.into())
            }
        })+
    };
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::CompactionError
);

impl StoreError {
    /// Says it with the file's path, and what to do.
    pub(super) fn at(self, path: &Path) -> JournalError {
        let path = path.display().to_string();
        match self {
            StoreError::Newer { found } => JournalError::Newer {
                path,
                found,
                known: FORMAT,
            },
            StoreError::Older { found } => JournalError::Older {
                path,
                found,
                known: FORMAT,
            },
            StoreError::Redb(redb::Error::Corrupted(what)) => JournalError::Damaged { path, what },
            StoreError::Redb(redb::Error::UpgradeRequired(_)) => JournalError::Damaged {
                path,
                what: "it is of another version of the storage library".to_owned(),
            },
            StoreError::Damage(_) | StoreError::Gap { .. } => JournalError::Damaged {
                path,
                what: self.to_string(),
            },
            // The file does not begin as one of the library's files does.
            StoreError::Redb(redb::Error::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                JournalError::Damaged {
                    path,
                    what: error.to_string(),
                }
            }
            StoreError::Redb(_) | StoreError::Io(_) => JournalError::Storage {
                path,
                reason: self.to_string(),
            },
        }
    }
}
