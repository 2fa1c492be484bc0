//! Real servers to compare with: found, started, asked, and stopped again whatever happens.
//!
//! ```text
//! test --Server::start(Kind)--> sh (waits for its standard input to close) --> redis-server | valkey-server
//!   |                                                                            unix socket in a temporary folder,
//!   |                                                                            a port of the loopback on request
//!   +--Connection: pipelined commands out, replies in, as bytes ------------------+
//! ```
//! Where a server is looked for: the environment variable of its [`Kind`], the search path, and the folder
//! `servers` of the target directory, which `cargo xtask servers` fills.
//!
//! - S1: a server never outlives the test: the shell that started it kills it when the test's end of the pipe closes, be
//!   it by a drop, a panic or a `kill -9`.
//! - S2: a server of another version than the tests were written for counts as missing.
//! - S3: a missing server is said aloud, and is a failure where the environment variable `CI` is set.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::resp::{Reply, write_command};

/// How long a server may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Starts the server and kills it when standard input closes.
const KEEPER: &str = r#""$@" & server=$!; read -r _; kill -9 $server; wait $server"#;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// redis-server 7.0.
    Redis,
    /// valkey-server 9.1.
    Valkey,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// Returns the name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    /// Returns the environment variable that names the program.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Redis => "LARDER_REDIS_SERVER",
            Self::Valkey => "LARDER_VALKEY_SERVER",
        }
    }

    /// What the version begins with that the tests were written for.
    fn version(self) -> &'static str {
        match self {
            Self::Redis => "7.0.",
            Self::Valkey => "9.1.",
        }
    }

    /// Finds the program of the right version.
    ///
    /// # Errors
    /// There is none; the message says what was found and what to do.
    pub fn find(self) -> Result<PathBuf, Missing> {
        if let Some(named) = env::var_os(self.variable()) {
            let named = PathBuf::from(named);
            return match version_of(&named) {
                Some(version) if version.starts_with(self.version()) => Ok(named),
                found => Err(self.missing(&format!(
                    "{} names {}, which is {}",
                    self.variable(),
                    named.display(),
                    found.unwrap_or_else(|| "no server".to_owned())
                ))),
            };
        }
        let mut others = String::new();
        let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let folders: Vec<PathBuf> = [on_path, vec![installed()]].concat();
        for candidate in folders.iter().map(|folder| folder.join(self.program())) {
            match version_of(&candidate) {
                Some(version) if version.starts_with(self.version()) => return Ok(candidate),
                Some(version) => others = format!("; {} is version {version}", candidate.display()),
                None => {}
            }
        }
        Err(self.missing(&format!("no {} {}x was found{others}", self.program(), self.version())))
    }

    fn missing(self, why: &str) -> Missing {
        Missing(format!(
            "{why}. `cargo xtask servers` installs it, or let {} name the program",
            self.variable()
        ))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// There is no such server here.
#[derive(Debug, Clone)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Where `cargo xtask servers` puts what it installs.
fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir)).join("servers")
}

/// "Redis server v=7.0.15 sha=..." is version 7.0.15.
fn version_of(program: &Path) -> Option<String> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned)
}

/// A running server, empty, without persistence.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    keeper: Child,
    folder: PathBuf,
    /// Where it listens besides its socket, once it was asked to.
    port: OnceLock<u16>,
}

