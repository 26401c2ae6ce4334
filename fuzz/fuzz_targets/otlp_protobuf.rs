#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| steplog::fuzz::run("otlp_protobuf", data));
