//! See `parsers/campaign_json.rs`, which the tests run over the stored corpus too.
#![no_main]

#[path = "../parsers/campaign_json.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parser::parse(bytes);
});
