//! A session of the database that stays open while a step works on it, and holds a lock in it: whoever else would work on the same
//! database, from whatever host, finds it taken, and is told by whom. It ends with its process, and so with ours.
//!
//! PostgreSQL's lock is one of an open transaction: behind a pooler that hands a connection to somebody else after each transaction,
//! a lock of the session would be lost at once, and held by nobody who could release it. The transaction does nothing, so it keeps nothing
//! from being cleaned up. MySQL's is one of the session, with a second one beside it that says whose run it is.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Access, Engine, MYSQL, PSQL, Trouble, literal};
use crate::history::own::LOCKS;
use crate::host::inbox::Watch;
use crate::host::process;
use crate::name::{HostName, RunId};

/// How long the session may take to answer, beside the time that it is to wait.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a pool may take to give a second connection.
const ROOM: Duration = Duration::from_secs(10);

/// Who wants the lock: those who find it taken are told so.
#[derive(Clone, Copy)]
pub(in crate::host) struct Claim<'a> {
    /// The run.
    pub(in crate::host) run: &'a RunId,
    /// The host.
    pub(in crate::host) host: &'a HostName,
    /// Wakes who waits for it.
    pub(in crate::host) inbox: &'a Watch,
    /// Whether the waiting is to end.
    pub(in crate::host) cut: &'a dyn Fn() -> bool,
    /// When it is to, at the latest.
    pub(in crate::host) deadline: Option<Instant>,
}

/// What became of a claim.
pub(in crate::host) enum Taken {
    /// It is ours.
    Held(Held),
    /// It is another's.
    Busy {
        /// Whose, unmasked.
        holder: String,
        /// Of the same run, on another host.
        of_this_run: bool,
    },
    /// The waiting was ended.
    Cut,
}

/// A lock that is held.
#[derive(Debug)]
pub(in crate::host) struct Held {
    child: Child,
    engine: Engine,
}

impl Held {
    /// Whether the session does not hold the lock any more, by its own word: one that the server ended has let another host in.
    pub(in crate::host) fn is_lost(&self) -> bool {
        self.asked().is_none_or(|answer| answer != "held")
    }

