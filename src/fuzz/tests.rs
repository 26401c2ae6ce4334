//! Every target with its seeds and with changes of them, on stable and in seconds.
//!
//! `STEPLOG_FUZZ_SECONDS=600 cargo test --lib fuzz::` goes on for that long with each, with other changes each time.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::mutate::Random;
use super::{TARGETS, Target};

/// Changed seeds of each target where no time is given, the same each time: so many, or what can be done in this time.
const ROUNDS: u64 = 5000;
const SOME_TIME: Duration = Duration::from_secs(3);

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 1, "{} has no seeds", folder.display());
    seeds
}

/// Runs it; what it fails with is kept in the folder for temporary files, to become a seed.
fn holds((name, target): Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(|| target(data)) {
        let kept = std::env::temp_dir().join(format!("steplog-fuzz-{name}"));
        fs::write(&kept, data).unwrap();
        eprintln!("{name}: the input is in {}", kept.display());
        std::panic::resume_unwind(panic);
    }
}

fn fuzz(name: &str) {
    let target = *TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        holds(target, seed);
    }
    let seconds = std::env::var("STEPLOG_FUZZ_SECONDS").ok();
    let long = seconds.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = Random::new(if long.is_some() { now } else { 1 });
    let (until, mut rounds) = (Instant::now() + long.unwrap_or(SOME_TIME), 0);
    while Instant::now() < until && (long.is_some() || rounds < ROUNDS) {
        holds(target, &random.mutated(&seeds));
        rounds += 1;
    }
    eprintln!("{name}: {rounds} inputs");
}

#[test]
fn frames() {
    fuzz("frames");
}

#[test]
fn lines() {
    fuzz("lines");
}

#[test]
fn cri() {
    fuzz("cri");
}

#[test]
fn template() {
    fuzz("template");
}

#[test]
fn otlp_json() {
    fuzz("otlp_json");
}

#[test]
fn otlp_protobuf() {
    fuzz("otlp_protobuf");
}

#[test]
fn said() {
    fuzz("said");
}

#[test]
fn stack_file() {
    fuzz("stack_file");
}

/// The packages of a lock file: name, version, and what each depends on.
fn locked(path: &str) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let package = |entry: &str| {
        let of = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().trim_matches('"').to_owned()
        };
        let needs = entry.split("dependencies = [").nth(1).unwrap_or_default();
        (of("name = "), of("version = "), needs.to_owned())
    };
    text.split("[[package]]\n").skip(1).map(package).collect()
}

/// Nothing builds the fuzzers by the way: without this their lock file is soon too old to be used.
#[test]
fn the_fuzzers_are_built_of_what_is_shipped() {
    const ADVICE: &str = "run `cargo update --workspace` in fuzz/";
    let (shipped, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let (_, _, needs) = fuzzed.iter().find(|(name, ..)| name == "steplog").unwrap();
    for line in section.split("\n[").next().unwrap().lines().filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(" = ").unwrap();
        let is_there =
            needs.contains(&format!("\"{name}\"")) || needs.contains(&format!("\"{name} "));
        assert!(is_there, "fuzz/Cargo.lock lacks {name}: {ADVICE}");
    }
    for (name, version, _) in &fuzzed {
        let is_theirs = ["arbitrary", "libfuzzer-sys", "steplog-fuzz"].contains(&name.as_str());
        let is_shipped = shipped.iter().any(|(other, its, _)| other == name && its == version);
        assert!(is_theirs || is_shipped, "{name} {version} is not in Cargo.lock: {ADVICE}");
    }
}

/// A target without a test would never run here.
#[test]
fn every_target_has_a_test_and_a_program() {
    let here = include_str!("tests.rs");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(here.contains(&format!("fuzz(\"{name}\")")), "{name} has no test");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml has no {name}");
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("run(\"{name}\", data)")), "{program}");
    }
}
