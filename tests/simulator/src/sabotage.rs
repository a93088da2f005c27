//! Coordinators and workers that are broken on purpose, to show that the oracles bite.
//!
//! None of it is in production code: the glue of the simulation leaves something out, or says something that is not
//! true.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// The world takes what any lease prepared, however old.
    FencingOff,
    /// Records are said to be durable when they are written.
    AcknowledgedBeforeSync,
    /// Each worker gets the whole cap.
    CapPerWorker,
    /// A restarted coordinator does not know that former workers may still run something.
    LeasesForgottenOnRestart,
    /// A worker that lost the coordinator goes on for ever.
    WorkerNeverStops,
    /// A heartbeat is answered before the scheduler has counted it.
    EchoBeforeCounting,
    /// A pool is one for each run, and not shared.
    PoolPerRun,
    /// Each worker gets the whole rate.
    RatePerWorker,
    /// A worker that comes back after a restart does not say what it holds.
    HoldingsForgotten,
    /// A restarted coordinator has full token buckets.
    BucketsFilledOnRestart,
    /// A restarted coordinator does not know that runs are paused.
    PauseForgottenOnRestart,
    /// Runs share permits as if they had all the same weight.
    WeightsIgnored,
    /// A record that was written in part is taken for whole.
    TornTailAccepted,
}
