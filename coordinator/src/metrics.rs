//! Counters and gauges for Prometheus, and the endpoint that shows them.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;

type FloatGauge = Gauge<f64, AtomicU64>;

/// Everything that is measured; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    pub leases_granted: Counter,
    pub leases_expired: Counter,
    pub leases_active: Gauge,
    pub batches_failed: Counter,
    pub reports_ignored: Counter,
    pub rows_committed: Counter,
    pub rows_failed: Counter,
    pub shard_bytes: Counter,
    pub batch_seconds: Histogram,
    pub journal_seconds: Histogram,
    pub workers: Gauge,
    pub trainers: Gauge,
    pub simulations: Gauge,
    pub round: Gauge,
    pub effective_sample_size: FloatGauge,
    pub efficiency: FloatGauge,
    pub epoch: Gauge,
    pub training_loss: FloatGauge,
    pub validation_loss: FloatGauge,
    pub is_paused: Gauge,
    refused: Family<RefusedLabels, Counter>,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Reason {
    Token,
    Version,
    Campaign,
    Model,
    Message,
    Nonsense,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Reason,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sidereal");
        let r = &mut registry;
        let metrics = Self {
            registry: Arc::default(),
            leases_granted: plain(r, "leases_granted", "Leases given to workers and trainers"),
            leases_expired: plain(
                r,
                "leases_expired",
                "Leases that ran out and were offered again",
            ),
            batches_failed: plain(
                r,
                "batches_failed",
                "Batches that failed, lost their worker, or whose shard was refused",
            ),
            reports_ignored: plain(
                r,
                "reports_ignored",
                "Reports that came after another attempt's",
            ),
            rows_committed: plain(r, "rows_committed", "Rows recorded in the journal"),
            rows_failed: plain(r, "rows_failed", "Recorded rows whose simulation failed"),
            shard_bytes: in_units(
                r,
                "shards",
                "Size of the recorded shards",
                Unit::Bytes,
                Counter::default(),
            ),
            // 2 ms to about an hour.
            batch_seconds: in_units(
                r,
                "batch",
                "Time that workers spent in the forward model, per batch",
                Unit::Seconds,
                Histogram::new(exponential_buckets(0.002, 2.0, 21)),
            ),
            // 0.1 ms to about 3 s.
            journal_seconds: in_units(
                r,
                "journal_append",
                "Time to make a journal record durable",
                Unit::Seconds,
                Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            ),
            leases_active: plain(r, "leases_active", "Batches that are leased or checked"),
            workers: plain(r, "workers", "Registered workers"),
            trainers: plain(r, "trainers", "Registered trainers"),
            simulations: plain(
                r,
                "simulations",
                "Calls of the forward model so far, over all runs",
            ),
            round: plain(r, "round", "Number of the newest round"),
            epoch: plain(r, "training_epoch", "Epoch of the training at work"),
            is_paused: plain(r, "paused", "1 while the campaign is paused by its store"),
            effective_sample_size: plain(r, "effective_sample_size", "Of all rounds together"),
            efficiency: plain(
                r,
                "efficiency_ratio",
                "Effective sample size of the newest weighed round over its rows",
            ),
            training_loss: plain(r, "training_loss", "Training loss of the newest epoch"),
            validation_loss: plain(r, "validation_loss", "Validation loss of the newest epoch"),
            refused: plain(r, "refused", "Calls refused"),
        };
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    pub fn on_refused(&self, reason: Reason) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    /// Calls refused, for whatever reason.
    pub fn n_refused(&self) -> u64 {
        [
            Reason::Token,
            Reason::Version,
            Reason::Campaign,
            Reason::Model,
            Reason::Message,
            Reason::Nonsense,
        ]
        .into_iter()
        .map(|reason| self.refused.get_or_create(&RefusedLabels { reason }).get())
        .sum()
    }

    /// In the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn plain<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn in_units<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Unit,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

/// Answers `GET /metrics` until `ended`; takes no commands.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    ended: impl Future<Output = ()> + Send + 'static,
) {
    let show = move || {
        let text = metrics.text();
        async move {
            (
                [(
                    CONTENT_TYPE,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                )],
                text,
            )
        }
    };
    let routes = Router::new().route("/metrics", get(show));
    let served = axum::serve(listener, routes)
        .with_graceful_shutdown(ended)
        .await;
    if let Err(error) = served {
        tracing::warn!(%error, "the metrics endpoint ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_and_units_that_prometheus_expects() {
        let metrics = Metrics::new();
        metrics.rows_committed.inc_by(3);
        metrics.batch_seconds.observe(0.5);
        metrics.effective_sample_size.set(12.5);
        metrics.on_refused(Reason::Token);
        let text = metrics.text();
        for line in [
            "sidereal_rows_committed_total 3",
            "# UNIT sidereal_batch_seconds seconds",
            "sidereal_batch_seconds_count 1",
            "sidereal_shards_bytes_total 0",
            "sidereal_effective_sample_size 12.5",
            "sidereal_refused_total{reason=\"Token\"} 1",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert_eq!(metrics.n_refused(), 1);
    }
}
