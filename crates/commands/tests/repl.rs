//! The example `repl` against redis-cli: the same script through both, the same bytes out.
#![cfg(unix)]

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use larder_testkit::servers::{Kind, Server};

/// Where cargo puts the examples that it has built for this test run.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test knows itself");
    path.pop();
    path.pop();
    path.push("examples/repl");
    assert!(
        path.exists(),
        "{} is missing: `cargo test` builds it unless it is told `--test`",
        path.display()
    );
    path
}

fn through(mut command: Command, script: &[u8]) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(script).expect("the program reads");
    drop(input);
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_repl_prints_what_redis_cli_prints() {
    let script = include_bytes!("lines/repl.txt");
    let ours = through(Command::new(example()), script);
    assert!(ours.lines().count() > 60, "{ours}");
    let Some(server) = Server::start(Kind::Redis) else { return };
    if Command::new("redis-cli").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "redis-cli is missing");
        drop(io::stderr().write_all(b"\nNOT RUN: the comparison with redis-cli, which is missing\n"));
        return;
    }
    let mut cli = Command::new("redis-cli");
    cli.args(["--no-raw", "-s"]).arg(server.socket());
    let theirs = through(cli, script);
    for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
        // The number of the connection is its own.
        if !theirs.contains("\"id\" =>") {
            assert_eq!(ours, theirs, "line {}", number + 1);
        }
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
}

/// From a subscription on redis-cli reads messages, and no line any more, until it is stopped.
#[test]
fn the_repl_ends_where_redis_cli_begins_to_listen() {
    let script = b"set k v\nunsubscribe a\nhello 3\nsubscribe a b a\nget k\n";
    let ours = through(Command::new(example()), script);
    assert!(ours.ends_with("1) \"subscribe\"\n2) \"a\"\n3) (integer) 2\n"), "{ours}");
    let Some(server) = Server::start(Kind::Redis) else { return };
    let mut cli = Command::new("redis-cli");
    cli.args(["--no-raw", "-s"]).arg(server.socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut cli) = cli.spawn() else {
        assert!(std::env::var_os("CI").is_none(), "redis-cli is missing");
        drop(io::stderr().write_all(b"\nNOT RUN: the comparison with redis-cli, which is missing\n"));
        return;
    };
    cli.stdin.take().expect("a pipe").write_all(script).expect("redis-cli reads");
    let theirs = BufReader::new(cli.stdout.take().expect("a pipe")).lines();
    for (ours, theirs) in ours.lines().zip(theirs) {
        let theirs = theirs.expect("text");
        // The number of the connection is its own.
        if !theirs.contains("\"id\" =>") {
            assert_eq!(ours, theirs);
        }
    }
    cli.kill().expect("it listens");
    cli.wait().expect("it ends");
}
