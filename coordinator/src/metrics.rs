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
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

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
    #[expect(
        clippy::too_many_lines,
        reason = "one line of registration and help a metric"
    )]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sidereal");
        // 2 ms to about an hour, and 0.1 ms to about 3 s.
        let batch_seconds = Histogram::new(exponential_buckets(0.002, 2.0, 21));
        let journal_seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let metrics = Self {
            registry: Arc::default(),
            leases_granted: Counter::default(),
            leases_expired: Counter::default(),
            leases_active: Gauge::default(),
            batches_failed: Counter::default(),
            reports_ignored: Counter::default(),
            rows_committed: Counter::default(),
            rows_failed: Counter::default(),
            shard_bytes: Counter::default(),
            batch_seconds,
            journal_seconds,
            workers: Gauge::default(),
            trainers: Gauge::default(),
            simulations: Gauge::default(),
            round: Gauge::default(),
            effective_sample_size: FloatGauge::default(),
            efficiency: FloatGauge::default(),
            epoch: Gauge::default(),
            training_loss: FloatGauge::default(),
            validation_loss: FloatGauge::default(),
            is_paused: Gauge::default(),
            refused: Family::default(),
        };
        for (name, help, counter) in [
            (
                "leases_granted",
                "Leases given to workers and trainers",
                &metrics.leases_granted,
            ),
            (
                "leases_expired",
                "Leases that ran out and were offered again",
                &metrics.leases_expired,
            ),
            (
                "batches_failed",
                "Batches that failed, lost their worker, or whose shard was refused",
                &metrics.batches_failed,
            ),
            (
                "reports_ignored",
                "Reports that came after another attempt's",
                &metrics.reports_ignored,
            ),
            (
                "rows_committed",
                "Rows recorded in the journal",
                &metrics.rows_committed,
            ),
            (
                "rows_failed",
                "Recorded rows whose simulation failed",
                &metrics.rows_failed,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "shards",
            "Size of the recorded shards",
            Unit::Bytes,
            metrics.shard_bytes.clone(),
        );
        registry.register_with_unit(
            "batch",
            "Time that workers spent in the forward model, per batch",
            Unit::Seconds,
            metrics.batch_seconds.clone(),
        );
        registry.register_with_unit(
            "journal_append",
            "Time to make a journal record durable",
            Unit::Seconds,
            metrics.journal_seconds.clone(),
        );
        for (name, help, gauge) in [
            (
                "leases_active",
                "Batches that are leased or checked",
                &metrics.leases_active,
            ),
            ("workers", "Registered workers", &metrics.workers),
            ("trainers", "Registered trainers", &metrics.trainers),
            (
                "simulations",
                "Calls of the forward model so far, over all runs",
                &metrics.simulations,
            ),
            ("round", "Number of the newest round", &metrics.round),
            (
                "training_epoch",
                "Epoch of the training at work",
                &metrics.epoch,
            ),
            (
                "paused",
                "1 while the campaign is paused by its store",
                &metrics.is_paused,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, gauge) in [
            (
                "effective_sample_size",
                "Of all rounds together",
                &metrics.effective_sample_size,
            ),
            (
                "efficiency_ratio",
                "Effective sample size of the newest weighed round over its rows",
                &metrics.efficiency,
            ),
            (
                "training_loss",
                "Training loss of the newest epoch",
                &metrics.training_loss,
            ),
            (
                "validation_loss",
                "Validation loss of the newest epoch",
                &metrics.validation_loss,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("refused", "Calls refused", metrics.refused.clone());
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

/// Answers `GET /metrics` until `ended`; takes no commands.
pub async fn serve(listener: TcpListener, metrics: Metrics, ended: oneshot::Receiver<()>) {
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
        .with_graceful_shutdown(async {
            // Dropped means the same.
            let _ = ended.await;
        })
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
