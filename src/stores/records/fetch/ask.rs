//! One question to a service over HTTP, asked until there is an answer or a reason to give up.
//!
//! For the flavors' [`Search`](super::Search): what a status means to a reader is decided here, once.
//!
//! | answer | |
//! |---|---|
//! | 2xx | is the answer |
//! | 401, 403, 407 | [`ReadError::Denied`]: "not allowed", never "nothing there" |
//! | 429 | waits as the service asks (`Retry-After`), else a little longer each time, and asks again |
//! | 5xx, 408, 425, no answer at all | asks again a few times, then [`ReadError::Store`] |
//! | any other | [`ReadError::Store`] |
//! | larger than memory should hold | [`ReadError::Store`] of [`AnswerTooLarge`]: who asks for fewer records goes on |

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;

use crate::read::store::{Cost, Meter, ReadError};
use crate::stores::records::SendError;
use crate::stores::records::http::{self, Answer};

/// One try takes no longer than this.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses before the tries after the first, where it is not clear that they help.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// So often in a row a service may say that it is asked too much …
const MAX_BUSY: u32 = 60;
/// … and be left alone so long if it does not say how long, doubled each time from a second.
const MAX_BUSY_PAUSE: Duration = Duration::from_secs(30);
/// A pause that it asks for is no longer than this.
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(3600);

/// Asks a service, and counts what that costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    meter: Meter,
}

/// An answer has more bytes than memory should hold at a time.
#[derive(Debug, thiserror::Error)]
#[error("failed to {purpose}: the answer is larger than {limit} bytes")]
pub(crate) struct AnswerTooLarge {
    pub(crate) purpose: String,
    pub(crate) limit: usize,
}

/// Another answer than the one asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Asker {
    /// For [`Search::cost`](super::Search::cost).
    pub(crate) fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// Asks until there is an answer of 2xx. `purpose` is an infinitive: "look for runs". The request
    /// must have no body, or one in memory.
    pub(crate) async fn ask(
        &self,
        request: RequestBuilder,
        purpose: &str,
    ) -> Result<Answer, ReadError> {
        self.ask_as(request, purpose, Answer::retry_after).await
    }

    /// The same for a service that says in its own way how long to leave it alone (429 and 503).
    pub(crate) async fn ask_as(
        &self,
        request: RequestBuilder,
        purpose: &str,
        pause: impl Fn(&Answer) -> Option<Duration>,
    ) -> Result<Answer, ReadError> {
        let (mut failures, mut busy) = (PAUSES.into_iter(), 0);
        loop {
            let Some(again) = request.try_clone() else {
                return Err(store(Refused(format!("failed to {purpose}: the body is a stream"))));
            };
            let (message, asked) = match self.once(again, purpose).await? {
                Err(message) => (message, None),
                Ok(answer) => match answer.judge(purpose) {
                    Ok(()) => return Ok(answer),
                    Err(SendError::Retry { message, .. }) if answer.status.as_u16() == 429 => {
                        busy += 1;
                        if busy > MAX_BUSY {
                            return Err(store(Refused(message)));
                        }
                        let usual = Duration::from_secs(1 << (busy - 1).min(5));
                        let asked = pause(&answer).map(|it| it.min(MAX_ASKED_PAUSE));
                        tokio::time::sleep(asked.unwrap_or(usual.min(MAX_BUSY_PAUSE))).await;
                        continue;
                    }
                    Err(SendError::Retry { message, .. }) => (message, pause(&answer)),
                    Err(SendError::Fatal { message, not_allowed: true, .. }) => {
                        return Err(ReadError::Denied(Box::new(Refused(message))));
                    }
                    Err(
                        SendError::Fatal { message, .. }
                        | SendError::TooLarge { message }
                        | SendError::Invalid { message },
                    ) => return Err(store(Refused(message))),
                },
            };
            let Some(usual) = failures.next() else { return Err(store(Refused(message))) };
            tokio::time::sleep(asked.map_or(usual, |it| it.min(MAX_BUSY_PAUSE))).await;
        }
    }

    /// One try: an answer, or what kept it from coming.
    async fn once(
        &self,
        request: RequestBuilder,
        purpose: &str,
    ) -> Result<Result<Answer, String>, ReadError> {
        let failed = |error: reqwest::Error| {
            format!("failed to {purpose}: {}", http::chain(&error.without_url()))
        };
        let response = match request.timeout(TIMEOUT).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(failed(error))),
        };
        let (status, headers): (_, HeaderMap) = (response.status(), response.headers().clone());
        match http::body(response).await {
            Ok(Some((body, _))) => {
                self.meter.add(body.len() as u64);
                Ok(Ok(Answer { status, headers, body }))
            }
            Ok(None) => {
                self.meter.add(http::MAX_ANSWER as u64);
                let (purpose, limit) = (purpose.to_owned(), http::MAX_ANSWER);
                Err(store(AnswerTooLarge { purpose, limit }))
            }
            Err(error) => Ok(Err(failed(error))),
        }
    }
}

