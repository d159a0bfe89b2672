//! How leases are cut and how long they last.

use sidereal_inference::campaign::Campaign;

/// Seconds that a batch should take.
const BATCH_S: f64 = 2.0;
/// Rows of a worker's first batch.
const FIRST_ROWS: u64 = 64;
/// Most rows of a batch.
const MAX_ROWS: u64 = 1 << 16;
/// Most bytes of a batch's draws on the wire, well under a message's.
const MAX_BATCH_BYTES: u64 = 16 << 20;
/// Most bytes of a shard before compression, and fewest that are worth a file.
const MAX_SHARD_BYTES: u64 = 64 << 20;
const LEAST_SHARD_BYTES: u64 = 1 << 20;
/// A batch is not run a second time before this, nor offered again while its worker is heard from.
const LEAST_PATIENCE_S: f64 = 5.0;
const LEAST_OVERDUE_S: f64 = 600.0;

/// How leases are cut and how long they last.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseRules {
    /// Seconds without a word from the peer after which its work is offered again.
    pub lease_s: f64,
    /// Seconds that a batch should take.
    pub target_s: f64,
    /// Rows of the first batches, before any worker has been measured.
    pub first_rows: u64,
    /// Rows of the smallest shard that is worth a file, unless they take more than a second.
    pub least_rows: u64,
    /// Most rows of a batch, whatever the measured time.
    pub max_rows: u64,
    /// Rows of every batch, where the campaign file says so.
    pub fixed_rows: Option<u64>,
    /// Seconds that a batch has at least before it is run a second time.
    pub least_patience_s: f64,
    /// Seconds that a batch has at least before it is offered again though its worker is heard from.
    pub least_overdue_s: f64,
}

impl LeaseRules {
    /// Batches of a campaign fit a message, and their shards are worth a file.
    pub fn of(campaign: &Campaign, lease_s: f64) -> Self {
        let n_parameters = campaign.space.len() as u64;
        // z and theta, two log densities, and the component with what frames them.
        let draw_bytes = 16 * n_parameters + 32;
        let row_bytes = draw_bytes + 16 + 4 * campaign.simulator.grid.len() as u64;
        let max_rows = (MAX_BATCH_BYTES / draw_bytes)
            .min(MAX_SHARD_BYTES / row_bytes)
            .clamp(1, MAX_ROWS);
        Self {
            lease_s,
            target_s: BATCH_S,
            first_rows: FIRST_ROWS.min(max_rows),
            least_rows: LEAST_SHARD_BYTES.div_ceil(row_bytes).min(max_rows),
            max_rows,
            fixed_rows: campaign.workers.batch_rows,
            least_patience_s: LEAST_PATIENCE_S,
            least_overdue_s: LEAST_OVERDUE_S,
        }
    }
}
