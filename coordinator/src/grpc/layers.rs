//! What wraps every call: a deadline of our own, and a net under panics.
//!
//! Left alone, tonic answers both with CANCELLED, which tells a client that it cancelled itself. The deadline here is
//! the client's, a little shortened so that it is answered before tonic's own notices, or [`LONGEST_CALL`]. It is for
//! the time until an answer begins: a stream that has begun runs on.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tonic::codegen::{StdError, http};
use tower::{Layer, Service};

use super::status;

/// How long a call may take whose client names no deadline.
const LONGEST_CALL: Duration = Duration::from_secs(120);
/// How much earlier than the client's deadline the answer is made, at most.
const HEAD_START: Duration = Duration::from_millis(10);

/// Puts the deadline and the net around a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuardLayer;

/// A service with a deadline and a net.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    inner: S,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner }
    }
}

impl<S, RequestBody, ResponseBody> Service<http::Request<RequestBody>> for Guarded<S>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<ResponseBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.inner.poll_ready(cx).map_err(|never| match never {})
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let patience = deadline(request.headers()).unwrap_or(LONGEST_CALL);
        let path = request.uri().path().to_owned();
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(Ok(response))) => Ok(response),
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(_)) => {
                    tracing::error!(path, "a call panicked");
                    Err(status::panicked().into())
                }
                Err(_) => Err(status::too_late().into()),
            }
        })
    }
}

/// Reads the client's deadline, a little shortened: up to 8 digits and a unit, as the gRPC protocol has it.
fn deadline(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let given = match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(given.saturating_sub(HEAD_START.min(given / 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline_of(text: &str) -> Option<Duration> {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("a header"));
        deadline(&headers)
    }

    async fn answer_of(behaviour: fn() -> Pin<Box<dyn Future<Output = ()> + Send>>) -> tonic::Code {
        let inner = tower::service_fn(move |_: http::Request<()>| async move {
            behaviour().await;
            Ok::<_, Infallible>(http::Response::new(()))
        });
        let mut request = http::Request::new(());
        request
            .headers_mut()
            .insert("grpc-timeout", "50m".parse().expect("a header"));
        let error = GuardLayer.layer(inner).call(request).await.expect_err("is refused");
        error.downcast::<tonic::Status>().expect("is a status").code()
    }

    #[tokio::test]
    async fn a_call_that_passes_its_deadline_or_panics_is_answered_so() {
        let late = answer_of(|| Box::pin(std::future::pending())).await;
        assert_eq!(late, tonic::Code::DeadlineExceeded);
        let broken = answer_of(|| Box::pin(async { panic!("the test wants a panic") })).await;
        assert_eq!(broken, tonic::Code::Internal);
    }

    #[test]
    fn deadlines_read_as_the_protocol_writes_them() {
        assert_eq!(deadline_of("1S"), Some(Duration::from_millis(990)));
        assert_eq!(deadline_of("20m"), Some(Duration::from_millis(18)));
        for wrong in ["", "S", "1", "1x", "123456789S", "-1S"] {
            assert_eq!(deadline_of(wrong), None, "{wrong}");
        }
    }
}
