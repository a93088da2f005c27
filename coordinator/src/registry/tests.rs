//! What the registry knows after which records.

use common::ids::{Generation, LeaseId};
use common::job::{Batching, CsvDialect, FailurePolicy, Op, OpKind, Schedule, Source};

use super::*;
use crate::testing::ended_summary;

fn job(name: &str) -> Arc<Job> {
    Arc::new(Job {
        name: name.to_owned(),
        source: Source {
            uris: vec!["in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops: vec![Op::extract(), Op::new("rest", OpKind::Noop)],
        failure: FailurePolicy::default(),
        labels: BTreeMap::new(),
        seed: None,
    })
}

fn accepted(run: u64, request_id: Option<&str>) -> Record {
    Record::RunAccepted {
        run: RunId(run),
        job: job("first"),
        source: Arc::default(),
        seed: 7,
        request_id: request_id.map(str::to_owned),
        at: Time(1),
    }
}

#[test]
fn the_same_submission_is_the_first_run_and_another_spec_is_refused() {
    let mut registry = Registry::new(10);
    registry.apply(&accepted(1, Some("mine")));
    assert_eq!(registry.find_submission("mine", &job("first")), Ok(Some(RunId(1))));
    assert_eq!(
        registry.find_submission("mine", &job("second")),
        Err(RequestIdTaken { run: RunId(1) })
    );
    assert_eq!(registry.find_submission("other", &job("second")), Ok(None));
}

#[test]
fn only_the_newest_ended_runs_are_kept_and_live_ones_always() {
    let mut registry = Registry::new(1);
    for run in 1..=3 {
        registry.apply(&accepted(run, Some(&format!("request {run}"))));
    }
    for run in [2, 3] {
        registry.apply(&Record::RunEnded {
            summary: Arc::new(ended_summary(RunId(run))),
        });
    }
    let known: Vec<RunId> = registry.runs_before(None).map(|(run, _)| run).collect();
    assert_eq!(known, [RunId(3), RunId(1)]);
    assert_eq!(registry.find_submission("request 2", &job("first")), Ok(None));
}

#[test]
fn committed_parts_are_listed_in_the_order_of_the_source() {
    let mut registry = Registry::new(1);
    registry.apply(&accepted(1, None));
    for batch in [5, 2] {
        registry.apply(&Record::BatchCommitted {
            run: RunId(1),
            batch: BatchId::whole(batch),
            lease: LeaseId {
                generation: Generation(1),
                sequence: batch,
            },
            at: Time(1),
            rows: RowCounts::default(),
            parts: vec![Part {
                op: OpId(1),
                file: format!("part-{batch}"),
                offset: 0,
                length: 1,
                checksum: 0,
                rows: 1,
            }],
        });
    }
    let entry = registry.run(RunId(1)).expect("is known");
    let batches: Vec<u64> = entry.committed.keys().map(|batch| batch.index).collect();
    assert_eq!(batches, [2, 5]);
}
