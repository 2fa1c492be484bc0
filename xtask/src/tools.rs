//! The programs that the steps call, where they are found and how they are installed.
//!
//! Tools are pinned and live in `xtask-tools` inside the target directory, so that neither a user's
//! own `~/.cargo/bin` nor the repository changes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::step::{self, Outcome};

/// A cargo subcommand that is installed on demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The crate and the program.
    pub(crate) name: &'static str,
    version: &'static str,
    /// Versions that do as well begin with this.
    accepts: &'static str,
}

pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", accepts: "0.20." };
pub(crate) const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", accepts: "0.13." };

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs us, at the repository's root.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// The nightly toolchain's cargo. `$CARGO` is one toolchain's own program and knows no `+nightly`.
pub(crate) fn nightly_cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args).current_dir(root());
    command.env_remove("RUSTC").env_remove("RUSTDOC");
    command
}

/// Does the command run and succeed? Its output is thrown away.
pub(crate) fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The standard output of a command that succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Like [`works`], but gives up and stops the command after `limit`.
pub(crate) fn works_within(command: &mut Command, limit: Duration) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => break,
        }
    }
    // The answer is already no: a child that cannot be stopped changes nothing about it.
    drop(child.kill());
    drop(child.wait());
    false
}

pub(crate) fn has_nightly() -> bool {
    works(&mut nightly_cargo(["--version"]))
}

/// The triple that the nightly toolchain builds for by itself.
pub(crate) fn nightly_host() -> Option<String> {
    let text = output(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]))?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

impl Tool {
    /// Finds the tool: ours first, then one of an accepted version on the path.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let ours = tools_dir().join("bin").join(format!("{}{}", self.name, env::consts::EXE_SUFFIX));
        [ours, PathBuf::from(self.name)].into_iter().find(|program| self.accepts(program))
    }

    fn accepts(self, program: &Path) -> bool {
        let text = output(Command::new(program).arg("--version")).unwrap_or_default();
        text.split_whitespace().nth(1).is_some_and(|version| version.starts_with(self.accepts))
    }

    /// Builds the pinned version into the target directory.
    pub(crate) fn install(self) -> Outcome {
        let mut command = cargo(["install", "--locked", self.name, "--version", self.version, "--root"]);
        step::run(command.arg(tools_dir()))
    }

    pub(crate) fn missing(self) -> String {
        format!("{} {}x is not installed; `--install` builds it", self.name, self.accepts)
    }
}

fn tools_dir() -> PathBuf {
    target_dir().join("xtask-tools")
}

/// The search path with our own tools in front.
pub(crate) fn path_with_tools() -> OsString {
    let mut paths = vec![tools_dir().join("bin")];
    paths.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    env::join_paths(paths).unwrap_or_else(|_| env::var_os("PATH").unwrap_or_default())
}

/// The names of the Rust files in a folder of the repository, sorted.
pub(crate) fn rust_files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| path.file_stem().and_then(OsStr::to_str).map(str::to_owned))
        .collect();
    names.sort();
    names
}
