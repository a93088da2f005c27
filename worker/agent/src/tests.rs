//! Scenarios: input -> exact list of actions, with the invariants recomputed after every step.

mod draining;
mod expiry;
mod leases;
mod overtime;
mod properties;
mod reattach;
mod scenario;
