//! One try at one request.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::Http;
use super::config::BodyFormat;
use crate::stores::records::{Reply, Request, SendError, http};

impl Http {
    pub(super) async fn try_once(&self, request: Request) -> Result<Reply, SendError> {
        let purpose = format!("send {} records", request.records);
        let content_type = match self.config.format {
            BodyFormat::Ndjson => "application/x-ndjson",
            BodyFormat::Json => "application/json",
        };
        let mut builder = self
            .client
            .request(self.config.method.clone(), self.endpoint.clone())
            .header(CONTENT_TYPE, content_type)
            .header("idempotency-key", request.id);
        if let Some(coding) = self.config.batching.compression.header() {
            builder = builder.header(CONTENT_ENCODING, coding);
        }
        let answer = http::send(builder.body(request.body), &purpose).await?;
        answer.judge(&purpose)?;
        Ok(Reply::Taken)
    }
}
