//! Transferability metrics over HTTP: the core crate in an axum service, without Python.
//!
//! `POST /score?metric=logme&columns=D` with N x D features in float32 and then N labels in int64,
//! little-endian. N follows from the length. The answer is JSON.
#![allow(clippy::missing_errors_doc)]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use transferability::decomp::Prepared;
use transferability::error::{Error, Kind};
use transferability::input::{Block, Response as Labels};
use transferability::linalg::{Buffers, reserve_buffers, warm_up};
use transferability::metrics::{Inputs, METRICS, Needs, Options, Outcome, compute};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

/// What a request may bring, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body.
    pub bytes: usize,
    /// Columns of the features; statistics hold columns² numbers.
    pub columns: usize,
    /// Classes that occur.
    pub classes: usize,
    /// Requests at once; more are refused.
    pub requests: usize,
    /// Time to receive a body, and again to wait and to compute.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let time = Duration::from_secs(20);
        Self { bytes: 32 << 20, columns: 2048, classes: 1000, requests: 16, time }
    }
}

impl Limits {
    fn check(&self, data: &Data) -> Result<(), Refusal> {
        let classes = data.labels.iter().collect::<HashSet<_>>().len();
        let columns = data.features.ncols();
        if columns > self.columns || classes > self.classes {
            let most = format!("at most {} columns and {} classes", self.columns, self.classes);
            let problem = format!("{columns} columns and {classes} classes; {most} are scored");
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, problem));
        }
        Ok(())
    }
}

/// Features and the class of each row.
pub struct Data {
    features: Array2<f32>,
    labels: Vec<i64>,
}

impl Data {
    /// Read the body of a request. Nothing is copied before its length is known to be right.
    pub fn read(bytes: &[u8], columns: usize) -> Result<Self, String> {
        let row = columns.checked_mul(4).and_then(|n| n.checked_add(8));
        let rows = row.filter(|row| bytes.len().is_multiple_of(*row)).map(|row| bytes.len() / row);
        let rows =
            rows.ok_or(format!("{} bytes hold no rows of {columns} columns", bytes.len()))?;
        let (features, labels) = bytes.split_at(4 * rows * columns);
        let values = features.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value));
        let features = Array2::from_shape_vec((rows, columns), values.collect());
        let labels = labels.as_chunks().0.iter().map(|label| i64::from_le_bytes(*label)).collect();
        Ok(Self { features: features.map_err(|error| error.to_string())?, labels })
    }
}

/// The threads that compute, one request each, and the places of requests.
pub struct Service {
    limits: Limits,
    places: Arc<Semaphore>,
    pool: rayon::ThreadPool,
    _buffers: Buffers,
}

impl Service {
    /// Start the threads. Their memory inside OpenBLAS is reserved first: it would wait for it.
    pub fn start(n_threads: usize, limits: Limits) -> Result<Self, Box<dyn std::error::Error>> {
        let buffers = reserve_buffers(n_threads)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        let pool = pool.start_handler(|_| warm_up()).build()?;
        let places = Arc::new(Semaphore::new(limits.requests));
        Ok(Self { limits, places, pool, _buffers: buffers })
    }
}

/// Route requests to a service.
pub fn router(service: Service) -> Router {
    let limit = DefaultBodyLimit::max(service.limits.bytes);
    Router::new().route("/score", post(answer)).layer(limit).with_state(Arc::new(service))
}

#[derive(Deserialize)]
struct Parameters {
    metric: Box<str>,
    columns: usize,
}

#[derive(Serialize)]
struct Answer {
    metric: Box<str>,
    value: f64,
    per_target: Vec<f64>,
    warnings: Vec<String>,
}

async fn answer(
    State(service): State<Arc<Service>>,
    query: Result<Query<Parameters>, QueryRejection>,
    request: Request,
) -> Result<Json<Answer>, Refusal> {
    let Ok(place) = service.places.clone().try_acquire_owned() else {
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "all places are taken".into()));
    };
    let query = query.map_err(|error| Refusal(error.status(), error.body_text()))?;
    let Parameters { metric, columns } = query.0;
    let limits = service.limits;
    let Ok(bytes) = timeout(limits.time, Bytes::from_request(request, &())).await else {
        return Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive".into()));
    };
    let bytes = bytes.map_err(|error| Refusal(error.status(), error.body_text()))?;
    let guard = StopOnDrop::default(); // dropped with this future, if the client leaves
    let (stop, deadline) = (guard.0.clone(), Instant::now() + limits.time);
    let compute = move || {
        let _place = place; // until the computation ends
        let data = Data::read(&bytes, columns);
        let data = data.map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))?;
        limits.check(&data)?;
        let interrupted = || stop.load(Relaxed) || Instant::now() > deadline;
        let outcome = score(&metric, &data, &Context::new(None, &interrupted))?;
        let Outcome { value, per_target, warnings, .. } = outcome;
        Ok(Json(Answer { metric, value, per_target, warnings }))
    };
    let pooled = move || service.pool.install(compute);
    let panicked = |_| Refusal(StatusCode::INTERNAL_SERVER_ERROR, "a bug; please report it".into());
    spawn_blocking(pooled).await.map_err(panicked)?
}

/// Compute a metric of the core.
pub fn score(metric: &str, data: &Data, context: &Context<'_>) -> Result<Outcome, Error> {
    let response = Labels::Labels { ids: &data.labels, names: None };
    let block = Block::new(&data.features, response, None)?;
    let mut stats = Stats::empty(Precision::Double);
    let known = METRICS.iter().find(|known| known.name == metric);
    if known.is_some_and(|known| known.needs.contains(&Needs::ClassScatters)) {
        stats = stats.with_class_scatters();
    }
    stats.push(&block, context)?;
    let prepared = Prepared::new(&stats)?;
    let (prepared, samples, response) = (Some(&prepared), Some(&block), Some(response));
    let inputs = Inputs { prepared, samples, response, ..Inputs::default() };
    compute(&inputs, &[(metric.into(), Options::default())], context).remove(0)
}

#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The status and the reason of a request that gets no score.
struct Refusal(StatusCode, String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            Kind::Data | Kind::Numerical => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Memory | Kind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let later = again.contains(&self.0).then_some([(header::RETRY_AFTER, "1")]);
        (self.0, later, Json(BTreeMap::from([("error", self.1)]))).into_response()
    }
}
