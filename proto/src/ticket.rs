//! The right to fetch a parked output: an HMAC that only the coordinator and the output's holder can make.
//!
//! The coordinator gives each worker session a secret key. When it leases a batch whose output lies on another worker,
//! it signs (run, output, lease) with the *holder's* key; the fetching worker passes the ticket on, and the holder
//! checks it without asking anybody. A ticket is good for one lease only, and for as long as the holder's session.

use common::ids::{LeaseId, OutputId, RunId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the ticket with which the holder of a lease may fetch an output: HMAC-SHA256 with the key of the session
/// that keeps the output.
pub fn fetch_ticket(exchange_key: &[u8], run: RunId, output: OutputId, lease: LeaseId) -> [u8; 32] {
    signer(exchange_key, run, output, lease).finalize().into_bytes().into()
}

/// Tells whether a ticket is the right one, in constant time.
pub fn is_valid_ticket(exchange_key: &[u8], run: RunId, output: OutputId, lease: LeaseId, ticket: &[u8]) -> bool {
    signer(exchange_key, run, output, lease).verify_slice(ticket).is_ok()
}

/// Every number goes in at a fixed width, but for the halves, whose count goes before them: no two meanings share bytes.
fn signer(exchange_key: &[u8], run: RunId, output: OutputId, lease: LeaseId) -> Hmac<Sha256> {
    let mut signer = Hmac::<Sha256>::new_from_slice(exchange_key).expect("HMAC takes keys of any length");
    signer.update(b"plumbline fetch ticket 1");
    signer.update(&run.0.to_le_bytes());
    signer.update(&output.batch.index.to_le_bytes());
    signer.update(&[output.batch.halves.depth()]);
    let turns: Vec<u8> = output.batch.halves.turns().collect();
    signer.update(&turns);
    signer.update(&output.op.0.to_le_bytes());
    signer.update(&output.attempt.0.to_le_bytes());
    signer.update(&lease.generation.0.to_le_bytes());
    signer.update(&lease.sequence.to_le_bytes());
    signer
}

#[cfg(test)]
mod tests {
    use common::ids::{Attempt, BatchId, Generation, OpId};

    use super::*;

    #[test]
    fn a_ticket_is_good_for_one_output_one_lease_and_one_key() {
        let output = OutputId {
            batch: BatchId::whole(3),
            op: OpId(1),
            attempt: Attempt::FIRST,
        };
        let lease = LeaseId {
            generation: Generation(1),
            sequence: 9,
        };
        let ticket = fetch_ticket(b"key", RunId(1), output, lease);
        assert!(is_valid_ticket(b"key", RunId(1), output, lease, &ticket));
        assert!(!is_valid_ticket(b"another", RunId(1), output, lease, &ticket));
        assert!(!is_valid_ticket(b"key", RunId(2), output, lease, &ticket));
        assert!(!is_valid_ticket(b"key", RunId(1), output, lease, &ticket[..31]));
        let later = LeaseId { sequence: 10, ..lease };
        assert!(!is_valid_ticket(b"key", RunId(1), output, later, &ticket));
    }
}
