//! `transferability-axum [ADDRESS]`: serve until Ctrl-C or SIGTERM, then finish what runs.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use transferability_axum::{Limits, Service, router};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let n_threads = std::thread::available_parallelism()?.get();
    let limits = Limits::default();
    let app = router(Service::start(n_threads, limits)?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("http://{}/score, {n_threads} threads", listener.local_addr()?);

    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let _ = stop.send(());
    // A request takes this long at most; a connection without one must not keep the process.
    tokio::time::timeout(limits.time * 2 + Duration::from_secs(1), server).await???;
    Ok(())
}
