//! Landfall from the outside: the program, run as a person or a CI system runs it, against droplets that are real hosts. One file an
//! area. `tests/run` starts the testbeds and names them in the environment; nothing here is skipped where they are missing.

#![allow(clippy::unwrap_used)]

mod commands;
mod droplet;
mod failures;
mod hosts;
mod inputs;
mod local;
mod once;
mod output;
mod program;
mod project;
mod release;
mod repository;
mod secrets;
mod ssh;
mod stopping;
