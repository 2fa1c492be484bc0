//! Larder and a server side by side: the same commands to both, the replies compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use larder::{EncodingLimits, Engine, ManualClock, UnixMillis};
use larder_commands::generate::{Command, Generator};
use larder_commands::{RespSink, Session, execute};
use larder_testkit::resp::{Reply, write_command};
use larder_testkit::servers::{Connection, Kind, Server};

use crate::compare::{Call, Seen, compare};
use crate::rules::{self, Rule};
use crate::{known, state};

/// How many commands the server gets in one go.
const BATCH: usize = 250;
/// The engine's own seed: chance on our side is no reason for two runs to differ.
const ENGINE_SEED: u64 = 42;

/// How a round is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) resp3: bool,
    /// Collections leave their small encodings after a few elements.
    pub(crate) small: bool,
}

impl Setting {
    pub(crate) fn of_round(seed: u64) -> Self {
        Self { resp3: seed % 3 == 2, small: seed % 2 == 1 }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.resp3 { "RESP3" } else { "RESP2" };
        write!(f, "{protocol}, {} thresholds", if self.small { "small" } else { "default" })
    }
}

/// The thresholds under both names, default and small.
const THRESHOLDS: &[(&str, &str, &str)] = &[
    ("list-max-listpack-size", "-2", "4"),
    ("hash-max-listpack-entries", "512", "4"),
    ("hash-max-listpack-value", "64", "10"),
    ("set-max-intset-entries", "512", "4"),
    ("set-max-listpack-entries", "128", "6"),
    ("set-max-listpack-value", "64", "10"),
    ("zset-max-listpack-entries", "128", "4"),
    ("zset-max-listpack-value", "64", "10"),
    ("hll-sparse-max-bytes", "3000", "60"),
    ("stream-node-max-entries", "100", "4"),
];

fn limits(kind: Kind, small: bool) -> EncodingLimits {
    let mut limits = EncodingLimits::default();
    if small {
        limits.list_max_listpack_size = 4;
        limits.hash_max_listpack_entries = 4;
        limits.hash_max_listpack_value = 10;
        limits.set_max_intset_entries = 4;
        limits.set_max_listpack_entries = 6;
        limits.set_max_listpack_value = 10;
        limits.zset_max_listpack_entries = 4;
        limits.zset_max_listpack_value = 10;
        limits.hll_sparse_max_bytes = 60;
        limits.stream_node_max_entries = 4;
    }
    if kind == Kind::Redis {
        // 7.0 has no small encoding for sets of other members than integers.
        limits.set_max_listpack_entries = 0;
    }
    limits
}

/// Two replies that should be the same.
#[derive(Debug, Clone)]
pub(crate) struct Mismatch {
    /// How many commands of the history had been given.
    pub(crate) at: usize,
    /// The words of the command, or of the look at the state.
    args: Vec<Vec<u8>>,
    ours: String,
    theirs: String,
    why: String,
}

impl Mismatch {
    pub(crate) fn new(args: &[Vec<u8>], ours: &[u8], theirs: &[u8], why: String) -> Self {
        let shown = |bytes: &[u8]| match Reply::whole(bytes) {
            Ok(reply) => reply.to_string(),
            Err(error) => format!("{error} {}", bytes.escape_ascii()),
        };
        Self { at: 0, args: args.to_vec(), ours: shown(ours), theirs: shown(theirs), why }
    }

    /// It was found by looking at the state.
    pub(crate) fn in_state(self) -> Self {
        Self { why: format!("{}, in the state afterwards", self.why), ..self }
    }

    /// What two finds of the same fault have in common.
    pub(crate) fn signature(&self) -> String {
        let name = String::from_utf8_lossy(&self.args[0]).to_ascii_uppercase();
        let class = |text: &str| match text.strip_prefix("(error) ") {
            Some(error) => error.chars().take(14).collect(),
            None => text.chars().next().map_or(String::new(), |first| {
                if first.is_ascii_digit() || first == '-' { "number".to_owned() } else { first.to_string() }
            }),
        };
        format!("{name} / {} / {}", class(&self.ours), class(&self.theirs))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| -> String { text.chars().take(1_500).collect() };
        let line: Vec<String> = self.args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
        writeln!(f, "{} ({})", cut(&line.join(" ")), self.why)?;
        writeln!(f, "  larder: {}", cut(&self.ours))?;
        write!(f, "  server: {}", cut(&self.theirs))
    }
}

