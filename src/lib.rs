//! Landfall runs the `docker compose` work of a release (pull, migrate, seed, switch, verify) on droplets over SSH.
//! This chapter is the story of how; the command line is told by `landfall --help`, the files by `landfall schema`.
//!
//! # Theory of operation
//!
//! Landfall is a small compiler and a small supervisor, with a wire between them.
//!
//! ```text
//! TOML ─parse→ Playbook ─resolve→ ResolvedPlaybook ─submit→ prepared on the hosts ─survey→ Facts
//!                                        └───────────────────── plan ──────────────────────┘
//!                                                                 │ approved: go
//! exit code ←── Reporters ←── Event, Event, … ←── follow(offset) ←┘ a run, owned by the hosts
//! ```
//!
//! Five decisions carry everything else:
//!
//! - **A run belongs to the hosts.** The client uploads a small static program, `landfall-host`, and hands it the whole run at
//!   once: from then on a process there, in a session of its own, does the steps, keeps the lock and writes the record. The
//!   client only follows. A connection that breaks costs nothing but time.
//! - **Secrets stay there.** They are read on the host, by name; what a step prints is masked before it is written down or sent. A
//!   submission says `{ secret = "NAME" }`, and has no field for a value ([`secret`]).
//! - **Many step kinds, few actions.** A playbook's kinds are an open set ([`steps`]). Each lowers to a closed set of actions
//!   ([`action`]), which are all that the host program understands. A new kind does not change the host.
//! - **What is shown is what runs.** `landfall plan` prints a value made from the resolved playbook; `landfall run` submits the same
//!   one. There is no dry-run branch in the execution. Image ids and pending migrations that were approved are looked at again
//!   under the lock, and a difference is a refusal.
//! - **One stream of events.** Live, attached later and replayed are the same code: a record is read from a byte offset, and a pure
//!   function makes [`event::Event`]s from it. Reporters consume them, and know nothing else.
//!
//! ## The way of a run
//!
//! 1. **Parse and resolve.** [`cli`] finds the inventory; [`playbook`] reads it and the playbook with the place of each value
//!    ([`source`]), picks the hosts, fills in vars, and lets each step's kind check and lower itself. All that is wrong is told
//!    at once, and nothing has been contacted. Values in, values out.
//! 2. **Local gates.** Leading `local` steps run on the operator's machine. If one fails, that was all.
//! 3. **Connect.** [`ssh`] asks `ssh -G`, checks the host key, and opens one TCP connection a host. [`runtime`] finds the host program
//!    there, or uploads it (length and SHA-256 are proven before it may run), and speaks frames with it over a single channel.
//! 4. **Prepare.** The client writes the run's id into its own journal, then submits: one message a host, with the length and digest
//!    of its text. The host starts a supervisor, which takes the project's lock, pulls, and surveys: images, pending
//!    migrations, the ledger, disk. Hosts are taken in the order of their identity, so that two runs never wait for each other in a
//!    circle. Any refusal ends the run before its first step, on every host.
//! 5. **Plan and approve.** [`plan`] puts playbook and facts together; a person says yes, or `--yes` was given. Then comes `go`.
//! 6. **Steps.** Each supervisor goes through its list at its own pace. What only the client can do (a `local` step, a check from
//!    here, the result of a `once` step on another host) is a barrier: the host waits for an answer, the driver gives it.
//! 7. **Follow.** [`run`] reads every host's record from the byte it knows, connects again when it must, merges the hosts' events into one
//!    stream, and hands them to [`report`].
//! 8. **The end.** A host's part ends with an exit code and a word in its record. The worst host decides the exit code. Where
//!    nobody can know how something ended, the outcome is *unknown*: neither success nor failure, and it blocks the next run with effects
//!    until a person settles it.
//!
//! ## On the host
//!
//! A project's state is a folder, `/var/lib/landfall/PROJECT` unless the inventory says otherwise:
//!
//! ```text
//! runs/RUN/   submission.json  log  owner@  effects@  verdict@  cancel@  heeded@  cancel.again@  driver.N@  approved  answer.N  rc@  settled@
//! locks/      project.N@
//! ledger/     KEY.RUN.begun  KEY.RUN.ended@
//! ```
//!
//! Names with `@` are symbolic links whose target is the value. Making one is atomic and exclusive, and works on a full disk;
//! `owner`, `effects`, `rc`, `settled` and the newest `project.N` are the whole truth about a run. A process is named by pid, start time and boot, so
//! a pid that was given away again is never mistaken for it. What a run starts carries two marks, in its environment and in a limit that
//! Linux does not keep; both go into the application's own containers too, and the second cannot be cleared. The lock is not released
//! by anybody: it is over when its run is, and held as long as a process or container of the run lives. The ledger is written before
//! a seed begins and after it ended, so a seed that was interrupted is not taken for one that never ran.
//!
//! Hosts that share a database share a lock and a ledger there. A `migrate` step, and a seed or a `once = "release"` command of the
//! application, holds the database's lock while it works: a session whose end ends it. Who finds it taken waits as long as `--lock-wait`
//! says, or as long as it takes for another host of its own run, and is told by whom and since when. All that is set there is set for a
//! transaction only: a connection pool hands the session to somebody else after it. What such a seed or command leaves
//! is in the database, so the database keeps a row of it (`landfall.ledger`; in MySQL `landfall_ledger`) under the same key: written and
//! ended like the host's own entry, read by every host, and going where the data goes. The host's entry names the database by a digest of what
//! that calls itself, or of its address: an entry of another database is none of this one's. A look makes nothing there; where
//! a login may not make or use it, or nothing answers, the plan says that the step is guarded on this host only, and why. Beside it
//! `landfall.applied` (`landfall_applied`) holds what the files of migrations were that a run saw applied, where the tool's own history
//! has no digest of them.
//!
//! The log is append-only text, a frame a line ([`record`]): events, lines of output, the end. A position is a byte offset. On the
//! wire ([`protocol`]) the same bytes travel in length-framed messages, with credit for each follower, so that a reader that
//! stalls holds up nobody. What comes from a host is bounded and validated, and nothing in a record is ever executed.
//!
//! ## Layers
//!
//! The modules below stand in order: each may use those above it, never one below. A test reads the `use` lines and fails on
//! anything else, so a module that wants something from below is telling that the thing lives in the wrong place.
//!
//! | module | owns |
//! |---|---|
//! | [`name`] | names, checked where they enter the program |
//! | [`secret`] | a secret's name and place; never its value |
//! | [`command`] | the only quoting in the program |
//! | [`action`] | what a host can do: the closed set |
//! | [`check`] | looking at an application, and judging what is seen; from the client and from the host |
//! | [`facts`] | what a host is like right now |
//! | [`history`] | migration files and histories, compared |
//! | [`event`] | what happens in a run |
//! | [`record`] | the log's frames, and the events in them |
//! | [`protocol`] | what client and host program say to each other |
//! | [`hint`] | what usual failures mean |
//! | [`host`] | the host program: serve, supervise, mask, lock, ledger, probe, judge |
//! | [`source`] | TOML with places, and the list of what is wrong |
//! | [`vault`] | the secrets of this machine, and where they come from |
//! | [`migration`] | migration tools as data |
//! | [`steps`] | the step kinds, a file each |
//! | [`playbook`] | parse, resolve, the inventory |
//! | [`plan`] | playbook and facts into a plan |
//! | [`ssh`] | connections; all of russh is behind it |
//! | [`runtime`] | the host program's other end: upload, link |
//! | [`report`] | what a user sees: from plan and events only |
//! | [`copies`] | this machine's own copies of runs |
//! | [`notify`] | tells others that a run began or ended |
//! | [`run`] | one run, from submission to outcome |
//! | [`cli`] | arguments, confirmation, exit codes; a file a subcommand |
//!
//! Down to [`host`] everything is compiled into both programs. `landfall-host` is this same package without the feature `client`,
//! built and embedded by `build.rs`; it has few dependencies, and none that needs a C compiler.
//!
//! ## Words
//!
//! Each has one meaning here, in code, messages and documents:
//!
//! - **playbook**: steps, in order; **step**: one entry of it; **kind**: what sort of step it is
//! - **inventory**: `landfall.toml`; **host**: a machine in it; **group**: hosts that are named together
//! - **action**: one thing a host does; **plan**: the actions of all hosts, with the facts they were approved for
//! - **run**: one carrying-out of a plan, under one id; **driver**: the client that answers its barriers: the one that
//!   started it, or took it over when that was gone
//! - **supervisor**: the process that does a run on a host; **record**: what is kept of it
//! - **event**: one thing that happened; **outcome**: how a step or run ended; **reporter**: shows events
//! - **check**: a step that only looks; **gate**: something that must hold before anything is done
//! - **lock**: one run with effects at a time, for each project and host, and one step at a time that works on a database;
//!   **ledger**: what ran once and need not again
//! - **secret**: a value that stays on the host; **mask**: what is written in its place
//!
//! And the verbs: parse, resolve, lower, plan, submit, follow, attach (watch a run that is there), detach (let go of it), cancel
//! (stop it, and say whether it stopped), settle (say how an unknown one ended), mask, emit, render.

// In layer order, which the blank lines keep: formatting sorts what stands together.

pub mod name;

pub mod secret;

pub mod command;

pub mod action;

pub mod check;

pub mod facts;

pub mod history;

pub mod event;

pub mod record;

pub mod protocol;

pub mod hint;

#[cfg(target_os = "linux")]
pub mod host;

#[cfg(feature = "client")]
pub mod source;

#[cfg(feature = "client")]
pub mod vault;

#[cfg(feature = "client")]
pub mod migration;

#[cfg(feature = "client")]
pub mod steps;

#[cfg(feature = "client")]
pub mod playbook;

#[cfg(feature = "client")]
pub mod plan;

#[cfg(feature = "client")]
pub mod ssh;

#[cfg(feature = "client")]
pub mod runtime;

#[cfg(feature = "client")]
pub mod report;

#[cfg(feature = "client")]
pub mod copies;

#[cfg(feature = "client")]
pub mod notify;

#[cfg(feature = "client")]
pub mod run;

#[cfg(feature = "client")]
pub mod cli;
