//! See `parsers/shard.rs`, which the tests run over the stored corpus too.
#![no_main]

#[path = "../parsers/shard.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parser::parse(bytes);
});
