//! The simulator bites: each of these coordinators or workers is broken on purpose, and caught within 500 histories.

use simulator::history;
use simulator::sabotage::Sabotage;

/// How many histories it may take.
const SEEDS: u64 = 500;

#[track_caller]
fn caught(sabotage: Sabotage, oracles: &[&str]) {
    let failure = history::hunt(0..SEEDS, sabotage).expect("some history shows what is broken");
    let oracle = failure.broken.oracle.as_str();
    assert!(oracles.contains(&oracle), "seed {}: {:?}", failure.seed, failure.broken);
}

#[test]
fn a_world_without_fencing_is_caught() {
    caught(Sabotage::FencingOff, &["FENCE"]);
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    caught(Sabotage::AcknowledgedBeforeSync, &["ACK-DURABLE"]);
}

#[test]
fn a_cap_that_is_counted_for_each_worker_is_caught() {
    caught(Sabotage::CapPerWorker, &["CAP"]);
}

#[test]
fn leases_that_a_restart_forgets_are_caught() {
    caught(Sabotage::LeasesForgottenOnRestart, &["CAP"]);
}

#[test]
fn a_worker_that_does_not_stop_itself_is_caught() {
    caught(Sabotage::WorkerNeverStops, &["CAP"]);
}

#[test]
fn a_heartbeat_that_is_answered_before_it_counts_is_caught() {
    caught(Sabotage::EchoBeforeCounting, &["CAP"]);
}