impl Server {
    /// Starts a server, or says that the test is not run.
    ///
    /// # Panics
    /// The server is there and does not start; or it is missing, and the environment variable `CI` is set.
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        match kind.find() {
            Ok(program) => match Self::run(kind, &program) {
                Ok(server) => Some(server),
                Err(error) => panic!("{} does not start: {error}", program.display()),
            },
            Err(missing) => {
                assert!(env::var_os("CI").is_none(), "{missing}");
                // Past the test runner's capture: nobody shall take silence for a pass.
                let line = format!("\nNOT RUN: the comparison with {kind}: {missing}\n");
                drop(io::stderr().write_all(line.as_bytes()));
                None
            }
        }
    }

    fn run(kind: Kind, program: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("larder-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(folder.join("log"))?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(std::path::absolute(program)?)
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--unixsocket", "socket", "--dir", ".", "--enable-debug-command", "yes"])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let server = Self { kind, keeper, folder, port: OnceLock::new() };
        let start = Instant::now();
        while UnixStream::connect(server.socket()).is_err() {
            if start.elapsed() > PATIENCE {
                let log = fs::read_to_string(server.folder.join("log")).unwrap_or_default();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no socket; it says:\n{log}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Returns the path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Returns which server it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Connects to it.
    ///
    /// # Panics
    /// It does not listen any more.
    #[must_use]
    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(self.socket()).expect("a running server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        Connection { stream: Box::new(stream), received: Vec::new(), at: 0 }
    }

    /// Connects to it over TCP on the loopback, as most clients do.
    ///
    /// # Panics
    /// No port is free for it, or it does not listen any more.
    #[must_use]
    pub fn connect_loopback(&self) -> Connection {
        let port = *self.port.get_or_init(|| self.open_port());
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a running server listens");
        stream.set_nodelay(true).expect("a socket takes the option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        Connection { stream: Box::new(stream), received: Vec::new(), at: 0 }
    }

    /// Lets the server listen on a port that was free just now; another program may be quicker.
    fn open_port(&self) -> u16 {
        let mut connection = self.connect();
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
            let port = free.expect("the loopback has a free port").port();
            let reply = connection.ask(&["CONFIG", "SET", "port", &port.to_string()]);
            if reply == Reply::Simple(b"OK".to_vec()) {
                return port;
            }
        }
        panic!("{} found no port", self.kind);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// What a connection goes over.
trait Stream: Read + Write + fmt::Debug + Send + Sync {}

impl<S: Read + Write + fmt::Debug + Send + Sync> Stream for S {}

/// A blocking connection.
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    /// Up to here the replies have been handed out.
    at: usize,
}

impl Connection {
    /// Sends the commands in one go and returns the bytes of each reply.
    ///
    /// # Panics
    /// The server hangs up, is silent for long, or answers no RESP.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for command in commands {
            write_command(&mut out, command);
        }
        self.stream.write_all(&out).expect("a running server reads");
        (0..commands.len()).map(|_| self.receive()).collect()
    }

    /// Sends one command and returns its reply.
    ///
    /// # Panics
    /// As [`Connection::pipeline`].
    pub fn ask<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Reply {
        let mut out = Vec::new();
        write_command(&mut out, command);
        self.stream.write_all(&out).expect("a running server reads");
        Reply::whole(&self.receive()).expect("a reply that was cut off whole")
    }

    /// Waits for what the server sends unasked: a message of a subscription.
    ///
    /// # Panics
    /// As [`Connection::pipeline`].
    pub fn next_reply(&mut self) -> Reply {
        Reply::whole(&self.receive()).expect("a reply that was cut off whole")
    }

    fn receive(&mut self) -> Vec<u8> {
        loop {
            let rest = &self.received[self.at..];
            if let Some((_, length)) = Reply::read(rest).expect("a server answers RESP") {
                let reply = rest[..length].to_vec();
                self.at += length;
                return reply;
            }
            self.received.drain(..self.at);
            self.at = 0;
            let mut block = [0; 1 << 16];
            let count = self.stream.read(&mut block).expect("a server answers in time");
            assert!(count > 0, "the server hung up after {}", self.received.escape_ascii());
            self.received.extend_from_slice(&block[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_and_does_not_outlive_its_handle() {
        for kind in Kind::ALL {
            let Some(server) = Server::start(kind) else { continue };
            let socket = server.socket();
            let mut connection = server.connect();
            let replies = connection.pipeline(&[vec!["SET", "k", "a\r\nb"], vec!["GET", "k"], vec!["NO"]]);
            assert_eq!(replies[0], b"+OK\r\n");
            assert_eq!(replies[1], b"$4\r\na\r\nb\r\n");
            assert!(replies[2].starts_with(b"-ERR unknown command"));
            assert_eq!(connection.ask(&["INCR", "n"]), Reply::Integer(1));
            let mut two = [server.connect_loopback(), server.connect_loopback()];
            assert_eq!(two.each_mut().map(|one| one.ask(&["INCR", "n"])), [2, 3].map(Reply::Integer));
            drop(server);
            assert!(UnixStream::connect(&socket).is_err());
            assert!(!socket.exists());
        }
    }

    #[test]
    fn a_panicking_test_leaves_no_server() {
        let socket = std::sync::Mutex::new(None);
        let result = std::panic::catch_unwind(|| {
            let server = Server::start(Kind::Redis);
            *socket.lock().unwrap() = server.as_ref().map(Server::socket);
            assert!(server.is_none(), "expected by this test");
        });
        let socket = socket.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(result.is_err(), socket.is_some());
        assert!(socket.is_none_or(|socket| UnixStream::connect(socket).is_err()));
    }

    #[test]
    fn a_missing_server_says_what_to_do() {
        let text = Kind::Valkey.missing("no valkey-server 9.1.x was found").to_string();
        assert!(text.contains("cargo xtask servers") && text.contains("LARDER_VALKEY_SERVER"), "{text}");
    }
}
