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

#[test]
fn a_pool_that_is_counted_for_each_run_is_caught() {
    caught(Sabotage::PoolPerRun, &["POOL"]);
}

#[test]
fn a_rate_that_is_counted_for_each_worker_is_caught() {
    caught(Sabotage::RatePerWorker, &["RATE"]);
}

#[test]
fn a_worker_that_comes_back_without_what_it_holds_is_caught() {
    caught(
        Sabotage::HoldingsForgotten,
        &["CAP", "POOL", "PAUSE", "RE-ATTACH", "ORDER", "AGENT"],
    );
}

#[test]
fn token_buckets_that_a_restart_fills_are_caught() {
    caught(Sabotage::BucketsFilledOnRestart, &["RATE"]);
}

#[test]
fn a_pause_that_a_restart_forgets_is_caught() {
    // The coordinator says of a run that is durably paused that it goes on, or lets it.
    caught(Sabotage::PauseForgottenOnRestart, &["PAUSE", "ACK-DURABLE"]);
}

#[test]
fn a_torn_record_that_is_taken_for_whole_is_caught() {
    caught(Sabotage::TornTailAccepted, &["JOURNAL"]);
}

#[test]
fn weights_that_are_ignored_are_caught() {
    caught(Sabotage::WeightsIgnored, &["FAIR SHARE"]);
}
