//! What a hello says that its process holds: read, checked, and put into the coordinator's time.

use common::holdings::{HeldState, Holdings};
use common::job::FieldProblem;
use common::time::Time;
use proto::v1;
use scheduler::Reattached;

use super::new_exchange_key;
use crate::clock::Clock;

/// The bytes of a key that an exchange checks tickets with.
const KEY_BYTES: usize = 32;

/// What a process holds from a session that is over here.
pub(super) struct Claim {
    /// What is held, its times mapped to the coordinator's clock.
    pub(super) reattached: Reattached,
    /// The key of the process' exchange: tickets that were made with it stay valid.
    pub(super) exchange_key: Vec<u8>,
}

impl Claim {
    /// Reads the claim of a hello that has just arrived.
    pub(super) fn new(mut wire: v1::Holdings, clock: &Clock, same_clock: bool) -> Result<Claim, FieldProblem> {
        let from = wire.session.take().unwrap_or_default().into();
        let known_key = std::mem::take(&mut wire.exchange_key);
        let exchange_key = if known_key.len() == KEY_BYTES {
            known_key
        } else {
            new_exchange_key()
        };
        let listed_at = wire.listed_at_nanos;
        let mut holdings = Holdings::try_from(wire)
            .map_err(|invalid| FieldProblem::new(format!("hello.holdings.{}", invalid.field), invalid.problem))?;
        let now = clock.now();
        let here = |there: Time| {
            // Without a common clock, the way of the hello is what the time is off by at most.
            let nanos = if same_clock {
                there.0.saturating_add(clock.offset_nanos())
            } else {
                now.0.saturating_sub(listed_at.saturating_sub(there.0))
            };
            Time(nanos).min(now)
        };
        for held in &mut holdings.leases {
            if let HeldState::Running {
                since, fetch_started, ..
            } = &mut held.state
            {
                *since = since.map(here);
                *fetch_started = fetch_started.map(here);
            }
        }
        Ok(Claim {
            reattached: Reattached { from, holdings },
            exchange_key,
        })
    }
}