/// Both of them.
pub(crate) struct Pair {
    pub(crate) kind: Kind,
    connection: Connection,
    engine: Engine,
    clock: ManualClock,
    session: Session,
    /// Thresholds that this server knows.
    thresholds: Vec<(&'static str, &'static str, &'static str)>,
    /// How often a command was answered, and how often without an error.
    answered: BTreeMap<String, [u64; 2]>,
    by_rule: BTreeMap<&'static str, u64>,
    /// A deliberate difference has led to different states: nothing more is compared in this round.
    parted: bool,
    seen: Seen,
    compared: u64,
    /// Of them, in the present batch.
    in_batch: u64,
}

impl Pair {
    pub(crate) fn new(server: &Server) -> Self {
        let mut connection = server.connect();
        let mut known = |name: &str| !connection.ask(&["CONFIG", "GET", name]).items().is_empty();
        let thresholds = THRESHOLDS.iter().copied().filter(|(name, ..)| known(name)).collect();
        Self {
            kind: server.kind(),
            connection,
            engine: Engine::new(),
            clock: ManualClock::default(),
            session: Session::new(),
            thresholds,
            answered: BTreeMap::new(),
            by_rule: BTreeMap::new(),
            parted: false,
            seen: Seen::default(),
            compared: 0,
            in_batch: 0,
        }
    }

    /// Leaves out what the server does not have.
    pub(crate) fn shared_commands(&mut self, generator: Generator) -> Generator {
        let names: BTreeSet<String> = generator.names().collect();
        let missing: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| {
                let info = self.connection.ask(&["COMMAND", "INFO", name]);
                !matches!(info.items().first(), Some(Reply::Array(_)))
            })
            .collect();
        eprintln!("{}: not known to it and left out: {}", self.kind, missing.join(" "));
        generator.without(&missing)
    }

    /// How many commands of histories were compared; looks at the state do not count.
    pub(crate) fn compared(&self) -> u64 {
        self.compared
    }

    /// Runs a history from an empty state; the first difference ends it.
    pub(crate) fn round(&mut self, setting: Setting, history: &[Command]) -> Option<Mismatch> {
        self.clear(setting);
        for (number, batch) in history.chunks(BATCH).enumerate() {
            let before = number * BATCH;
            let lines: Vec<Vec<Vec<u8>>> = batch.iter().map(|command| self.sendable(command)).collect();
            let outcome = self.batch(&lines);
            self.compared += self.in_batch;
            if let Err((at, mismatch)) = outcome {
                return Some(Mismatch { at: before + at + 1, ..*mismatch });
            }
            if self.parted {
                break;
            }
            if let Some(mismatch) = state::compare(self) {
                return Some(Mismatch { at: before + batch.len(), ..mismatch });
            }
        }
        None
    }

    /// The words of a command, or of one that does nothing where the server is too old for it.
    fn sendable(&mut self, command: &Command) -> Vec<Vec<u8>> {
        if let Some(reason) = known::left_out(self.kind, command.args()) {
            *self.by_rule.entry(reason).or_default() += 1;
            return vec![b"EXISTS".to_vec(), b"nothing".to_vec()];
        }
        command.args().to_vec()
    }

    fn clear(&mut self, setting: Setting) {
        let mut lines = vec![
            vec!["FLUSHALL", "SYNC"],
            vec!["SELECT", "0"],
            vec!["HELLO", if setting.resp3 { "3" } else { "2" }],
        ];
        for (name, default, small) in &self.thresholds {
            lines.push(vec!["CONFIG", "SET", name, if setting.small { small } else { default }]);
        }
        for reply in self.connection.pipeline(&lines) {
            assert!(!reply.starts_with(b"-"), "the server refuses to be set up: {}", reply.escape_ascii());
        }
        self.clock = ManualClock::default();
        let builder = Engine::builder().clock(self.clock.clone()).seed(ENGINE_SEED).databases(16);
        let built = builder.encoding_limits(limits(self.kind, setting.small)).build();
        self.engine = built.expect("plain settings");
        self.session = Session::new();
        (self.parted, self.seen) = (false, Seen::default());
        if setting.resp3 {
            let reply = self.ours(&["HELLO", "3"]);
            assert!(!reply.starts_with(b"-"), "{}", reply.escape_ascii());
        }
    }

