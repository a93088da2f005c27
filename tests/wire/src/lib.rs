//! Drives the real gRPC edges over a simulated network: the suite is `tests/wire`, and nothing else is here.
//!
//! It stands beside the `simulator`, which has the states of scheduler and agent and a model of the wire. Here are the
//! wire itself (the coordinator's services and driver, the worker's session, tonic and HTTP/2 between them) and the real
//! data path, over turmoil's network and time, with few seeds.
