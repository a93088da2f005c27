//! Putting committed parts in place, off the async threads, a few at once.

use std::collections::VecDeque;
use std::sync::Arc;

use agent::Input;
use common::failure::Failure;
use common::message::Publish;
use tokio::task::JoinSet;

use crate::executor::OpenRun;
use crate::panics::catch_panic;
use crate::sink;

/// How many publications are under way at once.
const AT_ONCE: usize = 4;

/// The publications that are under way, and those that wait.
#[derive(Default)]
pub(super) struct Publishing {
    under_way: JoinSet<Input>,
    waiting: VecDeque<(Arc<OpenRun>, Publish)>,
    answered: VecDeque<Input>,
}

impl Publishing {
    /// Begins a publication, or fails it if its run is not open here.
    pub(super) fn begin(&mut self, run: Option<Arc<OpenRun>>, publish: Publish) {
        let Some(run) = run else {
            let failure = Failure::retryable("the run is not open on this worker");
            let lease = publish.lease;
            return self.answered.push_back(Input::PublishFailed { lease, failure });
        };
        self.waiting.push_back((run, publish));
        self.start_waiting();
    }

    /// Returns how the next publication ended; waits for ever if there is none. Safe to be dropped while it waits.
    pub(super) async fn next(&mut self) -> Input {
        if let Some(input) = self.answered.pop_front() {
            return input;
        }
        loop {
            match self.under_way.join_next().await {
                Some(Ok(input)) => {
                    self.start_waiting();
                    return input;
                }
                Some(Err(error)) => tracing::error!(%error, "a publication was lost"),
                None => return std::future::pending().await,
            }
        }
    }

    fn start_waiting(&mut self) {
        while self.under_way.len() < AT_ONCE {
            let Some((run, publish)) = self.waiting.pop_front() else {
                return;
            };
            self.under_way.spawn_blocking(move || put_in_place(&run, &publish));
        }
    }
}

fn put_in_place(run: &OpenRun, publish: &Publish) -> Input {
    let lease = publish.lease;
    let placed = catch_panic(|| match &run.plan {
        Ok(plan) => sink::publish(plan, publish),
        Err(failure) => Err(failure.clone()),
    });
    match placed {
        Ok(()) => Input::Published { lease },
        Err(failure) => Input::PublishFailed { lease, failure },
    }
}
