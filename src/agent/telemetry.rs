//! The agent's own metrics and traces, sent by OTLP where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
//!
//! ```text
//! status ─► metrics ─► every OTEL_METRIC_EXPORT_INTERVAL ─┐
//! turn ───► a span "deliver" ─► batch ────────────────────┴─► HTTP, protobuf
//! ```
//!
//! Apart from [`http`](super::http), which is asked and shows the same numbers. All settings are OpenTelemetry's
//! standard variables, which its own crate reads. Nothing of this is fed back: these are no logs, the agent's OTLP
//! input takes nothing else, and what fails here is one line in the agent's own log. Without
//! the variable there is no thread and no connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use crossbeam_channel::bounded;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider as _};
use opentelemetry::trace::{
    Span as _, SpanKind, Status as SpanStatus, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::{Builder, Handle, Runtime};

use super::inbox::Outbox;
use super::log::Log;
use super::metrics::{Family, families};
use super::status::Status;
use crate::delivery::chain;
use crate::record::Writer;

/// What switches it on.
const ENDPOINTS: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// Numbers so old serve all metrics of one export.
const FRESH: Duration = Duration::from_secs(1);
/// How long the agent's thread may take to say them.
const PATIENCE: Duration = Duration::from_secs(5);
/// One request, where nothing says otherwise.
const REQUEST: Duration = Duration::from_secs(10);
/// What the last export may take when the agent ends.
const LAST: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Telemetry {
    meters: SdkMeterProvider,
    tracers: SdkTracerProvider,
    source: Arc<Source>,
    runtime: Option<Runtime>,
}

impl Telemetry {
    /// None: nobody wants it.
    pub(super) fn start(
        environment: &BTreeMap<String, String>,
        outbox: Outbox,
        log: &Log,
    ) -> Option<Self> {
        let is_set = |name: &str| environment.get(name).is_some_and(|text| !text.is_empty());
        let off =
            environment.get("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if off || !ENDPOINTS.iter().any(|name| is_set(name)) {
            return None;
        }
        match Self::open(environment, outbox, log) {
            Ok(telemetry) => Some(telemetry),
            Err(why) => {
                log.warn(&format!("no metrics and traces by OTLP: {why}"));
                None
            }
        }
    }

    fn open(
        environment: &BTreeMap<String, String>,
        outbox: Outbox,
        log: &Log,
    ) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(|error| format!("start threads: {error}"))?;
        let client = reqwest::Client::builder().timeout(REQUEST).build();
        let client = client.map_err(|error| chain(&error))?;
        let client = Client { http: client, handle: runtime.handle().clone(), log: log.clone() };
        let mut resource = Resource::builder();
        let named = environment.contains_key("OTEL_SERVICE_NAME")
            || environment
                .get("OTEL_RESOURCE_ATTRIBUTES")
                .is_some_and(|text| text.contains("service.name="));
        if !named {
            resource = resource.with_service_name("steplog-agent");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.with_attribute(version).build();
        let spans = SpanExporter::builder().with_http().with_http_client(client.clone()).build();
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(spans.map_err(|error| chain(&error))?)
            .build();
        let numbers = MetricExporter::builder().with_http().with_http_client(client).build();
        let meters = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(numbers.map_err(|error| chain(&error))?)
            .build();
        let source = Source::new(outbox, runtime.handle().clone());
        measure(&meters, &source);
        Ok(Self { meters, tracers, source, runtime: Some(runtime) })
    }

    /// The agent ends and will not be asked any more: these are the last numbers.
    pub(super) fn freeze(&self, status: &Status) {
        let mut last = self.source.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last::Frozen(families(status));
    }

    /// Who tells of turns.
    pub(super) fn spans(&self) -> Spans {
        Spans(self.tracers.tracer("steplog"))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // What cannot be sent in time is lost: it is not the agent's work that is. Not on this thread: those of the
        // SDK that send metrics wait for 5 s, whatever they are told.
        let (over, ended) = bounded(2);
        let (tracers, meters, also) = (self.tracers.clone(), self.meters.clone(), over.clone());
        let builder = || thread::Builder::new().name("telemetry-end".to_owned());
        drop(builder().spawn(move || over.send(tracers.shutdown_with_timeout(LAST).is_ok())));
        drop(builder().spawn(move || also.send(meters.shutdown_with_timeout(LAST).is_ok())));
        let until = Instant::now() + LAST;
        while ended.recv_deadline(until).is_ok() {}
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Numbers for all instruments, asked for once an export.
struct Source {
    outbox: Outbox,
    handle: Handle,
    last: Mutex<Last>,
}

#[derive(Default)]
enum Last {
    #[default]
    None,
    At(Instant, Vec<Family>),
    Frozen(Vec<Family>),
}

impl Source {
    fn new(outbox: Outbox, handle: Handle) -> Arc<Self> {
        Arc::new(Self { outbox, handle, last: Mutex::default() })
    }

    fn observe(&self, name: &str, observer: &dyn AsyncInstrument<f64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = match &*last {
            Last::None => true,
            Last::At(at, _) => at.elapsed() > FRESH,
            Last::Frozen(_) => false,
        };
        if is_old {
            let asked = async { tokio::time::timeout(PATIENCE, self.outbox.status()).await };
            // An agent that does not answer has no numbers: that tells.
            let Ok(Some(status)) = self.handle.block_on(asked) else { return };
            *last = Last::At(Instant::now(), families(&status));
        }
        let (Last::At(_, families) | Last::Frozen(families)) = &*last else { return };
        let families = families.iter();
        for sample in families.filter(|family| family.name == name).flat_map(|it| &it.samples) {
            let labels = sample.labels.iter();
            let labels: Vec<_> =
                labels.map(|(name, text)| KeyValue::new(*name, text.clone())).collect();
            observer.observe(sample.value, &labels);
        }
    }
}

/// An instrument for each of the metrics.
fn measure(meters: &SdkMeterProvider, source: &Arc<Source>) {
    let meter = meters.meter("steplog");
    for Family { name, is_counter, help, .. } in families(&Status::default()) {
        let source = Arc::clone(source);
        let observe = move |observer: &dyn AsyncInstrument<f64>| source.observe(name, observer);
        if is_counter {
            // Whoever makes Prometheus' names of these puts it there again.
            let name = name.strip_suffix("_total").unwrap_or(name);
            let counter = meter.f64_observable_counter(name).with_description(help);
            counter.with_callback(observe).build();
        } else {
            let gauge = meter.f64_observable_gauge(name).with_description(help);
            gauge.with_callback(observe).build();
        }
    }
}

/// Tells of turns.
#[derive(Clone)]
pub(super) struct Spans(SdkTracer);

/// What is told of one.
pub(super) struct Told<'a> {
    pub(super) writer: &'a Writer,
    pub(super) started: SystemTime,
    /// Bytes of the stream that every log store has taken in it.
    pub(super) bytes: u64,
    pub(super) outcome: &'static str,
    pub(super) error: Option<String>,
}

impl Spans {
    /// A turn is over.
    pub(super) fn turn(&self, told: Told<'_>) {
        let origin = &told.writer.origin;
        let attributes = [
            KeyValue::new("cicd.pipeline.run.id", origin.pipeline_run_id.clone()),
            KeyValue::new("cicd.pipeline.task.run.id", origin.step_id.clone()),
            KeyValue::new("steplog.source", origin.source.clone()),
            KeyValue::new("steplog.writer", told.writer.id.to_string()),
            KeyValue::new("steplog.attempt", i64::from(origin.attempt)),
            KeyValue::new("steplog.bytes", told.bytes as i64),
            KeyValue::new("steplog.outcome", told.outcome),
        ];
        let span = self.0.span_builder("deliver").with_kind(SpanKind::Producer);
        let span = span.with_start_time(told.started).with_attributes(attributes);
        let mut span = self.0.build_with_context(span, &Context::new());
        if let Some(error) = told.error {
            span.set_status(SpanStatus::error(error));
        }
        span.end();
    }
}

/// Sends what the exporters have made, on threads of its own: theirs know nothing of tokio.
#[derive(Clone, Debug)]
struct Client {
    http: reqwest::Client,
    handle: Handle,
    log: Log,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.handle.spawn(async move {
            let request = reqwest::Request::try_from(request)?;
            let answer = http.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = match sent.await? {
            Ok(answer) => answer,
            Err(error) => {
                // The address may hold a secret.
                let error = error.without_url();
                let why = chain(&error);
                self.log.limited(&format!("metrics and traces by OTLP cannot be sent: {why}"));
                return Err(Box::new(error));
            }
        };
        if !status.is_success() {
            self.log.limited(&format!("metrics and traces by OTLP are not taken: {status}"));
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