    /// Gives the lines to both. A difference comes with its index.
    pub(crate) fn batch(&mut self, lines: &[Vec<Vec<u8>>]) -> Result<(), (usize, Box<Mismatch>)> {
        let mut start = 0;
        self.in_batch = 0;
        while start < lines.len() && !self.parted {
            let rest = &lines[start..];
            let end = rest.iter().position(|line| rules::is_iteration(line)).unwrap_or(rest.len());
            self.pipelined(&rest[..end]).map_err(|(at, mismatch)| (start + at, mismatch))?;
            start += end;
            if let Some(line) = lines.get(start).filter(|_| !self.parted) {
                self.iteration(line).map_err(|mismatch| (start, mismatch))?;
                start += 1;
            }
        }
        Ok(())
    }

    fn pipelined(&mut self, lines: &[Vec<Vec<u8>>]) -> Result<(), (usize, Box<Mismatch>)> {
        if lines.is_empty() {
            return Ok(());
        }
        let time = vec![vec![b"TIME".to_vec()]];
        let sent: Vec<Vec<Vec<u8>>> = time.into_iter().chain(lines.iter().cloned()).collect();
        let mut replies = self.connection.pipeline(&sent).into_iter();
        self.set_clock(&replies.next().expect("as many replies as commands"));
        for (at, (line, theirs)) in lines.iter().zip(replies).enumerate() {
            if self.parted {
                break;
            }
            self.one(line, &theirs).map_err(|mismatch| (at, mismatch))?;
        }
        Ok(())
    }

    /// Larder's turn, with the server's reply known.
    fn one(&mut self, line: &[Vec<u8>], theirs: &[u8]) -> Result<(), Box<Mismatch>> {
        let name = rules::name_of(line);
        self.tally_up(&name, theirs);
        let rule = rules::rule_of(&name, line);
        let before = match rule {
            Rule::Random(kind) => rules::random::before(self, kind, line),
            Rule::StreamId => {
                self.follow_stream_clock(theirs);
                None
            }
            _ => None,
        };
        let mixed_scores = self.reads_mixed_scores(&name, line);
        // It may remove or store as many as the server, and others.
        self.parted |= mixed_scores && (name.contains("REM") || name.contains("STORE"));
        let ours = self.ours(line);
        if self.kind == Kind::Valkey && !theirs.starts_with(b"-") {
            self.make_consumers(&name, line);
        }
        let held = if ours == theirs { "" } else { self.held(&name, line, &ours, theirs) };
        self.seen.sort |= name.starts_with("SORT") && self.type_of(line.get(1)) == "zset";
        self.seen.pop |= name == "SPOP";
        self.seen.distances |= rules::says(line, "STOREDIST");
        let call = Call {
            kind: self.kind,
            name: &name,
            line,
            ours: &ours,
            theirs,
            held,
            seen: self.seen,
            mixed_scores,
        };
        let outcome = match (rule, before) {
            (Rule::Random(kind), Some(before)) => rules::random::settle(self, kind, &call, &before),
            _ => compare(&call, rule),
        };
        match outcome {
            Ok(how) => {
                *self.by_rule.entry(how).or_default() += 1;
                Ok(())
            }
            Err(why) => match known::reason(&call) {
                Some((reason, parts)) => {
                    *self.by_rule.entry(reason).or_default() += 1;
                    self.parted |= parts;
                    Ok(())
                }
                None => Err(Box::new(Mismatch::new(line, &ours, theirs, why))),
            },
        }
    }

    /// SCAN and its like: the two go through the whole iteration, each with its own cursors.
    fn iteration(&mut self, line: &[Vec<u8>]) -> Result<(), Box<Mismatch>> {
        let at = rules::cursor_at(line).expect("`is_iteration` has found the cursor");
        let theirs = self.iterate(line, at, |pair, line| pair.theirs(line));
        let ours = self.iterate(line, at, |pair, line| pair.ours(line));
        self.tally_up(&rules::name_of(line), &theirs);
        let (kind, name) = (self.kind, rules::name_of(line));
        let call = Call {
            kind,
            name: &name,
            line,
            ours: &ours,
            theirs: &theirs,
            held: "",
            seen: Seen::default(),
            mixed_scores: false,
        };
        if compare(&call, Rule::Items).is_ok() || known::reason(&call).is_some() {
            return Ok(());
        }
        let why = "as a whole iteration".to_owned();
        Err(Box::new(Mismatch::new(line, &ours, &theirs, why)))
    }