    /// What the session answers, if it does in time.
    fn asked(&self) -> Option<String> {
        let (mut stdin, stdout) = (self.child.stdin.as_ref()?, self.child.stdout.as_ref()?);
        let question = match self.engine {
            Engine::Postgres => format!("SELECT 'held' FROM pg_locks l WHERE {LOCK} AND l.pid = pg_backend_pid();\n"),
            Engine::Mysql => format!("SELECT IF(IS_USED_LOCK({MYSQL_LOCK}) = CONNECTION_ID(), 'held', 'lost');\n"),
        };
        stdin.write_all(question.as_bytes()).ok()?;
        match line(stdout, None, ANSWER) {
            Said::Line(answer) => Some(answer.trim().to_owned()),
            _ => None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The end of its input ends the client, and that the session; one that does not heed it is killed.
        drop(self.child.stdin.take());
        process::await_end(&self.child, Duration::from_secs(5));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Access {
    /// Takes the database's lock, and waits so long for it, in the database.
    pub(in crate::host) fn hold(&self, claim: Claim<'_>, wait: Duration) -> Result<Taken, Trouble> {
        let (words, text) = match self.engine {
            Engine::Postgres => (&PSQL[..], postgres(&claim, wait)),
            Engine::Mysql => (&["mysql", "-N", "-B", "--unbuffered"][..], mysql(&claim, wait)),
        };
        let mut child =
            process::open(&self.client(words, text.as_bytes())).map_err(|error| Trouble::Client(error.to_string()))?;
        let said = first_line(&mut child, &claim, wait + ANSWER);
        let held = Held { child, engine: self.engine };
        match said {
            Said::Line(line) => match line.split_once(' ').unwrap_or((&line, "")) {
                ("held", _) => self.leaves_room().map(|()| Taken::Held(held)),
                ("busy", holder) => {
                    let (of_this_run, holder) = match holder.trim().split_once(' ') {
                        Some(("own", holder)) => (true, holder),
                        _ => (false, holder.trim()),
                    };
                    Ok(Taken::Busy { holder: self.holder(holder), of_this_run })
                }
                _ => Err(Trouble::Client("it did not say whether the lock is held".to_owned())),
            },
            Said::Nothing(why) => Err(Trouble::Client(format!("no lock can be held: {why}"))),
            Said::Cut => {
                self.leave(&claim);
                Ok(Taken::Cut)
            }
        }
    }

    /// Whether a pool gives another connection while one holds the lock: without that the step itself would wait for the lock's end.
    fn leaves_room(&self) -> Result<(), Trouble> {
        if !self.facts.pooled {
            return Ok(());
        }
        match self.attempt(&PSQL, b"SELECT 1;\n", ROOM) {
            Err(Trouble::Unreachable(_)) => Err(Trouble::PoolFull),
            answer => answer.map(drop),
        }
    }

    /// Ends what still waits in the server: it would go on without its client.
    fn leave(&self, claim: &Claim<'_>) {
        match self.engine {
            Engine::Postgres => {
                let name = literal(Engine::Postgres, &named(claim));
                let _ = self.query(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = left({name}, 63) AND wait_event_type = 'Lock'"
                ));
            }
            Engine::Mysql => {
                let waiting = format!(
                    "SELECT id FROM information_schema.processlist WHERE state = 'User lock' AND info LIKE '% {}%'",
                    claim.run
                );
                let ids = self.query(&waiting).unwrap_or_default().into_iter().flatten().flatten();
                for id in ids.filter_map(|id| id.parse::<u64>().ok()) {
                    let _ = self.look(&MYSQL, format!("KILL {id};\n").as_bytes());
                }
            }
        }
    }

    /// Whether a run holds the database's lock now, from whatever host.
    pub(in crate::host) fn is_held_by(&self, run: &RunId) -> bool {
        let query = match self.engine {
            Engine::Postgres => format!(
                "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {LOCK} AND a.application_name LIKE {}",
                literal(Engine::Postgres, &format!("landfall {run} on %"))
            ),
            Engine::Mysql => format!("SELECT 1 FROM DUAL WHERE IS_USED_LOCK({}) IS NOT NULL", mark(run)),
        };
        self.query(&query).is_ok_and(|rows| !rows.is_empty())
    }

    /// Who holds it, for people. MySQL tells the number of a connection: what that calls itself is told where the server keeps that and lets
    /// this login read it, and else whose it is.
    fn holder(&self, said: &str) -> String {
        let (Engine::Mysql, Ok(connection)) = (self.engine, said.parse::<u64>()) else { return said.to_owned() };
        let named = format!(
            "SELECT CONCAT(CAST(v.variable_value AS CHAR), ' (connection {connection})') FROM performance_schema.user_variables_by_thread v \
             JOIN performance_schema.threads t USING (thread_id) WHERE t.processlist_id = {connection} AND v.variable_name = 'landfall'"
        );
        let owned = format!(
            "SELECT CONCAT('connection {connection} (', user, ' from ', host, ', since ', NOW() - INTERVAL time SECOND, ')') \
             FROM information_schema.processlist WHERE id = {connection}"
        );
        let told = |query: &String| self.query(query).ok()?.into_iter().next()?.into_iter().next()?;
        [named, owned].iter().find_map(told).unwrap_or_else(|| format!("connection {connection}"))
    }
}

/// What the lock of PostgreSQL is called: the first of Landfall's own.
const CLASS: u32 = LOCKS;
const OBJECT: u32 = 1;
/// The same as a condition on `pg_locks`: 0x4c616e64, 1.
const LOCK: &str = "l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = 1281453668 AND l.objid = 1 \
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What the session calls itself.
fn named(claim: &Claim<'_>) -> String {
    format!("landfall {} on {}", claim.run, claim.host)
}

fn postgres(claim: &Claim<'_>, wait: Duration) -> String {
    let own = literal(Engine::Postgres, &format!("landfall {} on %", claim.run));
    let name = literal(Engine::Postgres, &named(claim));
    // An open transaction that waits for its client is not to be ended for that.
    let begin = format!(
        "BEGIN;\nSET LOCAL application_name = {name};\n\
         SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN \
         ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') \\g /dev/null\n"
    );
    let turn = if wait.is_zero() {
        String::new()
    } else {
        format!(
            "SET LOCAL lock_timeout = {};\nDO $landfall$ BEGIN PERFORM pg_advisory_xact_lock({CLASS}, {OBJECT}); \
             EXCEPTION WHEN lock_not_available THEN NULL; END $landfall$;\n",
            wait.as_millis().max(1)
        )
    };
    format!(
        "{begin}{turn}SELECT CASE WHEN pg_try_advisory_xact_lock({CLASS}, {OBJECT}) THEN 'held' ELSE 'busy ' || coalesce((\
         SELECT CASE WHEN bool_or(a.application_name LIKE {own}) THEN 'own ' ELSE '' END \
         || string_agg(a.application_name || ' (backend ' || a.pid || coalesce(', since ' || date_trunc('second', a.xact_start), '') || ')', ', ') \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {LOCK}), 'somebody') END;\n"
    )
}

/// What says whose run holds the lock of MySQL: a lock beside it, under the run's name.
fn mark(run: &RunId) -> String {
    format!("CONCAT('landfall ', LEFT(DATABASE(), 30), ' {run}')")
}

/// What the lock of MySQL is called.
const MYSQL_LOCK: &str = "CONCAT('landfall ', LEFT(DATABASE(), 50))";

fn mysql(claim: &Claim<'_>, wait: Duration) -> String {
    let name = literal(Engine::Mysql, &named(claim));
    let (lock, mark) = (MYSQL_LOCK, mark(claim.run));
    // The longest that a session may do nothing; by itself it is eight hours.
    format!(
        "SET @landfall = {name};\nSET SESSION wait_timeout = 2147483;\n\
         SELECT IF(GET_LOCK({lock}, {}) = 1, IF(GET_LOCK({mark}, 0) = 1, 'held', 'held'), \
         CONCAT('busy ', IF(COALESCE(IS_USED_LOCK({mark}) = IS_USED_LOCK({lock}), 0), 'own ', ''), COALESCE(IS_USED_LOCK({lock}), 'somebody')));\n",
        wait.as_secs()
    )
}

enum Said {
    Line(String),
    Nothing(String),
    Cut,
}

/// The first line that it prints, or what it says instead where it ends before.
fn first_line(child: &mut Child, claim: &Claim<'_>, limit: Duration) -> Said {
    let said = child.stdout.as_ref().map_or_else(|| Said::Nothing(String::new()), |stdout| line(stdout, Some(claim), limit));
    if !matches!(said, Said::Nothing(_)) {
        return said;
    }
    let _ = child.kill();
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    Said::Nothing(said.lines().next().unwrap_or("no answer").to_owned())
}

/// The next line that comes, for as long as whoever claims the lock still wants it.
fn line(stdout: &ChildStdout, claim: Option<&Claim<'_>>, limit: Duration) -> Said {
    let end = Instant::now() + limit;
    let mut line = Vec::new();
    loop {
        let mut set = vec![PollFd::new(stdout, PollFlags::IN)];
        let mut wake = end;
        if let Some(claim) = claim {
            claim.inbox.clear();
            if (claim.cut)() {
                return Said::Cut;
            }
            wake = claim.deadline.map_or(end, |deadline| deadline.min(end));
            set.push(PollFd::new(claim.inbox, PollFlags::IN));
        }
        let now = Instant::now();
        if end <= now {
            return Said::Nothing(String::new());
        }
        let _ = process::wait_any(&mut set, Some(wake.saturating_duration_since(now)));
        if set[0].revents().is_empty() {
            continue;
        }
        let mut byte = [0u8; 1];
        match rustix::io::read(stdout, &mut byte) {
            Ok(1) if byte[0] == b'\n' && !line.is_empty() => return Said::Line(String::from_utf8_lossy(&line).into_owned()),
            Ok(1) => line.push(byte[0]),
            _ => return Said::Nothing(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_the_one_that_is_looked_for() {
        assert!(LOCK.contains(&format!("l.classid = {CLASS} AND l.objid = {OBJECT} ")), "{LOCK}");
    }
}
