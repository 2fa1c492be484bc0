//! Several sessions of one engine beside as many connections to a real server: the same lines to both, the same bytes to
//! everybody, replies and messages alike.
//!
//! ```text
//! step(who, line) --> server: connection `who`  --PING twice on another connection--> what came, on every connection
//!                `--> engine: session `who`     --polled: pushes, then the reply of whoever waited--> what came
//! ```
//! Two commands on a connection of its own, one after the other, make sure that the server has written all that a step led to.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use larder_commands::{Blocked, Outcome, RespSink, Session, execute};
use larder_testkit::resp::{Reply, write_command};
use larder_testkit::servers::{Connection, Kind, Server};

/// Puts what a line led to into a form in which the two may be compared, if the bytes differ.
type Form = fn(&[&str], &[u8], Kind) -> Vec<Reply>;

/// One of ours: a session, and what it waits for.
struct Ours {
    session: Session,
    blocked: Option<(Blocked, Instant)>,
}

/// One of theirs: a connection, and what came in and is not a whole reply yet.
struct Theirs {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Theirs {
    fn send(&mut self, words: &[&str]) {
        let mut out = Vec::new();
        write_command(&mut out, words);
        self.stream.write_all(&out).expect("the server reads");
    }

    /// Every whole reply that is there.
    fn replies(&mut self) -> Vec<u8> {
        let mut page = [0; 4_096];
        loop {
            match self.stream.read(&mut page) {
                Ok(0) => panic!("the server has hung up"),
                Ok(count) => self.buffer.extend_from_slice(&page[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let mut whole = 0;
        while let Some((_, length)) = Reply::read(&self.buffer[whole..]).expect("RESP") {
            whole += length;
        }
        self.buffer.drain(..whole).collect()
    }
}

/// The same sessions on both sides.
pub(crate) struct Stage {
    kind: Kind,
    engine: larder::Engine,
    ours: Vec<Ours>,
    theirs: Vec<Theirs>,
    control: Connection,
    history: Vec<String>,
    form: Option<Form>,
}

impl Stage {
    /// Makes sessions that have the numbers of their connections, over nothing. A name says what is played.
    pub(crate) fn new(server: &Server, sessions: usize, name: &str) -> Self {
        let mut control = server.connect();
        control.ask(&["FLUSHALL"]);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..sessions {
            let stream = UnixStream::connect(server.socket()).expect("the server listens");
            stream.set_nonblocking(true).expect("a socket");
            let mut connection = Theirs { stream, buffer: Vec::new() };
            connection.send(&["CLIENT", "ID"]);
            settle(&mut control);
            let id = Reply::whole(&connection.replies()).expect("a number").integer().expect("a number");
            ours.push(Ours { session: Session::with_id(id.unsigned_abs()), blocked: None });
            theirs.push(connection);
        }
        let engine = larder::Engine::new();
        let history = vec![format!("{}: {name}", server.kind())];
        Self { kind: server.kind(), engine, ours, theirs, control, history, form: None }
    }

    /// Compares in this form what differs.
    pub(crate) fn with_form(self, form: Form) -> Self {
        Self { form: Some(form), ..self }
    }

    /// Whether a session waits.
    pub(crate) fn is_blocked(&self, at: usize) -> bool {
        self.ours[at].blocked.is_some()
    }

    /// Plays a script, its steps apart by `|`: a session's number and its line, or how many milliseconds pass.
    pub(crate) fn play(&mut self, script: &str) {
        for step in script.split('|').map(str::trim_start) {
            match step.split_once(' ') {
                Some((at, line)) => self.step(at.parse().expect("a session"), line),
                None => self.pass(Duration::from_millis(step.parse().expect("a time"))),
            }
        }
    }

    /// Gives a line to a session on both sides, and compares everything that comes.
    pub(crate) fn step(&mut self, at: usize, line: &str) {
        assert!(self.ours[at].blocked.is_none(), "{line}: session {at} waits");
        self.history.push(format!("{at}: {line}"));
        let words: Vec<&str> = line.split(' ').collect();
        self.theirs[at].send(&words);
        let mut out = vec![Vec::new(); self.ours.len()];
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let ours = &mut self.ours[at];
        match execute(&self.engine, &mut ours.session, &bytes, &mut RespSink::new(&mut out[at])) {
            Outcome::Blocked(blocked) => ours.blocked = Some((blocked, Instant::now())),
            outcome => assert!(outcome.is_done()),
        }
        self.compare(&words, out);
    }

    /// Lets time pass on both sides.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.history.push(format!("{span:?} pass"));
        thread::sleep(span);
        let mut out = vec![Vec::new(); self.ours.len()];
        for (ours, out) in self.ours.iter_mut().zip(&mut out) {
            let is_over = |(blocked, since): &mut (Blocked, Instant)| {
                blocked.timeout().is_some_and(|timeout| since.elapsed() >= timeout)
            };
            if let Some((blocked, _)) = ours.blocked.take_if(is_over) {
                blocked.time_out(&mut RespSink::new(out));
            }
        }
        self.compare(&[], out);
    }

    fn compare(&mut self, words: &[&str], mut out: Vec<Vec<u8>>) {
        for (ours, out) in self.ours.iter_mut().zip(&mut out) {
            ours.session.poll_pushes(&mut RespSink::new(out));
            ours.blocked.take_if(|(blocked, _)| blocked.poll_reply(&mut RespSink::new(out)));
        }
        settle(&mut self.control);
        for (at, (ours, theirs)) in out.iter().zip(&mut self.theirs).enumerate() {
            let theirs = theirs.replies();
            let alike = |form: Form| {
                !words.is_empty() && form(words, ours, self.kind) == form(words, &theirs, self.kind)
            };
            assert!(
                *ours == theirs || self.form.is_some_and(alike),
                "session {at} after\n{}\nours:   {}\ntheirs: {}",
                self.history.join("\n"),
                ours.escape_ascii(),
                theirs.escape_ascii()
            );
        }
    }
}

fn settle(control: &mut Connection) {
    for _ in 0..2 {
        control.ask(&["PING"]);
    }
}

/// Chance that repeats itself.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    pub(crate) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// Fills a form: `#` becomes one of the keys, `@` the number.
    pub(crate) fn fill(&mut self, form: &str, keys: &[&str], number: usize) -> String {
        let mut line = String::new();
        for letter in form.chars() {
            match letter {
                '#' => line.push_str(self.pick(keys)),
                '@' => line.push_str(&number.to_string()),
                other => line.push(other),
            }
        }
        line
    }
}
