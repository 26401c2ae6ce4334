//! The same way of a line with every artifact store, and what others see of the objects; and one
//! suite for all log stores that take records, each of which has a file that plugs it in.

pub(crate) mod conformance;

mod choice;
mod custom;
mod datadog;
mod elasticsearch;
mod fan_out;
mod http;
mod loki;
mod otel;
mod readers;
mod roots;
mod splunk;
mod whole_way;
