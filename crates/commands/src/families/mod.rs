//! The families of commands: each file ends with its rows.

mod bitmap;
mod command;
mod config;
mod connection;
mod expiry;
mod geo;
mod hash;
mod hyperloglog;
mod keys;
mod list;
mod pubsub;
mod scan_args;
mod server;
mod set;
mod sort;
mod sorted_set;
mod stream;
mod stream_groups;
mod stream_info;
mod string;
mod transactions;

use crate::spec::CommandSpec;

/// A file of this folder.
#[derive(Debug)]
pub(crate) struct Family {
    /// The group in which Redis documents its commands.
    pub(crate) group: &'static str,
    pub(crate) commands: &'static [CommandSpec],
}

const fn family(group: &'static str, commands: &'static [CommandSpec]) -> Family {
    Family { group, commands }
}

pub(crate) const FAMILIES: &[Family] = &[
    family("string", string::COMMANDS),
    family("generic", keys::COMMANDS),
    family("generic", expiry::COMMANDS),
    family("generic", sort::COMMANDS),
    family("server", server::COMMANDS),
    family("server", command::COMMANDS),
    family("server", config::COMMANDS),
    family("connection", connection::COMMANDS),
    family("pubsub", pubsub::COMMANDS),
    family("transactions", transactions::COMMANDS),
    family("list", list::COMMANDS),
    family("set", set::COMMANDS),
    family("hash", hash::COMMANDS),
    family("sorted-set", sorted_set::COMMANDS),
    family("geo", geo::COMMANDS),
    family("stream", stream::COMMANDS),
    family("stream", stream_groups::COMMANDS),
    family("bitmap", bitmap::COMMANDS),
    family("hyperloglog", hyperloglog::COMMANDS),
];
