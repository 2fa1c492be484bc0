//! libFuzzer's door to [`larder_fuzz::run_commands`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| larder_fuzz::run_commands(data));
