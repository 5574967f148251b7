//! The integration tests, in one binary.

mod host_disk;
mod host_follow;
mod host_lock;
mod host_program;
mod host_record;
mod host_secrets;
mod host_steps;
mod host_stop;
mod host_submit;
mod repository;
