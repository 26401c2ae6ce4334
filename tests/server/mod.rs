//! `steplog serve`: the API, against the stores that can be read.
//!
//! The client here is made by hand, over HTTP/1.0, so that an answer is what comes until the connection ends; TLS
//! and HTTP/2 are curl's.

mod access;
mod answers;
mod client;
mod following;
mod limits;
mod lines;
mod stores;
mod zenml;

use std::fs;

use crate::support::project;
use crate::support::sandbox::Sandbox;

const OPENAPI: &str = "docs/openapi.json";

#[test]
fn the_document_is_current() {
    let printed = Sandbox::new().call(["serve", "--openapi"]).expect(0).text();
    let kept = fs::read_to_string(project(OPENAPI)).unwrap_or_default();
    assert!(kept == printed, "renew it: cargo run -- serve --openapi > {OPENAPI}");
    let document: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10, "{paths:?}");
}
