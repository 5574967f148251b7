//! What client and host program say to each other: a run's submission, requests and replies, and the frames they travel in.
//! Data only; both ends must understand every word, so a change to it is a change of [`VERSION`].

mod database;
mod frame;
mod log_line;
mod submission;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Approved, Event, Status};
use crate::facts::{Facts, LockHolder};
use crate::name::{RunId, ServiceName, StepName};
use crate::secret::SecretSources;

pub use database::{Database, Engine, Way};
pub use frame::{Decoder, FrameError, Kind, MAX_PAYLOAD, Message, encode};
pub use log_line::LogLine;
pub use submission::{Approval, ComposeProject, Hint, HostStep, LedgerKey, Retention, Seen, StateDir, Submission, When, Who};

/// The version of the protocol. The host program is uploaded by its client, so the two always agree.
pub const VERSION: u32 = 1;

/// The first words of the host program on its channel; what a login shell printed before them is noise.
/// A nonce chosen by the client follows, then a line's end, then frames.
pub const GREETING: &str = "landfall-host";

/// How many bytes of a record a follower may be sent before it has granted more.
pub const CREDIT: u32 = 1 << 20;

/// How often a client that has nothing to say says that it is there.
pub const ALIVE: Duration = Duration::from_secs(5);

/// A client that was silent for so long is gone, whatever its connection says: nobody may count on its answers any more. It finds
/// its way back when it wakes up.
pub const SILENCE: Duration = Duration::from_secs(20);

/// What a client asks for. Each request opens a stream of its own; its replies carry the stream's number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Begin a run, or find it if it has begun, and follow its record from its first byte. Idempotent by the run's id.
    Submit {
        /// SHA-256 of `submission`, in hex.
        sha256: String,
        /// A [`Submission`] as JSON text.
        submission: String,
        /// Tells this driver from others: only who knows it may answer the run's barriers. Not shown to anyone.
        driver: String,
    },
    /// Look at the host for a plan; begin nothing.
    Survey {
        /// A [`Submission`] as JSON text; its steps tell what to look for.
        submission: String,
    },
    /// Let a prepared run go.
    Go {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// The token given at submission: only who prepared it lets it go.
        driver: String,
        /// What somebody took upon themselves of the migrations that wait, by step: it belongs into the record.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        approved: BTreeMap<StepName, Vec<Approved>>,
    },
    /// Read a run's record.
    Follow {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// From this byte.
        offset: u64,
        /// The token of the run's driver, whose connection this is from now on; of no weight when another drives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
    },
    /// Take over a run whose own client is gone: from then on its barriers are this client's to answer.
    Drive {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// The token of the new driver.
        driver: String,
        /// The digest of the plan that it holds: no other may answer.
        plan: String,
    },
    /// Answer a barrier.
    Answer {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// The index of the step.
        step: u32,
        /// The token given at submission.
        driver: String,
        /// The answer.
        answer: Answer,
    },
    /// Stop a run, in the container too, or withdraw one that was not let go.
    Cancel {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// Who asks.
        who: String,
        /// Asked for by itself: where the run heeds a cancel already, what must run in any case is stopped too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// List the runs of a host, newest first.
    Runs {
        /// Where the state is.
        state: StateDir,
    },
    /// Who holds the lock.
    Lock {
        /// Where the state is.
        state: StateDir,
    },
    /// Read the log of a service's containers, masked: data in lines of [`LogLine`], then [`Reply::Done`].
    Logs {
        /// The compose project.
        compose: ComposeProject,
        /// What must never leave the host.
        secrets: SecretSources,
        /// Whose log.
        service: ServiceName,
        /// Go on with what comes.
        follow: bool,
        /// From when on, as Docker understands it; nothing: from the beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
        /// Only so many of the last lines of each container.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tail: Option<u32>,
    },
    /// Take the lock away from a run of which nothing lives any more.
    BreakLock {
        /// Where the state is.
        state: StateDir,
        /// The run that holds it.
        run: RunId,
        /// Who asks.
        who: String,
    },
    /// Settle a run that ended lost or unknown.
    Resolve {
        /// Where the state is.
        state: StateDir,
        /// Which run.
        run: RunId,
        /// True: its work is done.
        done: bool,
        /// Who says so.
        who: String,
        /// Why.
        note: String,
    },
}

/// What the driver found out where the host waited for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// The exit code of a local command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The story or the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The client's own events of that step, for the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// What the host replies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The very first message, on stream 0.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The kernel's boot id.
        boot_id: String,
        /// What tells this machine from every other, for the order of locks.
        machine: String,
        /// Who the host program runs as.
        user: String,
    },
    /// It is done.
    Done,
    /// The run is on the host: from here on it is never begun again. Its record follows.
    Accepted {
        /// The run; another one than was submitted where the key was known.
        run: RunId,
    },
    /// The record is open: so long it was when reading began, so what comes before is history. Its bytes follow.
    Opened {
        /// In bytes.
        length: u64,
        /// Whether who reads it is the run's driver.
        drives: bool,
    },
    /// Another client drives this run by now: what was said was not taken.
    Overtaken,
    /// What a survey found.
    Facts {
        /// It.
        facts: Box<Facts>,
    },
    /// The runs of the host.
    Runs {
        /// Newest first.
        runs: Vec<RunSummary>,
    },
    /// Who holds the lock.
    Lock {
        /// Nobody, or this run.
        holder: Option<LockHolder>,
    },
    /// The record is read to its end: nothing will follow.
    RecordEnd {
        /// What became of the run.
        state: RunState,
        /// What is known of it where its supervisor died, a sentence each, masked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        known: Vec<String>,
    },
    /// The log is shorter than the offset asked for: the host lost its tail.
    RecordShort {
        /// Its length.
        length: u64,
    },
    /// It cannot be done.
    Refused {
        /// The exit code that goes with it.
        code: u8,
        /// Why.
        message: String,
        /// What mends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
    },
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Its supervisor is alive.
    Running,
    /// It ended, with this code.
    Done {
        /// The exit code of the host's part.
        code: u8,
        /// The word that goes with it.
        status: String,
    },
    /// Its supervisor is dead, and something it started lives.
    Orphaned {
        /// What.
        left: Vec<String>,
    },
    /// Its supervisor is dead and nothing of it lives. How its work ended is not known.
    Lost,
}

impl RunState {
    /// The word for it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Done { status, .. } => status,
            Self::Orphaned { .. } => "orphaned",
            Self::Lost => "lost",
        }
    }
}

/// A line of `landfall runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// Who started it.
    pub who: String,
    /// When, RFC 3339.
    pub since: String,
    /// The note given with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key given with it (CI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The host it runs on, by the name its inventory gives it.
    pub host: crate::name::HostName,
    /// All hosts of the run.
    pub hosts: Vec<crate::name::HostName>,
    /// What became of it.
    pub state: RunState,
}
