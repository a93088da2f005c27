//! Numbers of a run that only rise: what they are, and whether the journal knows.

use crate::journal::marks::HighMarks;
use crate::state::run::Run;

impl Run {
    /// Returns the numbers, as high as they are.
    pub(crate) fn marks(&self) -> HighMarks {
        HighMarks {
            in_flight: self.gauges.in_flight.peak,
            bytes: self.gauges.bytes.peak,
            committing: self.gauges.committing.peak,
            running: self.gauges.running.peak,
            failed: self.task_counts.failed,
            retried: self.task_counts.retried,
        }
    }

    /// Goes on from what the journal knows of them.
    pub(crate) fn take_marks(&mut self, marks: HighMarks) {
        self.gauges.in_flight.peak = marks.in_flight;
        self.gauges.bytes.peak = marks.bytes;
        self.gauges.committing.peak = marks.committing;
        self.gauges.running.peak = marks.running;
        self.task_counts.failed = marks.failed;
        self.task_counts.retried = marks.retried;
        self.recorded_marks = marks;
    }

    /// Returns them if they have risen since they were written, to be written now.
    pub(crate) fn take_risen_marks(&mut self) -> Option<HighMarks> {
        let marks = self.marks();
        if marks == self.recorded_marks {
            return None;
        }
        self.recorded_marks = marks;
        Some(marks)
    }
}