    /// Everything that an iteration gives, each once and sorted; the first error ends it.
    fn iterate(
        &mut self,
        line: &[Vec<u8>],
        at: usize,
        mut ask: impl FnMut(&mut Self, &[Vec<u8>]) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut line = line.to_vec();
        let pairs = rules::scans_pairs(&line);
        let mut seen = BTreeSet::new();
        for _ in 0..100_000 {
            let bytes = ask(self, &line);
            let Ok(Reply::Array(parts)) = Reply::whole(&bytes) else { return bytes };
            let [Reply::Bulk(cursor), items] = parts.as_slice() else { return bytes };
            let items = items.items();
            seen.extend(items.chunks(if pairs { 2 } else { 1 }).map(<[Reply]>::to_vec));
            if cursor == b"0" {
                let mut out = Vec::new();
                let items: Vec<&Reply> = seen.iter().flatten().collect();
                write_command(&mut out, items.iter().map(|item| item.bytes().unwrap_or_default()));
                return out;
            }
            line[at].clone_from(cursor);
        }
        b"-an iteration that does not end\r\n".to_vec()
    }

    /// The database that both have selected.
    pub(crate) fn database(&self) -> u16 {
        self.session.database()
    }

    /// Asks larder.
    pub(crate) fn ours<A: AsRef<[u8]>>(&mut self, line: &[A]) -> Vec<u8> {
        let words: Vec<&[u8]> = line.iter().map(AsRef::as_ref).collect();
        let mut out = Vec::new();
        let outcome = execute(&self.engine, &mut self.session, &words, &mut RespSink::new(&mut out));
        outcome.wait(&mut RespSink::new(&mut out));
        out
    }

    /// Asks larder, and reads the reply.
    pub(crate) fn our_reply<A: AsRef<[u8]>>(&mut self, line: &[A]) -> Reply {
        Reply::whole(&self.ours(line)).expect("larder answers RESP")
    }

    /// Asks the server.
    pub(crate) fn theirs<A: AsRef<[u8]> + Clone>(&mut self, line: &[A]) -> Vec<u8> {
        self.connection.pipeline(&[line.to_vec()]).pop().expect("one reply")
    }

    /// Larder's clock shows the time of the server.
    fn set_clock(&mut self, time: &[u8]) {
        let parts = Reply::whole(time).expect("a reply").items();
        let part = |index: usize| -> u64 {
            let bytes: &[u8] = parts.get(index).and_then(Reply::bytes).unwrap_or_default();
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("TIME gives numbers")
        };
        self.clock.set(UnixMillis(part(0) * 1_000 + part(1) / 1_000));
    }

    /// An entry's id comes from the server's clock, which has gone on since the batch began.
    fn follow_stream_clock(&mut self, theirs: &[u8]) {
        let Ok(Reply::Bulk(id)) = Reply::whole(theirs) else { return };
        let text = String::from_utf8_lossy(&id).into_owned();
        let Some(millis) = text.split('-').next().and_then(|part| part.parse().ok()) else { return };
        let now = larder::Clock::now(&self.clock);
        if UnixMillis(millis) > now && millis < now.0 + 60_000 {
            self.clock.set(UnixMillis(millis));
        }
    }

    fn reads_mixed_scores(&mut self, name: &str, line: &[Vec<u8>]) -> bool {
        if !known::LEXICAL.contains(&name) || !(name.contains("LEX") || rules::says(line, "BYLEX")) {
            return false;
        }
        let scores = self.scores(line.get(if name == "ZRANGESTORE" { 2 } else { 1 }));
        scores.windows(2).any(|pair| pair[0] != pair[1])
    }

    /// Since 7.2 a consumer comes to be by asking, whether or not there was something to deliver.
    fn make_consumers(&mut self, name: &str, line: &[Vec<u8>]) {
        let keys = match name {
            "XCLAIM" | "XAUTOCLAIM" => 1..2,
            "XREADGROUP" => {
                let streams = line.iter().position(|word| word.eq_ignore_ascii_case(b"STREAMS"));
                let Some(start) = streams.map(|at| at + 1) else { return };
                start..start + (line.len() - start) / 2
            }
            _ => return,
        };
        let group = if name == "XREADGROUP" {
            line.iter().position(|word| word.eq_ignore_ascii_case(b"GROUP")).map(|at| at + 1)
        } else {
            Some(2)
        };
        let Some([group, consumer]) = group.and_then(|at| line.get(at..at + 2)) else { return };
        for key in &line[keys] {
            self.ours(&[b"XGROUP".as_slice(), b"CREATECONSUMER", key, group, consumer]);
        }
    }

