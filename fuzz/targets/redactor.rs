//! libFuzzer's way to `nigari::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nigari::fuzzing::run("redactor", data));
