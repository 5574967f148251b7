//! What runs on the host: `landfall-host`. It serves a client's connection, supervises runs that need no connection, and masks what
//! they print before a byte is written or sent. Linux only; its dependencies are few and need no C compiler.

mod actions;
mod aftermath;
mod backups;
mod compose;
mod database;
mod docker;
mod driver;
mod follow;
mod gather;
mod guard;
mod hold;
mod inbox;
mod inside;
mod judge;
mod kept;
mod kill;
mod ledger;
mod literals;
mod lock;
mod log;
mod logs;
mod look;
pub mod mask;
mod migrations;
mod owner;
mod packages;
mod play;
mod process;
mod project;
mod retention;
pub mod secrets;
mod serve;
mod settle;
mod stage;
mod state;
mod status;
mod supervise;
mod survey;
mod together;

#[cfg(test)]
pub(crate) use judge::read_status;

use std::process::ExitCode;

/// The whole program.
pub fn main() -> ExitCode {
    // A process that holds secrets leaves no core and cannot be looked into by others of the same user.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // What failed says where, not with what: a panic's own words may quote what the program had in hand.
    std::panic::set_hook(Box::new(|panic| {
        use std::io::Write;
        let place = panic.location().map_or("an unknown place", std::panic::Location::file);
        let line = panic.location().map_or(0, std::panic::Location::line);
        let _ = writeln!(std::io::stderr(), "landfall-host failed at {place}:{line}");
    }));
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "serve", nonce] => {
            close_inherited();
            serve::main(nonce)
        }
        [_, "supervise", root, run] => {
            close_inherited();
            supervise::main(root, run)
        }
        [_, "leash", parent, command @ ..] => logs::leash(parent, command),
        [_, "errand"] => look::errand(),
        [_, "hunt", run, signal] => inside::hunt(run, signal),
        [_, "--version"] => {
            use std::io::Write;
            let said = writeln!(std::io::stdout(), "landfall-host {}", env!("CARGO_PKG_VERSION"));
            if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        [_, "--sha256", file] => digest(file),
        _ => ExitCode::from(64),
    }
}

/// Closes what the login left open: held by a supervisor or a step, it would outlive the connection, and hold that open.
#[allow(unsafe_code, reason = "a descriptor that nobody here owns has no safe name")]
fn close_inherited() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    // The listing's own descriptor is closed by now.
    for fd in open.into_iter().filter(|fd| std::path::Path::new(&format!("/proc/self/fd/{fd}")).is_symlink()) {
        // SAFETY: this is the first thing the program does, so none of these descriptors is owned by a value.
        unsafe { rustix::io::close(fd) }
    }
}

/// For hosts that have no `sha256sum`: prints the digest of a file.
fn digest(file: &str) -> ExitCode {
    use sha2::Digest;
    use std::io::Write;
    let digest = std::fs::read(file).map(|bytes| ledger::hex(&sha2::Sha256::digest(bytes)));
    match digest.and_then(|digest| writeln!(std::io::stdout(), "{digest}  {file}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
