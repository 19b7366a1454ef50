#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = transferability_fuzz::Target::File.run(data);
});
