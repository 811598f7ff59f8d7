//! The demo, as a newcomer runs it.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::process::Command;

use serde_json::Value;

fn demo(directory: &std::path::Path, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = Command::new(env!("CARGO_BIN_EXE_sealwire"))
        .args(["--json", "demo"])
        .args(arguments)
        .current_dir(directory)
        .env("TMPDIR", directory)
        .output()
        .expect("the demo starts");
    let printed = String::from_utf8(output.stdout).expect("text");
    let lines = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (output.status.code().expect("an exit code"), lines)
}

#[test]
fn every_check_of_the_demo_holds_and_it_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret-plans.bin");
    let content: Vec<u8> = (0..50_000u32).flat_map(|number| number.to_be_bytes()).collect();
    std::fs::write(&file, content).expect("a file");
    let (code, lines) = demo(directory.path(), &["secret-plans.bin"]);
    assert_eq!(code, 0, "{lines:#?}");
    let (verdict, steps) = lines.split_last().expect("lines");
    assert_eq!(verdict["all_hold"], true);
    assert_eq!(steps.len(), 25);
    assert!(steps.iter().all(|step| step["holds"] == true), "{steps:#?}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("the directory").collect();
    assert_eq!(left.len(), 1, "only the file itself: {left:?}");
}

#[test]
fn a_file_that_cannot_be_moved_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("empty"), "").expect("a file");
    for file in ["empty", "missing"] {
        assert_eq!(demo(directory.path(), &[file]), (1, Vec::new()), "{file}");
    }
}
