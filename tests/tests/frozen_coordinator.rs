//! A coordinator that is frozen while its workers go on: they stop before their leases can be over, and when it thaws,
//! the run ends with the output of an undisturbed one and the cap was held all the while.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::disturbed::in_the_middle;
use tests::{Cluster, Disturbed, until};

/// Freezes the coordinator in the middle of a run for a time, and judges the run.
fn freeze_for(time: Duration) {
    let mut cluster = Cluster::with_short_leases();
    for name in ["w1", "w2"] {
        cluster.add_worker(name, 2);
    }
    cluster.wait_for_workers(2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "100ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.coordinator().signal(Signal::STOP);
    let frozen = Instant::now();
    until("it was frozen for long enough", || {
        (frozen.elapsed() >= time).then_some(())
    });
    cluster.coordinator().signal(Signal::CONT);
    cluster.wait_for_workers(2);
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_freeze_shorter_than_a_lease_changes_nothing() {
    freeze_for(Duration::from_millis(300));
}

#[test]
fn a_freeze_longer_than_a_lease_changes_nothing_in_the_output() {
    freeze_for(Duration::from_millis(2_500));
}
