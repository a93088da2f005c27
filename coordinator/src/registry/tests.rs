//! What the registry knows after which records.

use common::job::OpKind;

use super::*;
use crate::testing::{self, ended_summary};

fn job(name: &str) -> Arc<Job> {
    Arc::new(testing::job(name, [("rest", OpKind::Noop)]))
}

fn accepted(run: u64, request_id: Option<&str>) -> Record {
    Record::RunAccepted {
        run: RunId(run),
        job: job("first"),
        source: Arc::default(),
        seed: 7,
        request_id: request_id.map(str::to_owned),
        rerun: None,
        at: Time(1),
    }
}

fn keep(runs: usize) -> Retention {
    Retention {
        runs,
        age: Duration::from_secs(60),
    }
}

#[test]
fn the_same_submission_is_the_first_run_and_another_spec_is_refused() {
    let mut registry = Registry::new(keep(10));
    registry.apply(&accepted(1, Some("mine")));
    assert_eq!(
        registry.find_submission("mine", &job("first"), None),
        Ok(Some(RunId(1)))
    );
    assert_eq!(
        registry.find_submission("mine", &job("second"), None),
        Err(RequestIdTaken { run: RunId(1) })
    );
    assert_eq!(registry.find_submission("other", &job("second"), None), Ok(None));
}

#[test]
fn only_the_newest_ended_runs_are_kept_and_live_ones_always() {
    let mut registry = Registry::new(keep(1));
    for run in 1..=3 {
        registry.apply(&accepted(run, Some(&format!("request {run}"))));
    }
    for run in [2, 3] {
        registry.apply(&Record::RunEnded {
            summary: Arc::new(ended_summary(RunId(run))),
            used: scheduler::UsedUp::default(),
        });
    }
    let known: Vec<RunId> = registry.runs_before(None).map(|(run, _)| run).collect();
    assert_eq!(known, [RunId(3), RunId(1)]);
    assert_eq!(registry.find_submission("request 2", &job("first"), None), Ok(None));
    assert_eq!(registry.take_forgotten(), [RunId(2)]);
}

#[test]
fn a_run_at_whose_checkpoints_a_live_one_begins_is_kept_beside_the_others_until_that_ends() {
    let mut registry = Registry::new(keep(1));
    let end = |registry: &mut Registry, run: u64| {
        registry.apply(&Record::RunEnded {
            summary: Arc::new(ended_summary(RunId(run))),
            used: scheduler::UsedUp::default(),
        });
    };
    let known = |registry: &Registry| registry.runs_before(None).map(|(run, _)| run.0).collect::<Vec<_>>();
    registry.apply(&accepted(1, None));
    end(&mut registry, 1);
    let rerun = Rerun {
        of: RunId(1),
        from: "rest".to_owned(),
        behind: common::ids::OpId(0),
        origins: vec![Origin {
            run: RunId(1),
            up_to: common::ids::OpId(0),
        }],
        kept: 1,
        gone: 0,
        by: common::steering::Asker::Grpc,
    };
    // Before its record is durable, and over a restart.
    registry.need(Some(&rerun), RunId(2));
    let record = Record::RunAccepted {
        run: RunId(2),
        job: job("again"),
        source: Arc::default(),
        seed: 7,
        request_id: Some("mine".to_owned()),
        rerun: Some(Box::new(rerun)),
        at: Time(1),
    };
    registry.apply(&record);
    registry.apply(&accepted(3, None));
    registry.apply(&accepted(4, None));
    end(&mut registry, 3);
    assert_eq!(known(&registry), [4, 3, 2, 1]);
    end(&mut registry, 4);
    assert_eq!(known(&registry), [4, 2, 1]);
    let found = |job: Option<&Job>, of: u64, from| registry.find_rerun("mine", job, RunId(of), from);
    let taken = Err(RequestIdTaken { run: RunId(2) });
    assert_eq!(found(None, 1, "rest"), Ok(Some(RunId(2))));
    assert_eq!(found(Some(&job("again")), 1, "rest"), Ok(Some(RunId(2))));
    assert_eq!(found(Some(&job("first")), 1, "rest"), taken);
    assert_eq!(found(None, 1, "extract"), taken);
    assert_eq!(found(None, 3, "rest"), taken);
    assert_eq!(registry.find_submission("mine", &job("again"), None), taken);
    end(&mut registry, 2);
    assert_eq!(known(&registry), [2]);
    assert_eq!(registry.take_forgotten(), [RunId(3), RunId(1), RunId(4)]);
}

#[test]
fn a_restored_registry_knows_submissions_and_results_and_forgets_what_is_too_old() {
    let mut ledger = Ledger::default();
    let mut records = Vec::new();
    for run in 1..=3 {
        records.push(accepted(run, Some(&format!("request {run}"))));
    }
    for run in [1, 2] {
        let mut summary = ended_summary(RunId(run));
        summary.ended = Some(Time(run * 100_000_000_000));
        records.push(Record::RunEnded {
            summary: Arc::new(summary),
            used: scheduler::UsedUp::default(),
        });
    }
    for (number, record) in (1..).zip(&records) {
        ledger.apply(scheduler::RecordSequence(number), record);
    }
    let mut registry = Registry::restore(keep(10), ledger, Time(201_000_000_000));
    assert_eq!(registry.find_submission("request 1", &job("first"), None), Ok(None));
    assert_eq!(
        registry.find_submission("request 2", &job("first"), None),
        Ok(Some(RunId(2)))
    );
    assert_eq!(
        registry.find_submission("request 3", &job("first"), None),
        Ok(Some(RunId(3)))
    );
    assert!(registry.run(RunId(2)).is_some_and(|run| run.ended.is_some()));
    assert!(registry.run(RunId(3)).is_some_and(|run| run.ended.is_none()));
    assert_eq!(registry.take_forgotten(), [RunId(1)]);
}
