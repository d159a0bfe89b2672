//! A campaign file: refused with messages, or a campaign whose copy is the same campaign.

use sidereal_inference::campaign_file::{check, parse as parse_campaign, parse_recorded, to_toml};
use sidereal_models::Catalogue;
use std::path::Path;

/// Longer data are as good as others and take time.
const MOST_DATA: usize = 1000;

/// Whether it is a campaign.
pub fn parse(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else {
        return false;
    };
    // Files that are named would be read, and some never end.
    if text.contains('/') {
        return false;
    }
    let path = Path::new("nowhere/campaign.toml");
    let models = Catalogue::default();
    let campaign = match parse_campaign(text, path, &models) {
        Ok(campaign) => campaign,
        Err(error) => {
            assert!(!error.mistakes.is_empty(), "refused without a reason");
            return false;
        }
    };
    if campaign.simulator.grid.len() <= MOST_DATA {
        let copy = to_toml(&campaign);
        for copy in [
            parse_campaign(&copy, path, &models),
            parse_recorded(&copy, path),
        ] {
            assert_eq!(
                copy.ok().as_ref(),
                Some(&campaign),
                "the copy is another one"
            );
        }
        assert_eq!(check(&campaign), Ok(()), "what a file gave is refused");
    }
    true
}
