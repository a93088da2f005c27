//! The worker token: one secret that the coordinator and its workers share, so that nobody else works for them.
//!
//! A worker shows it with every call to WorkerService, as `authorization: Bearer ...`; the coordinator compares it in
//! constant time. It is read from a file, never from a flag, and it is redacted wherever it could be printed.
//!
//! Known weakness: without encryption, whoever can read the traffic between the two reads the token.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

const HEADER: &str = "authorization";
/// A shorter one could be guessed.
const SHORTEST: usize = 16;
/// A larger file is not a token's.
const MAX_FILE_BYTES: u64 = 4_096;

/// A secret of at least 16 visible characters.
#[derive(Clone)]
pub struct WorkerToken {
    bearer: MetadataValue<Ascii>,
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file cannot be read.
    #[error("failed to read the worker token from {file:?}: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// What is in the file is not good enough.
    #[error(
        "the worker token in {file:?} is no line of at least {SHORTEST} visible characters; make one with `openssl rand -hex 32`"
    )]
    Unfit {
        /// The file.
        file: PathBuf,
    },
}

impl WorkerToken {
    /// Reads a token from a file of one line; white space around it does not count.
    ///
    /// # Errors
    /// [`TokenError`] names the file.
    pub fn read(file: &Path) -> Result<WorkerToken, TokenError> {
        let mut text = String::new();
        std::fs::File::open(file)
            .and_then(|open| open.take(MAX_FILE_BYTES).read_to_string(&mut text))
            .map_err(|source| TokenError::Read {
                file: file.to_owned(),
                source,
            })?;
        WorkerToken::new(&text).ok_or_else(|| TokenError::Unfit { file: file.to_owned() })
    }

    /// Takes a text as a token; `None` if it is too short, or holds other than visible ASCII characters.
    pub fn new(text: &str) -> Option<WorkerToken> {
        let secret = text.trim();
        if secret.len() < SHORTEST || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut bearer = MetadataValue::try_from(format!("Bearer {secret}")).ok()?;
        bearer.set_sensitive(true);
        Some(WorkerToken { bearer })
    }

    /// Adds the token to the metadata of a call.
    pub fn authorize(&self, metadata: &mut MetadataMap) {
        metadata.insert(HEADER, self.bearer.clone());
    }

    /// Tells whether the metadata of a call holds this token. Takes the same time whichever characters differ.
    pub fn authorizes(&self, metadata: &MetadataMap) -> bool {
        let expected = digest(self.bearer.as_encoded_bytes()).finalize().into_bytes();
        let shown = metadata.get(HEADER).map_or(&[][..], MetadataValue::as_encoded_bytes);
        digest(shown).verify_slice(&expected).is_ok()
    }
}

impl fmt::Debug for WorkerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WorkerToken(redacted)")
    }
}

/// Digests of one length can be compared in constant time, whatever the lengths of what they stand for.
fn digest(bytes: &[u8]) -> Hmac<Sha256> {
    let mut digest = Hmac::<Sha256>::new_from_slice(b"plumbline worker token").expect("HMAC takes keys of any length");
    digest.update(bytes);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> WorkerToken {
        WorkerToken::new(text).expect("a token")
    }

    #[test]
    fn a_token_authorizes_the_calls_that_show_it_and_no_others() {
        let mut metadata = MetadataMap::new();
        assert!(!token("0123456789abcdef").authorizes(&metadata));
        token("0123456789abcdef").authorize(&mut metadata);
        assert!(token("0123456789abcdef\n").authorizes(&metadata));
        assert!(!token("0123456789abcdee").authorizes(&metadata));
        assert!(!token("0123456789abcdef0").authorizes(&metadata));
    }

    #[test]
    fn a_token_that_could_be_guessed_or_sent_wrongly_is_refused() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdé"] {
            assert!(WorkerToken::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let mut metadata = MetadataMap::new();
        let token = token("0123456789abcdef");
        token.authorize(&mut metadata);
        assert!(!format!("{token:?} {metadata:?}").contains("0123456789"));
    }
}
