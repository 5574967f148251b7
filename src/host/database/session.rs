//! A session of the database that stays open while a migration goes on, and holds a lock in it: whoever else would migrate the same
//! database, from whatever host, finds it taken. It ends with its process, and so with ours.

use std::io::Read as _;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Access, Engine, PSQL, Trouble};
use crate::history::own::LOCKS;
use crate::host::process;

/// How long the session may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A lock that is held.
#[derive(Debug)]
pub(in crate::host) struct Held {
    child: Child,
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
    /// Takes the database's lock for migrations, under a name that others are told. The inner error: who holds it.
    pub(in crate::host) fn hold(&self, name: &str) -> Result<Result<Held, String>, Trouble> {
        let quoted = format!("'{}'", name.replace(['\'', '\\'], ""));
        let (words, text) = match self.engine {
            Engine::Postgres => (&PSQL[..], postgres(&quoted)),
            Engine::Mysql => (&["mysql", "-N", "-B", "--unbuffered"][..], mysql(&quoted)),
        };
        let mut child =
            process::open(&self.client(words, text.as_bytes())).map_err(|error| Trouble::Client(error.to_string()))?;
        let (line, said) = first_line(&mut child);
        let held = Held { child };
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("held", _) => Ok(Ok(held)),
            ("busy", holder) => Ok(Err(self.holder(holder.trim()))),
            _ => Err(Trouble::Client(format!("no lock can be held: {}", said.lines().next().unwrap_or("no answer")))),
        }
    }
}

impl Access {
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

fn postgres(name: &str) -> String {
    format!(
        "SET application_name = {name};\n\
         SELECT CASE WHEN pg_try_advisory_lock({CLASS}, {OBJECT}) THEN 'held' ELSE 'busy ' || coalesce((\
         SELECT string_agg(a.application_name || ' (backend ' || a.pid || ', since ' || date_trunc('second', a.backend_start) || ')', ', ') \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 \
         AND l.classid = {CLASS} AND l.objid = {OBJECT} \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())), 'somebody') END;\n"
    )
}

/// What the lock of PostgreSQL is called: the first of Landfall's own.
const CLASS: u32 = LOCKS;
const OBJECT: u32 = 1;

fn mysql(name: &str) -> String {
    format!(
        "SET @landfall = {name};\nSELECT IF(GET_LOCK(CONCAT('landfall ', LEFT(DATABASE(), 50)), 0) = 1, 'held', \
         CONCAT('busy ', COALESCE(IS_USED_LOCK(CONCAT('landfall ', LEFT(DATABASE(), 50))), 'somebody')));\n"
    )
}

/// The first line that it prints, and what it says instead where it ends before.
fn first_line(child: &mut Child) -> (String, String) {
    let end = Instant::now() + ANSWER;
    let mut line = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        let mut byte = [0u8; 1];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let mut set = [PollFd::new(&*stdout, PollFlags::IN)];
            let _ = process::wait_any(&mut set, Some(left));
            let ready = !set[0].revents().is_empty();
            match if ready { stdout.read(&mut byte) } else { Ok(0) } {
                Ok(1) if byte[0] == b'\n' && !line.is_empty() => {
                    return (String::from_utf8_lossy(&line).into_owned(), String::new());
                }
                Ok(1) => line.push(byte[0]),
                _ => break,
            }
        }
    }
    let _ = child.kill();
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    (String::new(), said)
}
