//! Who works on a database while a migration goes on, and after it broke off: who keeps it waiting, and what of it still runs there
//! though its tool is gone.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::host::database::{Access, Row};
use crate::protocol::Engine;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);
/// A statement that waits longer for a lock is told of.
const WAITS: u32 = 10;

/// Looks while it is kept, and tells what a person should know; ends when it is dropped.
pub(in crate::host) struct Watch {
    /// A stage may be looked at from several threads.
    told: Mutex<Receiver<String>>,
    _ends: Sender<()>,
}

impl Watch {
    /// Begins to look.
    pub(in crate::host) fn begin(access: &Arc<Access>) -> Self {
        let (tell, told) = channel();
        let (ends, end) = channel::<()>();
        let access = Arc::clone(access);
        std::thread::spawn(move || {
            let mut known = BTreeSet::new();
            while matches!(end.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
                for text in waiting(&access) {
                    if known.insert(text.clone()) && tell.send(text).is_err() {
                        return;
                    }
                }
            }
        });
        Self { told: Mutex::new(told), _ends: ends }
    }

    /// What was seen since the last time, unmasked.
    pub(in crate::host) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }
}

/// Statements that wait for a lock, and who holds it.
fn waiting(access: &Access) -> Vec<String> {
    let queries = match access.engine() {
        Engine::Postgres => vec![format!(
            "SELECT w.pid, left(w.query, 120), string_agg('backend ' || b.pid || ' (' || coalesce(nullif(b.application_name, ''), b.usename, '?') \
             || ', ' || b.state || ' since ' || date_trunc('second', b.state_change) || '): ' || left(b.query, 120), '; ') \
             FROM pg_stat_activity w JOIN LATERAL unnest(pg_blocking_pids(w.pid)) p ON true JOIN pg_stat_activity b ON b.pid = p \
             WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND w.application_name NOT LIKE 'landfall %' AND now() - w.query_start > interval '{WAITS} s' \
             GROUP BY w.pid, w.query"
        )],
        Engine::Mysql => waiting_in_mysql(),
    };
    let rows = queries.iter().find_map(|query| access.query(query).ok().filter(|rows| !rows.is_empty())).unwrap_or_default();
    let text = |row: Vec<Option<String>>| {
        let [_, waits, by] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(format!("a statement has waited for a lock for more than {WAITS} s: {}; held by {}", waits?.trim(), by?))
    };
    rows.into_iter().filter_map(text).collect()
}

/// The first that this login may ask and that knows of something: rows that are locked; tables, where the server keeps who holds them;
/// tables, with all who have begun something and not ended it; and tables alone.
fn waiting_in_mysql() -> Vec<String> {
    let listed = |by: &str| {
        format!(
            "SELECT p.id, LEFT(p.info, 120), {by} FROM information_schema.processlist p \
             WHERE p.db = DATABASE() AND p.state LIKE 'Waiting for %lock%' AND p.time > {WAITS}"
        )
    };
    let open = "(SELECT GROUP_CONCAT('connection ', t.trx_mysql_thread_id, ', in a transaction since ', t.trx_started SEPARATOR ' or ') \
                FROM information_schema.innodb_trx t WHERE t.trx_mysql_thread_id <> p.id)";
    vec![
        format!(
            "SELECT waiting_pid, LEFT(waiting_query, 120), CONCAT('connection ', blocking_pid, COALESCE(CONCAT(': ', LEFT(blocking_query, 120)), '')) \
             FROM sys.innodb_lock_waits WHERE wait_age_secs > {WAITS}"
        ),
        format!(
            "SELECT waiting_pid, LEFT(waiting_query, 120), CONCAT('connection ', blocking_pid, ' (', blocking_account, ')') \
             FROM sys.schema_table_lock_waits \
             WHERE object_schema = DATABASE() AND waiting_query_secs > {WAITS} AND waiting_pid <> blocking_pid"
        ),
        listed(open),
        listed("'somebody who has used the table and not ended: SHOW PROCESSLIST lists them'"),
    ]
}

