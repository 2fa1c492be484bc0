//! Rules on the source that no lint knows: lengths, where unsafe code may be, which crate may know which, and that every
//! operation says what it costs and shows how it is used.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 800;
const TEST_LINES_MAX: usize = 1_200;

/// The leaf files that may contain unsafe code, each with a safe face and its reasons.
const UNSAFE: [&str; 5] = [
    "src/keyspace/blob.rs",
    "src/keyspace/held.rs",
    "src/keyspace/slot.rs",
    "src/prefetch.rs",
    "src/typed/object.rs",
];

/// Methods that say what a handle is, and do nothing to data: no command, no cost worth a word.
const PLAIN: [&str; 8] =
    ["new", "builder", "database", "policy", "engine", "with_ttl", "with_weigher", "validate"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of this crate, by its path from the crate's root.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "{folder} has sources");
    let named = files.into_iter().map(|path| {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(&path).expect("a readable file"))
    });
    named.collect()
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") || name.contains("/tests")
}

#[test]
fn files_stay_short() {
    for (name, text) in sources("src").into_iter().chain(sources("tests")) {
        let most = if is_test(&name) { TEST_LINES_MAX } else { LINES_MAX };
        let lines = text.lines().count();
        assert!(lines <= most, "{name} has {lines} lines, at most {most} are allowed: split it");
    }
}

#[test]
fn unsafe_code_lies_in_known_leaves() {
    let mut found = Vec::new();
    for (name, text) in sources("src") {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses = code
            .clone()
            .any(|line| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| line.contains(word)));
        if uses {
            assert!(text.contains("#![expect(unsafe_code, reason ="), "{name} says why it is unsafe");
            found.push(name);
        } else {
            assert!(
                !code.clone().any(|line| line.contains("(unsafe_code")),
                "{name} asks for what it does not use"
            );
        }
    }
    assert_eq!(found, UNSAFE, "unsafe code moves only together with this list");
}

#[test]
fn nothing_is_left_to_do() {
    // In pieces, so that this file does not name what it forbids.
    let marks =
        [["to", "do!("], ["unimpl", "emented!("], ["FIX", "ME"], ["XX", "X"], ["TO", "DO"], ["dbg", "!("]];
    for (name, text) in sources("src").into_iter().chain(sources("tests")) {
        for mark in marks.map(|mark| mark.concat()) {
            assert!(!text.contains(&mark), "{name} has a {mark}");
        }
    }
}

/// The engine knows none of the crates that are built on it; the test kit is for its tests alone.
#[test]
fn the_engine_depends_on_no_crate_above_it() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let sections = manifest.split("\n[").skip(1);
    let mut seen = 0;
    for section in sections.filter(|section| section.contains("dependencies]")) {
        seen += 1;
        let test_only = section.starts_with("dev-dependencies]");
        for line in section.lines().skip(1).filter(|line| line.starts_with("larder")) {
            assert!(test_only && line.starts_with("larder-testkit"), "the engine depends on {line}");
        }
    }
    assert!(seen >= 2, "the manifest's sections are found");
    for (name, text) in sources("src") {
        for other in ["cluster", "rdb", "commands", "resp", "tier", "testkit"] {
            assert!(!text.contains(&format!("larder_{other}")), "{name} names the crate {other}");
        }
    }
}

/// The public methods of `Engine`, `Typed` and the handles of collections with their documentation.
fn operations() -> Vec<(String, String, String)> {
    let mut operations = Vec::new();
    for (name, text) in sources("src").into_iter().filter(|(name, _)| !is_test(name)) {
        let (mut inside, mut doc) = (false, String::new());
        for line in text.lines() {
            // The builder of BITFIELD has its example at its beginning, as the option types have.
            let handle = line.contains("P: Place> ") && !line.contains("BitFields");
            if line.starts_with("impl Engine {") || line.starts_with("impl<T: Element> Typed<T> {") || handle
            {
                inside = true;
            } else if line == "}" {
                inside = false;
            }
            let bare = line.trim_start();
            if bare.starts_with("///") {
                doc.push_str(bare);
                doc.push('\n');
            } else if let Some(method) = method_of(bare).filter(|_| inside) {
                operations.push((name.clone(), method.to_owned(), std::mem::take(&mut doc)));
            } else if !bare.starts_with("#[") {
                doc.clear();
            }
        }
    }
    operations
}

fn method_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub async fn ").or_else(|| line.strip_prefix("pub fn "))?;
    rest.split(['(', '<']).next()
}

#[test]
fn operations_say_what_they_do_cost_and_refuse() {
    let operations = operations();
    assert!(operations.len() > 250, "the methods are found: {}", operations.len());
    let mut faults = Vec::new();
    for (file, method, doc) in operations {
        if PLAIN.contains(&method.as_str()) {
            continue;
        }
        if !doc.contains("# Examples") {
            faults.push(format!("{file}: {method} has no example"));
        }
        if !doc.contains("**Command**") && !doc.contains("**Complexity**") {
            faults.push(format!("{file}: {method} names neither its command nor its cost"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
