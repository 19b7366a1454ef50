//! The service answers what the core computes, and refuses the rest with a reason.
#![allow(clippy::unwrap_used)] // requests and answers of the test itself

use std::io::{Read, Write};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use ndarray::Array2;
use serde_json::Value;
use tower::ServiceExt;
use transferability::decomp::Prepared;
use transferability::error::Error;
use transferability::input::{Block, Response};
use transferability::metrics::{Inputs, Options, compute};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;
use transferability_axum::{Limits, Service, router};

const ROWS: usize = 60;
const COLUMNS: usize = 8;
const QUERY: &str = "metric=logme&columns=8";

/// Features that tell three classes apart, a little; the numbers are those of a linear congruence.
fn features() -> Vec<f32> {
    let numbers = (0..ROWS * COLUMNS).scan(1_u16, |state, i| {
        *state = state.wrapping_mul(25_173).wrapping_add(13_849);
        let signal = if i / COLUMNS % 3 == i % COLUMNS { 0.5 } else { 0.0 };
        Some(f32::from(*state) / 65_536.0 + signal)
    });
    numbers.collect()
}

fn labels() -> Vec<i64> {
    (0..ROWS).map(|i| [-1, 0, 7][i % 3]).collect()
}

fn body() -> Vec<u8> {
    let features = features().into_iter().flat_map(f32::to_le_bytes);
    features.chain(labels().into_iter().flat_map(i64::to_le_bytes)).collect()
}

fn app(limits: Limits) -> Router {
    router(Service::start(2, limits).unwrap())
}

async fn post(app: Router, query: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(format!("/score?{query}")).body(body.into()).unwrap();
    let answer = app.oneshot(request).await.unwrap();
    let status = answer.status();
    let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
    assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), again);
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn scores_are_those_of_the_core_to_the_bit() {
    let features = Array2::from_shape_vec((ROWS, COLUMNS), features()).unwrap();
    let (labels, context) = (labels(), Context::serial());
    // Statistics, statistics of every class, and the samples.
    for metric in ["logme", "h_score", "gbc", "knn"] {
        let response = Response::Labels { ids: &labels, names: None };
        let block = Block::new(&features, response, None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        if metric == "gbc" {
            stats = stats.with_class_scatters();
        }
        stats.push(&block, &context).unwrap();
        let prepared = Prepared::new(&stats).unwrap();
        let (prepared, samples, response) = (Some(&prepared), Some(&block), Some(response));
        let inputs = Inputs { prepared, samples, response, ..Inputs::default() };
        let request = [(metric.into(), Options::default())];
        let expected = compute(&inputs, &request, &context).remove(0).unwrap();
        let query = format!("metric={metric}&columns={COLUMNS}");
        let (status, answer) = post(app(Limits::default()), &query, body()).await;
        assert_eq!(status, StatusCode::OK, "{metric}: {answer}");
        assert_eq!(answer["value"].as_f64().unwrap().to_bits(), expected.value.to_bits());
        let parts = answer["per_target"].as_array().unwrap();
        let parts: Vec<f64> = parts.iter().map(|part| part.as_f64().unwrap()).collect();
        assert_eq!(parts, expected.per_target);
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_with_the_reason() {
    let whole = body();
    let huge = usize::MAX;
    for (query, bytes, reason) in [
        ("metric=logme", &whole[..], "missing field `columns`"),
        ("columns=8", &whole[..], "missing field `metric`"),
        ("metric=logme&columns=-1", &whole[..], "invalid digit"),
        ("metric=logme&columns=8", &whole[1..], "2399 bytes hold no rows of 8 columns"),
        ("metric=logme&columns=9", &whole[..], "2400 bytes hold no rows of 9 columns"),
        (&format!("metric=logme&columns={huge}"), &whole[..], "2400 bytes hold no rows"),
        (&format!("metric=logme&columns={}", huge / 4), &whole[..], "2400 bytes hold no rows"),
    ] {
        let (status, answer) = post(app(Limits::default()), query, bytes.to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
}

#[tokio::test]
async fn the_core_decides_what_cannot_be_scored() {
    let mut nan = body();
    nan[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    for (query, bytes, reason) in [
        ("metric=logme&columns=8", nan, "features[0, 0] is NaN"),
        ("metric=logme&columns=8", Vec::new(), "this Stats is empty"),
        ("metric=logme&columns=0", body(), "features has no columns"),
        ("metric=no_metric&columns=8", body(), "there is no metric"),
        ("metric=leep&columns=8", body(), "were not given"),
    ] {
        let (status, answer) = post(app(Limits::default()), query, bytes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
}

#[tokio::test]
async fn limits_hold() {
    let limits = Limits::default();
    for limits in [
        Limits { bytes: 1000, ..limits },
        Limits { columns: COLUMNS - 1, ..limits },
        Limits { classes: 2, ..limits },
    ] {
        let (status, _) = post(app(limits), QUERY, body()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (status, _) = post(app(Limits { requests: 0, ..limits }), QUERY, body()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let (status, answer) =
        post(app(Limits { time: Duration::ZERO, ..limits }), QUERY, body()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["error"].as_str().unwrap(), Error::Interrupted.to_string());
}

/// Over a socket: a body that does not arrive is given up, and a shutdown lets requests end.
#[test]
fn a_server_gives_up_slow_bodies_and_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app = app(Limits { time: Duration::from_millis(300), ..Limits::default() });
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        axum::serve(listener, app).with_graceful_shutdown(async { stopped.await.unwrap() });
    let server = runtime.spawn(server.into_future());

    let ask = |body: &[u8], announced: usize| {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("POST /score?{QUERY} HTTP/1.1\r\nHost: test\r\nConnection: close");
        write!(socket, "{head}\r\nContent-Length: {announced}\r\n\r\n").unwrap();
        socket.write_all(body).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let body = body();
    assert!(ask(&body, body.len()).starts_with("HTTP/1.1 200"));
    assert!(ask(&body, body.len() + 1).starts_with("HTTP/1.1 408"));
    stop.send(()).unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), server).await })
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}
