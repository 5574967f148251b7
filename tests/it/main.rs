//! Landfall from the outside: the program, run as a person or a CI system runs it, against droplets that are real hosts. One file an
//! area. `tests/run` starts the testbeds and names them in the environment; nothing here is skipped where they are missing.

#![allow(clippy::unwrap_used, clippy::format_collect, clippy::print_stdout)]

mod backups;
mod becoming;
mod chance;
mod checks;
mod commands;
mod database_tls;
mod droplet;
mod durable_cancel;
mod durable_client;
mod durable_connection;
mod durable_locks;
mod durable_restart;
mod failures;
mod gate;
mod host_disk;
mod host_follow;
mod host_lock;
mod host_program;
mod host_record;
mod host_secrets;
mod host_steps;
mod host_stop;
mod host_submit;
mod hosts;
mod inputs;
mod lint;
mod local;
mod logs;
mod maria;
mod maria_sql;
mod mariadb;
mod masking;
mod migrations;
mod once;
mod one_database;
mod output;
mod pooled;
mod program;
mod project;
mod proxy;
mod release;
mod reports;
mod repository;
mod sampler;
mod secrets;
mod sql;
mod ssh;
mod stopping;
mod taking_over;
mod tools;