/// The moment by the database's own clock, before a migration begins; with the sessions of which this login sees no more than that they are
/// there.
pub(in crate::host) fn now(access: &Access) -> Option<String> {
    let query = match access.engine() {
        Engine::Postgres => {
            format!("SELECT now()::text || '|' || coalesce(string_agg(pid::text, ','), '') FROM pg_stat_activity WHERE {HIDDEN}")
        }
        Engine::Mysql => "SELECT CAST(COALESCE(MAX(id), 0) AS CHAR) FROM information_schema.processlist".to_owned(),
    };
    access.query(&query).ok()?.into_iter().next()?.into_iter().next()?
}

/// A session of another role: what it does is only shown to who is a member of that, or of pg_read_all_stats.
const HIDDEN: &str =
    "datname = current_database() AND usesysid IS NOT NULL AND state IS NULL AND query = '<insufficient privilege>'";

/// The same for a moment by this host's clock (RFC 3339). MySQL does not tell when a session began: what counts is the statement. One that
/// began this very second may be anybody's, so where there are any, those count that are there a second later.
pub(in crate::host) fn at_work_since(access: &Access, time: &str) -> Option<Vec<String>> {
    if access.engine() == Engine::Postgres {
        return at_work(access, time);
    }
    let began = humantime::parse_rfc3339(time).ok()?;
    if working(access, "TRUE", None)?.is_empty() {
        return Some(Vec::new());
    }
    let left = working(access, "time >= 1", Some("SELECT SLEEP(1)"))?;
    // By our clock after the answer: both are whole seconds, and what began with the step is not to be missed for the time of the asking.
    let age = began.elapsed().unwrap_or_default().as_secs();
    Some(left.into_iter().filter(|work| work.seconds <= age).map(|work| work.told).collect())
}

/// Sessions that began since then and still do something: a statement goes on in the server when its client is gone. None: that cannot be
/// seen, for there are sessions that this login is not shown.
pub(in crate::host) fn at_work(access: &Access, since: &str) -> Option<Vec<String>> {
    let since = since.replace('\'', "");
    let (since, before) = since.split_once('|').unwrap_or((&since, ""));
    if access.engine() == Engine::Mysql {
        let left = working(access, &format!("id > {since}"), None)?;
        return Some(left.into_iter().map(|work| work.told).collect());
    }
    // A pool's sessions are older than its clients: what counts is the statement, and those that are still there a second later.
    let (wait, began) = if access.facts.pooled {
        (Some("SELECT pg_sleep(1)"), format!("query_start BETWEEN '{since}' AND clock_timestamp() - interval '1 s'"))
    } else {
        (None, format!("backend_start >= '{since}'::timestamptz"))
    };
    let query = format!(
        "SELECT 'backend ' || pid || ' (' || state || '): ' || left(query, 120) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
             AND {began} AND state IN ('active', 'idle in transaction') \
             AND application_name NOT LIKE 'landfall%'"
    );
    let hidden =
        format!("SELECT pid FROM pg_stat_activity WHERE {HIDDEN} AND NOT pid::text = ANY (string_to_array('{before}', ','))");
    let queries: Vec<&str> = wait.into_iter().chain([hidden.as_str(), query.as_str()]).collect();
    let mut sets = access.queries(&queries).ok()?;
    let (rows, hidden) = (sets.pop()?, sets.pop()?);
    let left: Vec<String> = rows.into_iter().flatten().flatten().collect();
    (!left.is_empty() || hidden.is_empty()).then_some(left)
}

/// What a connection to a MySQL does.
struct Work {
    /// For so long.
    seconds: u64,
    told: String,
}

/// What its connections do of which this holds, after another query.
fn working(access: &Access, holds: &str, after: Option<&str>) -> Option<Vec<Work>> {
    let asked = format!(
        "SELECT time, CONCAT('connection ', id, ' (for ', time, ' s): ', LEFT(info, 120)) FROM information_schema.processlist \
         WHERE db = DATABASE() AND {holds} AND id <> CONNECTION_ID() AND command NOT IN ('Sleep', 'Daemon') AND COALESCE(state, '') <> 'User lock' AND info IS NOT NULL"
    );
    let queries: Vec<&str> = after.into_iter().chain([asked.as_str()]).collect();
    let rows = access.queries(&queries).ok()?.pop()?;
    let work = |row: Row| {
        let [seconds, told] = row.try_into().ok()?;
        Some(Work { seconds: seconds?.parse().ok()?, told: told? })
    };
    rows.into_iter().map(work).collect()
}
