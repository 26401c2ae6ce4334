#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| steplog::fuzz::run("template", data));
