//! What is sent is what arrives: jobs, messages to workers and reports survive the way over the wire exactly.

#[path = "support/strategies.rs"]
mod strategies;

use common::holdings::Holdings;
use common::job::Job;
use common::message::{Report, ToWorker};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use proto::convert::packed::{messages_from_wire, messages_to_wire, reports_from_wire, reports_to_wire};
use proto::v1;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_job_survives_the_way_to_a_spec_and_back(job in strategies::job()) {
        let bytes = v1::JobSpec::from(&job).encode_to_vec();
        let spec = v1::JobSpec::decode(bytes.as_slice()).expect("was encoded");
        prop_assert_eq!(Job::try_from(spec), Ok(job));
    }

    #[test]
    fn a_job_survives_the_way_to_json_and_back(job in strategies::job()) {
        let text = proto::json::job_spec_to_json(&v1::JobSpec::from(&job));
        let value = serde_json::from_str(&text).expect("is JSON");
        let spec = proto::json::job_spec_from_json(&value).expect("is a spec");
        prop_assert_eq!(Job::try_from(spec), Ok(job));
    }

    #[test]
    fn a_message_to_a_worker_arrives_as_it_was_sent(message in strategies::to_worker()) {
        let bytes = v1::ToWorker::from(&message).encode_to_vec();
        let wire = v1::ToWorker::decode(bytes.as_slice()).expect("was encoded");
        prop_assert_eq!(ToWorker::try_from(wire), Ok(message));
    }

    #[test]
    fn a_report_arrives_as_it_was_sent(report in strategies::report()) {
        let bytes = v1::Report::from(&report).encode_to_vec();
        let wire = v1::Report::decode(bytes.as_slice()).expect("was encoded");
        prop_assert_eq!(Report::try_from(wire), Ok(report));
    }

    #[test]
    fn a_frame_of_messages_arrives_as_it_was_sent(messages in strategies::messages()) {
        let frame = v1::CoordinatorFrame { messages: messages_to_wire(&messages), ..v1::CoordinatorFrame::default() };
        let wire = v1::CoordinatorFrame::decode(frame.encode_to_vec().as_slice()).expect("was encoded");
        prop_assert_eq!(messages_from_wire(wire.messages), Ok(messages));
    }

    #[test]
    fn a_frame_of_reports_arrives_as_it_was_sent(reports in vec(strategies::report(), 0..12)) {
        let frame = v1::WorkerFrame { reports: reports_to_wire(&reports), ..v1::WorkerFrame::default() };
        let wire = v1::WorkerFrame::decode(frame.encode_to_vec().as_slice()).expect("was encoded");
        prop_assert_eq!(reports_from_wire(wire.reports), Ok(reports));
    }

    #[test]
    fn what_a_worker_holds_arrives_as_it_was_listed(holdings in strategies::holdings()) {
        let bytes = v1::Holdings::from(&holdings).encode_to_vec();
        let wire = v1::Holdings::decode(bytes.as_slice()).expect("was encoded");
        prop_assert_eq!(Holdings::try_from(wire), Ok(holdings));
    }
}
