//! The index template: how the fields of documents are mapped.
//!
//! Apart because it is the one thing that we change in a cluster beside adding documents. It is set
//! once a process, before the first document; a cluster that does not let us goes on without.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::stores::records::{SendError, http};

/// Above the templates that Elasticsearch brings for `logs-*-*` (100), below a user's own.
const PRIORITY: u32 = 200;

impl Elasticsearch {
    /// Sets the template if that has not been done.
    pub(super) async fn ensure_template(&self) -> Result<(), SendError> {
        self.template.get_or_try_init(|| self.set_template()).await.map(drop)
    }

    async fn set_template(&self) -> Result<(), SendError> {
        let purpose = "set the index template";
        let name = format!("steplog-{}", self.config.index);
        let request = self.client.put(self.url(&["_index_template", &name]));
        let body = template(&self.config.index, self.config.data_stream);
        let answer = http::send(super::json(request, &body), purpose).await?;
        match answer.status {
            // Not ours to set, or a server that has no such thing: dynamic mapping will do.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Ok(())
            }
            StatusCode::BAD_REQUEST => Ok(()),
            _ => answer.judge(purpose),
        }
    }
}

fn template(index: &str, data_stream: bool) -> Value {
    let keyword = json!({"type": "keyword", "ignore_above": 8191});
    let long = json!({"type": "long"});
    let kept = json!({"type": "object", "enabled": false});
    let unsearched = json!({"type": "keyword", "index": false, "doc_values": false});
    let mut template = json!({
        "index_patterns": [index],
        "priority": PRIORITY,
        "_meta": {"description": "records of pipeline steps, as steplog writes them"},
        "template": {"mappings": {
            "dynamic_templates": [
                {"resource": {"path_match": "resource.*", "match_mapping_type": "string", "mapping": keyword}},
            ],
            "properties": {
                "@timestamp": {"type": "date_nanos"},
                "seq": long,
                "level": keyword,
                "iostream": keyword,
                "message": {"type": "text"},
                "raw": {"type": "text", "index": false},
                "bytes": unsearched,
                "eol": unsearched,
                "part": long,
                "parts": long,
                "line": long,
                "group": long,
                "progress": {"type": "boolean"},
                "gap": kept,
                "event_timestamp": unsearched,
                "attributes": kept,
                "steplog_event": keyword,
                "steplog_stream": unsearched,
                "writer": keyword,
                "pipeline_run_id": keyword,
                "step_id": keyword,
                "attempt": long,
                "source": keyword,
            },
        }},
    });
    if data_stream && let Some(fields) = template.as_object_mut() {
        fields.insert("data_stream".to_owned(), json!({}));
    }
    template
}
