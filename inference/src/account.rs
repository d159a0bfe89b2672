//! What is told of a campaign: its summary, its state and its events.

mod progress;
mod status;
mod summary;

pub use progress::Progress;
pub use status::{
    CampaignStatus, HeldBack, LiveStatus, OpenRoundStatus, PeerStatus, RoundStatus, Stage,
};
pub use summary::{SUMMARY_FORMAT, SUMMARY_VERSION, Summary, Timing};
