//! Disks that have no room: attempts fail with the reason and are tried again, nothing half-written is part of a result,
//! and a coordinator that cannot keep its journal ends and goes on right when it is started again with room.

use serde_json::{Value, json};
use tests::cluster::SHORT_LEASES;
use tests::disturbed::in_the_middle;
use tests::own_mounts::{SmallDisk, within};
use tests::{Cluster, Disturbed, Job, Scratch, tables, until};

fn workers(cluster: &mut Cluster) {
    for name in ["w1", "w2"] {
        cluster.add_worker(name, 2);
    }
    cluster.wait_for_workers(2);
}

#[test]
fn a_run_whose_disk_is_full_waits_and_goes_on_when_there_is_room_again() {
    within(|| {
        let mut cluster = Cluster::with_short_leases();
        workers(&mut cluster);
        let disk = SmallDisk::mount(cluster.scratch().path("out"), 1 << 20);
        let disturbed = Disturbed::writing_to(&cluster, &disk.path("disturbed.csv"));
        let run = disturbed.submit(&cluster, "40ms");
        cluster.wait_until(&run, "the run is in its middle", in_the_middle);
        disk.fill();
        cluster.wait_until(&run, "attempts fail", |report| report.tasks.failed >= 5);
        let committed = cluster.show(&run).batches.committed;
        disk.free();
        cluster.wait_until(&run, "the run goes on", |report| report.batches.committed > committed);
        let attempts = disturbed.expect_same(&cluster, &run);
        assert!(
            attempts
                .iter()
                .any(|attempt| attempt.state == "failed" && attempt.op == "load")
        );
        disturbed.expect_nothing_else();
        cluster.finish();
    });
}

#[test]
fn a_run_whose_disk_stays_full_fails_with_the_reason_and_leaves_nothing_half_written() {
    within(|| {
        let mut cluster = Cluster::with_short_leases();
        workers(&mut cluster);
        let disk = SmallDisk::mount(cluster.scratch().path("out"), 1 << 20);
        let disturbed = Disturbed::writing_to(&cluster, &disk.path("disturbed.csv"));
        let impatient = json!({ "max_attempts": 2, "initial_backoff": "50ms" });
        let run = cluster.submit(&disturbed.job(&cluster, "20ms").of_op("load", "retry", impatient));
        cluster.wait_until(&run, "the run is in its middle", in_the_middle);
        disk.fill();
        let report = cluster.wait_for_end(&run);
        assert_eq!(report.state, "failed", "{report:#?}");
        let failure = report.failure.clone().expect("a failed run says why");
        for word in ["disturbed.csv", "free some space"] {
            assert!(failure.message.contains(word), "{}", failure.message);
        }
        assert_eq!(failure.op.as_deref(), Some("load"));
        report.expect_balance();
        disturbed.expect_nothing();
        cluster.finish();
    });
}

#[test]
fn a_coordinator_whose_disk_is_full_ends_and_goes_on_right_when_there_is_room_again() {
    within(|| {
        let scratch = Scratch::new();
        let disk = SmallDisk::mount(scratch.path("state"), 8 << 20);
        let mut cluster = Cluster::coordinator_with_scratch(scratch, SHORT_LEASES);
        workers(&mut cluster);
        let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
        let run = disturbed.submit(&cluster, "200ms");
        cluster.wait_until(&run, "the run is in its middle", in_the_middle);
        disk.fill();
        // What the journal has room for already is no reason to give up; submissions make it grow.
        let more = Job::over(cluster.scratch().write("more.csv", tables::people(10))).discard();
        let status = until("the coordinator gives up", || {
            cluster.try_submit(&more);
            cluster.coordinator().ended()
        });
        assert_eq!(status.code(), Some(1), "{}", cluster.coordinator().log());
        let log = cluster.coordinator().log();
        assert!(log.contains("No space left on device"), "it says why it ends:\n{log}");
        disk.free();
        cluster.start_coordinator();
        cluster.wait_for_workers(2);
        // The timeline was on the full disk too, so it may miss rows; those that it has are judged in full.
        disturbed.expect_same_as_far_as_known(&cluster, &run);
        disturbed.expect_nothing_else();
        cluster.finish();
    });
}

#[test]
fn a_submission_that_cannot_be_kept_is_not_acknowledged() {
    within(|| {
        let scratch = Scratch::new();
        let disk = SmallDisk::mount(scratch.path("state"), 8 << 20);
        let mut cluster = Cluster::coordinator_with_scratch(scratch, SHORT_LEASES);
        let table = cluster.scratch().write("people.csv", tables::people(10));
        let job = Job::over(table).discard();
        let mut acknowledged = vec![cluster.submit(&job)];
        disk.fill();
        // Room that the journal has taken before may hold some.
        until("a submission is refused", || {
            let ended = cluster.try_submit(&job);
            let answer: Option<Value> = ended
                .stdout
                .lines()
                .next()
                .and_then(|line| serde_json::from_str(line).ok());
            acknowledged.extend(answer.and_then(|answer| Some(answer["run"].as_str()?.to_owned())));
            (ended.code != 0).then_some(())
        });
        until("the coordinator gives up", || cluster.coordinator().ended());
        disk.free();
        cluster.start_coordinator();
        cluster.add_worker("w1", 2);
        for run in acknowledged {
            cluster.wait_for_end(&run).expect_success();
        }
        cluster.finish();
    });
}
