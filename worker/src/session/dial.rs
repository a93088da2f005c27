//! Dialling: when, which coordinator, with what claim, and what its answer means for the session.
//!
//! A session that the coordinator may know is resumed. One that it does not know is told to it anew, once the agent has
//! listed what is held and the chains of an older session have ended.

use std::time::Duration;

use agent::{SessionEnd, SessionKind};
use proto::v1;
use tokio::time::Instant;

use super::connect::{self, Claim, ConnectError, Connected};
use super::connection::Connection;
use super::{Acquaintance, Session, SessionError, SessionEvent, State};

const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Short enough that a coordinator that was started again has its workers back soon.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether the chains of a former session have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Session {
    pub(super) fn dial_if_it_may(&mut self) {
        let unlisted = match self.session {
            None => self.running.all,
            Some(_) => self.running.orphans,
        };
        match (self.session, self.acquaintance) {
            (None, _) | (Some(_), Acquaintance::Unknown) if unlisted > 0 => {
                let until = Instant::now() + LOOK_AGAIN;
                self.state = State::Waiting { until };
            }
            (Some(_), Acquaintance::Unknown) => {
                self.state = State::Listing;
                self.events.push_back(SessionEvent::Unknown);
            }
            (None, _) => self.dial(Claim::Nothing),
            (Some(session), Acquaintance::Known) => self.dial(Claim::Session(v1::Resume {
                session: Some(session.into()),
                last_received: self.inbox.received(),
            })),
        }
    }

    pub(super) fn dial(&mut self, claim: Claim) {
        let urls = &self.introduction.coordinators;
        let url = urls[self.next_url % urls.len()].clone();
        self.hellos += 1;
        let introduction = self.introduction.clone();
        self.state = State::Dialling(Box::pin(connect::connect(
            self.outside.clone(),
            url,
            introduction,
            claim,
            self.hellos,
        )));
    }

    pub(super) fn on_connected(&mut self, connected: Connected) {
        let welcome = connected.welcome;
        self.failures = 0;
        match connected.clock {
            connect::ClockAnswer::Shared { offset } => self.clock.share(offset),
            connect::ClockAnswer::Guess { offset } => {
                self.clock.guess(offset, welcome.hello_sent_at, self.outside.now());
            }
        }
        match welcome.kind {
            SessionKind::Fresh => {
                self.forget_session();
                self.session = Some(connected.session);
            }
            SessionKind::Reattached => {
                // Nothing was packed since the listing: what waits was said after it.
                self.session = Some(connected.session);
                self.acquaintance = Acquaintance::Known;
            }
            SessionKind::Resumed => {
                let frames = self.outbox.resend_after(connected.last_received);
                match frames.map(Iterator::collect) {
                    Ok(backlog) => self.backlog = backlog,
                    Err(error) => {
                        tracing::warn!(%error, "the session cannot be resumed");
                        return self.end_session(SessionEnd::Protocol);
                    }
                }
            }
        }
        tracing::info!(session = %connected.session, kind = ?welcome.kind, "connected to the coordinator");
        self.coordinator.connected(connected.channel);
        self.state = State::Connected(Box::new(Connection::new(connected.outgoing, connected.incoming)));
        let exchange_key = connected.exchange_key;
        self.exchange_key.clone_from(&exchange_key);
        self.events.push_back(SessionEvent::Welcomed { welcome, exchange_key });
    }

    pub(super) fn on_refused(&mut self, error: ConnectError) -> Result<(), SessionError> {
        match error {
            ConnectError::Refused(message) if self.session.is_some() && self.acquaintance == Acquaintance::Known => {
                tracing::info!(%message, "the coordinator does not know the session");
                self.acquaintance = Acquaintance::Unknown;
                self.state = State::Waiting { until: Instant::now() };
                Ok(())
            }
            ConnectError::Refused(message) if self.session.is_some() => {
                tracing::warn!(%message, "the session cannot be resumed");
                self.end_session(SessionEnd::Expired);
                Ok(())
            }
            ConnectError::Refused(message) => Err(SessionError::Refused { message }),
            ConnectError::Ended(end) => {
                self.end_session(end);
                Ok(())
            }
            ConnectError::Fatal(error) => Err(error),
            ConnectError::Unreachable { url, message } => {
                if self.failures == 0 {
                    tracing::warn!(%url, %message, "the coordinator cannot be reached; trying on");
                }
                self.next_url = self.next_url.wrapping_add(1);
                self.wait();
                Ok(())
            }
        }
    }

    pub(super) fn wait(&mut self) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let until = Instant::now() + connect::jittered(longest, self.outside.draw());
        self.state = State::Waiting { until };
    }
}
