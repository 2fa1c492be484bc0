//! Replays the corpus of each target, so that a found failure stays found, without nightly.

use std::fs;
use std::path::PathBuf;

use larder_fuzz::{command_seeds, run_commands, run_operations, seeds};

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The inputs of a target, sorted by name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a readable input")))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn operations() {
    let inputs = inputs("operations");
    assert!(!inputs.is_empty(), "the corpus is empty");
    for (name, data) in inputs {
        // Shown when the run fails: which input it was.
        println!("{name}");
        run_operations(&data);
    }
}

/// Every beginning of a seed is an input too: the decoder must stop where the bytes do.
#[test]
fn operations_cut_short() {
    for (name, data) in seeds::seeds() {
        println!("{name}");
        for end in (0..data.len()).step_by(7) {
            run_operations(&data[..end]);
        }
    }
}

/// Bytes made by chance, the same ones each time.
fn chance() -> impl FnMut() -> u8 {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    }
}

/// Inputs made by chance, for machines without nightly: each byte string is a run.
#[test]
fn operations_by_chance() {
    let mut next = chance();
    for number in 0..600 {
        // A short stretch of small numbers now and then: keys and operations that meet.
        let input: Vec<u8> = (0..900).map(|at| if at % 97 < 40 { next() % 32 } else { next() }).collect();
        println!("input {number}");
        run_operations(&input);
    }
}

#[test]
fn commands() {
    let inputs = inputs("commands");
    assert!(!inputs.is_empty(), "the corpus is empty");
    for (name, data) in inputs {
        println!("{name}");
        run_commands(&data);
    }
}

#[test]
fn commands_by_chance() {
    let mut next = chance();
    for number in 0..150 {
        let input: Vec<u8> = (0..6_000).map(|_| next()).collect();
        println!("input {number}");
        run_commands(&input);
    }
}

/// Each family of commands has a text in the corpus. With `LARDER_WRITE_SEEDS` in the environment, writes them: the
/// lines may be older than the table, but a new family must not go without.
#[test]
fn every_family_has_a_seed() {
    let folder = corpus("commands");
    for (family, text) in command_seeds() {
        let path = folder.join(family);
        if std::env::var_os("LARDER_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).expect("a folder that can be made");
            fs::write(&path, &text).expect("a seed that can be written");
        }
        assert!(path.is_file(), "{} is missing", path.display());
    }
}

/// The files are what `seeds` says. With `LARDER_WRITE_SEEDS` in the environment, writes them.
#[test]
fn seeds_on_disk_are_current() {
    let folder = corpus("operations");
    for (name, data) in seeds::seeds() {
        let path = folder.join(name);
        if std::env::var_os("LARDER_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).expect("a folder that can be made");
            fs::write(&path, &data).expect("a seed that can be written");
        }
        assert!(fs::read(&path).is_ok_and(|found| found == data), "{} is out of date", path.display());
    }
}
