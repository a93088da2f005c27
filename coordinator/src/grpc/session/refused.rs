//! Why a worker got no session, in words and as a gRPC status.

use std::time::Duration;

use common::ids::SessionId;
use common::job::FieldProblem;
use scheduler::EndReason;
use tonic::Status;

use crate::driver::Stopped;
use crate::grpc::status::{ToStatus, bad_request, invalid_field, unavailable, wrong_state};

/// The version of the protocol that is spoken here.
pub const PROTOCOL_VERSION: u32 = 1;
/// How long a new connection may take to say hello.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a worker got no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionRefused {
    /// It speaks another protocol.
    #[error(
        "the worker speaks version {theirs} of the protocol, this coordinator version {PROTOCOL_VERSION}; \
         use programs of the same release"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// The session it wants to go on with is over.
    #[error("session {session} cannot be resumed; connect without resume")]
    NotResumable {
        /// The session.
        session: SessionId,
    },
    /// Its worker has connected once more meanwhile.
    #[error("session {session} goes on over a newer connection")]
    DialledAgain {
        /// The session.
        session: SessionId,
    },
    /// The scheduler ended its session before it began.
    #[error("the session was ended before it began")]
    Ended(EndReason),
    /// Its first frame was none, or came too late.
    #[error("the first frame of a session carries a hello, within {} s", HELLO_TIMEOUT.as_secs())]
    NoHello,
    /// Its hello is wrong.
    #[error("{}: {}", .0.path, .0.problem)]
    InvalidHello(FieldProblem),
    /// Nobody is there to give it work.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ToStatus for SessionRefused {
    fn to_status(&self) -> Status {
        match self {
            SessionRefused::Version { .. } => wrong_state("PROTOCOL_VERSION", self),
            SessionRefused::NotResumable { .. } => wrong_state("SESSION_NOT_RESUMABLE", self),
            // A worker is told in a frame; this is for whoever looks at the status alone.
            SessionRefused::Ended(_) => unavailable("SESSION_ENDED", self),
            // Nobody waits for it; a worker that did would dial again.
            SessionRefused::DialledAgain { .. } => unavailable("DIALLED_AGAIN", self),
            SessionRefused::NoHello => bad_request("NO_HELLO", self),
            SessionRefused::InvalidHello(problem) => invalid_field(&problem.path, &problem.problem),
            SessionRefused::Stopped(stopped) => stopped.to_status(),
        }
    }
}
