//! `sidereal schema`: the JSON Schema of campaign files, for editors and for programs that write them.

use crate::exit::{CommandError, Ending};
use crate::results;
use sidereal_inference::campaign_file;
use sidereal_models::Catalogue;

pub fn run(models: &Catalogue) -> Result<Ending, CommandError> {
    let schema = campaign_file::schema(models);
    results::print(&format!("{schema:#}\n"));
    Ok(Ending::Done)
}