/// Any failure of the service.
pub(crate) fn store(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
    ReadError::Store(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::stores::artifact::testing::block_on;

    /// What a server that gives these answers, one a connection, is asked; and the last answer.
    fn ask(answers: &'static [&'static str]) -> (usize, Result<Answer, ReadError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for (number, answer) in answers.iter().enumerate() {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\nbody") {
                    let mut some = [0; 1024];
                    let count = stream.read(&mut some).unwrap();
                    if count == 0 {
                        return number;
                    }
                    asked.extend_from_slice(&some[..count]);
                }
                // Who is told too much goes away.
                stream.write_all(answer.as_bytes()).ok();
                if answer.contains("content-length: 99999999") {
                    let block = vec![b'x'; 64 << 10];
                    while stream.write_all(&block).is_ok() {}
                }
            }
            answers.len()
        });
        let asker = Asker::default();
        let request =
            reqwest::Client::new().post(format!("http://{address}/search?key=secret")).body("body");
        let answer = block_on(async { asker.ask(request, "look for runs").await });
        let asked = server.join().unwrap();
        assert!(asker.cost().requests <= asked as u64);
        (asked, answer)
    }

    fn check(answers: &'static [&'static str], expected: &str) {
        let (asked, answer) = ask(answers);
        assert_eq!(asked, answers.len());
        let said = match answer {
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(ReadError::Denied(error)) => format!("denied: {error}"),
            Err(ReadError::Store(error)) => format!("store: {error}"),
        };
        assert_eq!(said, expected);
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    const BUSY: &str =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn what_may_pass_is_asked_again() {
        const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndo";
        check(&[BUSY, BUSY, BUSY, BUSY, BUSY, DOWN, CUT, OK], "done");
    }

    #[test]
    fn the_pause_that_is_asked_for_is_made() {
        const LATER: &str =
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
        let begun = Instant::now();
        check(&[LATER, OK], "done");
        assert!(begun.elapsed() >= Duration::from_secs(2));
    }

    #[test]
    fn what_fails_again_and_again_is_told() {
        const ERROR: &str =
            "HTTP/1.1 500 Internal Server Error\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\noops";
        check(
            &[ERROR, ERROR, ERROR, ERROR],
            "store: failed to look for runs: 500 Internal Server Error: oops",
        );
    }

    #[test]
    fn not_allowed_is_not_nothing_there() {
        check(
            &["HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"],
            "denied: failed to look for runs: 403 Forbidden: no",
        );
        check(
            &["HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nquery"],
            "store: failed to look for runs: 400 Bad Request: query",
        );
    }

    #[test]
    fn who_is_told_too_much_knows() {
        let (_, answer) = ask(&["HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"]);
        let Err(ReadError::Store(error)) = answer else { panic!("{answer:?}") };
        assert!(error.is::<AnswerTooLarge>(), "{error}");
    }
}