    /// What is under the key of a command whose replies differ, as far as it matters.
    fn held(&mut self, name: &str, line: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> &'static str {
        if name == "OBJECT" || name.starts_with("SORT") {
            let name = self.type_of(line.get(if name == "OBJECT" { 2 } else { 1 }));
            return ["string", "list", "set", "zset", "hash"]
                .into_iter()
                .find(|kind| *kind == name)
                .unwrap_or("");
        }
        if !name.starts_with("GEO") {
            return "";
        }
        let source = line.get(if name == "GEOSEARCHSTORE" { 2 } else { 1 });
        if self.scores(source).iter().any(|score| !(0.0..=4_503_599_627_370_495.0).contains(score)) {
            return "zset with scores that are no places";
        }
        if self.equally_far(line, ours, theirs) { "places at the same distance" } else { "" }
    }

    /// Do two answers to a search name places whose distances are the same, one by one?
    fn equally_far(&mut self, line: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> bool {
        let mut all = Vec::new();
        let mut words = line.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"COUNT" => drop(words.next()),
                b"ANY" | b"WITHDIST" | b"WITHHASH" | b"WITHCOORD" => {}
                _ => all.push(word.clone()),
            }
        }
        all.push(b"WITHDIST".to_vec());
        let found = self.our_reply(&all).items();
        let far: BTreeMap<Reply, Reply> = found
            .iter()
            .filter_map(|place| <[Reply; 2]>::try_from(place.items()).ok())
            .map(|[member, distance]| (member, distance))
            .collect();
        let distances = |reply: &[u8]| -> Option<Vec<Reply>> {
            let places = Reply::whole(reply).ok()?.items();
            let member = |place: &Reply| place.items().first().unwrap_or(place).clone();
            places.iter().map(|place| far.get(&member(place)).cloned()).collect()
        };
        let (ours, theirs) = (distances(ours), distances(theirs));
        let same_count = ours.as_ref().map(Vec::len) == theirs.as_ref().map(Vec::len);
        ours.is_some() && theirs.is_some() && (ours == theirs || (rules::says(line, "ANY") && same_count))
    }

    /// The scores of a sorted set; nothing for other keys.
    fn scores(&mut self, key: Option<&Vec<u8>>) -> Vec<f64> {
        let Some(key) = key else { return Vec::new() };
        let items = self.our_reply(&[b"ZRANGE", key.as_slice(), b"0", b"-1", b"WITHSCORES"]).items();
        let scores: Vec<Reply> = match items.first() {
            // RESP3 gives pairs.
            Some(Reply::Array(_)) => items.iter().filter_map(|pair| pair.items().pop()).collect(),
            _ => items.chunks(2).filter_map(|pair| pair.get(1).cloned()).collect(),
        };
        let text = |score: &Reply| String::from_utf8_lossy(score.bytes().unwrap_or_default()).into_owned();
        scores.iter().filter_map(|score| text(score).parse().ok()).collect()
    }

    fn type_of(&mut self, key: Option<&Vec<u8>>) -> String {
        let Some(key) = key else { return String::new() };
        let reply = self.our_reply(&[b"TYPE", key.as_slice()]);
        String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned()
    }

    fn tally_up(&mut self, name: &str, theirs: &[u8]) {
        self.in_batch += 1;
        let counts = self.answered.entry(name.to_owned()).or_default();
        counts[0] += 1;
        counts[1] += u64::from(!theirs.starts_with(b"-"));
    }

    /// One line on what was compared.
    pub(crate) fn tally(&self) -> String {
        let total: u64 = self.answered.values().map(|counts| counts[0]).sum();
        let good: u64 = self.answered.values().map(|counts| counts[1]).sum();
        let rules: Vec<String> = self.by_rule.iter().map(|(how, count)| format!("{how} {count}")).collect();
        format!(
            "{total} replies of {} commands with those about the state, {} % of them no errors; {}",
            self.answered.len(),
            good * 100 / total.max(1),
            rules.join(", ")
        )
    }

    /// A long run has given every command, and each was accepted at least once.
    pub(crate) fn check_coverage(&self, generator: &Generator, total: u64) {
        if total < 20_000 || std::env::var_os("LARDER_ONLY").is_some() {
            return;
        }
        let never: Vec<String> = generator
            .names()
            .map(|name| name.split('|').next().expect("a name").to_ascii_uppercase())
            .filter(|name| self.answered.get(name).is_none_or(|counts| counts[1] == 0))
            .collect();
        assert!(never.is_empty(), "never accepted by {}: {}", self.kind, never.join(" "));
    }
}
