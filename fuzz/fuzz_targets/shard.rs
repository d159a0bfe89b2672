//! See `parsers/shard.rs`, which the tests run over the stored corpus too.
#![no_main]

#[path = "../parsers/shard.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(
    // Panics of the parquet crate on damaged files are caught and make an error; libFuzzer's own hook would end the
    // process before. A panic that nobody catches still does.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        parser::parse(bytes);
    }
);
