//! Tests against a real sshd of their own, on a free loopback port; faults come from servers and proxies made here.

mod channel;
mod connecting;
mod fixture;
mod host_keys;
mod login;
mod round_trips;
