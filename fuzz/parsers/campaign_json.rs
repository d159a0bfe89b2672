//! The campaign in a `model.json`: refused with messages, or one that its parameters can be drawn from.

use sidereal_inference::base::RoundId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file::{check, identity};
use sidereal_inference::records::Draws;

/// Whether it is a campaign.
pub fn parse(bytes: &[u8]) -> bool {
    let Ok(campaign) = serde_json::from_slice::<Campaign>(bytes) else {
        return false;
    };
    if let Err(mistakes) = check(&campaign) {
        assert!(!mistakes.is_empty(), "refused without a reason");
        return false;
    }
    let json = serde_json::to_vec(&campaign).expect("a campaign is JSON");
    let again: Campaign = serde_json::from_slice(&json).expect("its own JSON");
    assert_eq!(again, campaign);
    assert_eq!(identity(&again), identity(&campaign));
    let draws = Draws::from_prior(&campaign.space, campaign.seed, RoundId(0), 0..4);
    assert_eq!(draws.n_rows(), 4);
    true
}
