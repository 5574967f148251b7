//! What usual failures mean, by the lines that programs print: databases, Docker and SSH, each with its cause and what helps. Says so
//! of a text; knows neither who printed it nor who is told.

use regex_lite::Regex;

use crate::protocol::Hint;

/// A line, as a regular expression, and what helps.
type Known = (&'static str, &'static str);

/// The hints that fit a text, a step's own first. None is said twice.
pub fn fitting<'h>(own: &'h [Hint], text: &str) -> Vec<&'h str> {
    let own = own.iter().map(|hint| (hint.regex.as_str(), hint.text.as_str()));
    let known = [&POSTGRES[..], &MYSQL, &NETWORK, &DOCKER, &SSH].into_iter().flatten().copied();
    let mut said = Vec::new();
    for (regex, help) in own.chain(known) {
        let fits = || Regex::new(regex).is_ok_and(|regex| text.split(['\n', '\r']).any(|line| regex.is_match(line)));
        if !said.contains(&help) && fits() {
            said.push(help);
        }
    }
    said
}

/// PostgreSQL, as its server and its clients say it.
const POSTGRES: [Known; 24] = [
    (
        r"canceling statement due to lock timeout",
        "somebody else holds the table: nothing was changed by this statement; find the session in pg_stat_activity, or try when it is quiet",
    ),
    (
        r"canceling statement due to statement timeout",
        "it took longer than statement_timeout allows: raise that for this role, or do it in parts",
    ),
    (r"deadlock detected", "two sessions waited for each other and this one was given up: run it again when less goes on"),
    (
        r"remaining connection slots are reserved|sorry, too many clients already|too many connections for (role|database)",
        "the server has no connection left: stop what holds them, or raise max_connections",
    ),
    (
        r"password authentication failed for user",
        "user or password are not those of the server: a volume keeps the password of its first start",
    ),
    (
        r"no pg_hba\.conf entry for host",
        "the server does not let this address in, or only with TLS (`sslmode=require`): look at pg_hba.conf or the trusted sources",
    ),
    (
        r"server does not support SSL|does not support SSL connections",
        "the URL asks for TLS and this server has none: leave out `sslmode=require`, or switch TLS on in the server",
    ),
    (r"FATAL:\s+database .* does not exist", "the database was never created, or has another name than the URL says"),
    (r"FATAL:\s+role .* does not exist", "there is no such user in the server: a volume keeps the users of its first start"),
    (
        r"permission denied (for|to) (schema|table|relation|database|sequence|function|create)",
        "the login may not do this: let the owner of the schema migrate, or grant it (since PostgreSQL 15 nobody else may create in `public`)",
    ),
    (r"must be owner of", "another role owns it: migrate as that role, or change the owner"),
    (
        r"cannot execute .* in a read-only transaction",
        "this is a replica, or the session is read-only: connect to the primary (`target_session_attrs=read-write`)",
    ),
    (
        r"the database system is (starting up|shutting down|in recovery mode|not yet accepting connections)",
        "the server is not ready yet: `needs` waits until its health check passes",
    ),
    (
        r"terminating connection due to administrator command|server closed the connection unexpectedly",
        "the server ended the session, or went down: look at its log before running this again",
    ),
    (
        r"cannot run inside a transaction block",
        "this statement goes alone: put it into a migration of its own that the tool runs without a transaction",
    ),
    (
        r"could not extend file|could not write to file .*: No space left",
        "the disk is full: docker system df; make room before anything else",
    ),
    (
        r"unsupported startup parameter",
        "a connection pool does not take PGOPTIONS: migrate past the pool, or say `lock_timeout = \"off\"` in the step",
    ),
    (
        r"query_wait_timeout|no more connections allowed \(max_client_conn\)",
        "the connection pool had no connection to give: make it larger, or go past it",
    ),
    (
        r#"prepared statement "?\S+ (already exists|does not exist)"#,
        "a connection pool hands each transaction another session: go past the pool, or switch prepared statements off in the driver (Prisma: `pgbouncer=true` in the URL)",
    ),
    (
        r"(relation|table|column|type) .* does not exist$",
        "it is not there: migrate first; or image and database are of different versions, or it is in another schema than search_path says",
    ),
    (
        r"(relation|type|constraint|column) .* already exists",
        "it was made outside of the history, or by a migration that broke off: compare with `landfall verify` before settling it",
    ),
    (
        r"could not create unique index|duplicate key value violates unique constraint",
        "rows have the same value: find them by GROUP BY … HAVING count(*) > 1, and decide which stays",
    ),
    (r"contains null values", "rows have no value there yet: fill them first, in a migration of its own"),
    (
        r"could not open extension control file|extension .* is not available",
        "the server lacks the extension: use an image that has it, or switch it on where the database is managed",
    ),
];

/// MySQL and MariaDB.
const MYSQL: [Known; 12] = [
    (
        r"Access denied for user .*using password",
        "user or password are not those of the server: a volume keeps the password of its first start, and 'user'@'host' must fit",
    ),
    (
        r"Access denied for user .* to database|command denied to user",
        "the login may not do this there: GRANT it, or use another one",
    ),
    (r"Unknown database", "the database was never created, or has another name than the URL says"),
    (r"Too many connections", "the server has no connection left: stop what holds them, or raise max_connections"),
    (r"Lock wait timeout exceeded", "another connection holds the rows or the table: SHOW PROCESSLIST tells which"),
    (
        r"Deadlock found when trying to get lock",
        "two sessions waited for each other and this one was given up: run it again when less goes on",
    ),
    (
        r"Can't connect to (local |MySQL )*server",
        "nobody answers there: is the service up, and the host its name in the network (`localhost` means a socket of the same container)?",
    ),
    (
        r"Lost connection to (MySQL )?server|[Ss]erver has gone away",
        "the server ended the session, or a statement was larger than max_allowed_packet: look at its log before running this again",
    ),
    (r"running with the --(super-)?read-only option", "this is a replica, or was made read-only: connect to the primary"),
    (
        r"insecure transport are prohibited|SSL is required, but the server does not support it",
        "one side asks for TLS and the other has none: say it in the URL, or switch it on in the server",
    ),
    (
        r"Table '.*' doesn't exist|Unknown column '",
        "it is not there: migrate first; or image and database are of different versions",
    ),
    (
        r"Duplicate entry '.*' for key",
        "rows have the same value: find them by GROUP BY … HAVING count(*) > 1, and decide which stays",
    ),
];

/// What any program says of the network and of this machine's limits.
const NETWORK: [Known; 4] = [
    (
        r"getaddrinfo (ENOTFOUND|EAI_AGAIN)|could not translate host name|Unknown (MySQL )?server host|Temporary failure in name resolution",
        "the name of the server is not known in the container: is it the service's name, and are both in one network?",
    ),
    (r"ECONNREFUSED|[Cc]onnection refused", "nobody listens there: is the service up, and the port the one inside the network?"),
    (
        r"certificate verify failed|self[- ]signed certificate|unable to get local issuer certificate|certificate signed by unknown authority",
        "the certificate is of an authority that is not known there: give that its CA, rather than switching the check off",
    ),
    (r"[Nn]o space left on device|Errcode: 28|ENOSPC", "the disk is full: docker system df; make room before anything else"),
];

/// Docker and its Compose.
const DOCKER: [Known; 14] = [
    (
        r"Cannot connect to the Docker daemon|permission denied while trying to connect to the [Dd]ocker",
        "Docker does not run there, or the login is not in the group `docker`",
    ),
    (r"exec format error|no matching manifest for", "the image is for another processor than the host's: build it for that one"),
    (
        r"pull access denied|denied: requested access|unauthorized: |no basic auth credentials",
        "the registry does not give it to this login: is the name right, and did `docker login` happen there, as the same user?",
    ),
    (
        r"manifest unknown|manifest for .* not found|: not found: manifest|failed to resolve reference .*: not found",
        "the registry has no such tag: was it pushed, and is it the one that is meant?",
    ),
    (
        r"toomanyrequests|pull rate limit",
        "the registry takes no more requests for now: log in there (`docker login`), or pull from a mirror",
    ),
    (
        r"TLS handshake timeout|Client\.Timeout exceeded|net/http: request canceled",
        "the registry does not answer in time: look at the host's way to it (DNS, proxy, firewall), and try again",
    ),
    (
        r"port is already allocated|address already in use",
        "something else has the port: `docker ps` and `ss -ltnp` on the host show what",
    ),
    (
        r"[Nn]etwork .* not found|declared as external, but could not be found",
        "a network or volume that the compose file calls its own or external is not there: `docker network ls`; `up` makes the project's own",
    ),
    (r"[Nn]o such service", "the compose file has no service of that name: `docker compose config --services` lists them"),
    (
        r"container name .* is already in use",
        "a container of another project or an older run has the name: `docker ps -a` shows it; leave `container_name` out, if you can",
    ),
    (
        r"dependency failed to start|container .* is unhealthy",
        "a container does not become healthy: its own output tells why (`docker compose logs SERVICE`)",
    ),
    (
        r"executable file not found in \$PATH|exec: .*: no such file or directory",
        "the image has no such program: is it the image that is meant, and not one without the tools for development?",
    ),
    (
        r"OOMKilled|[Oo]ut of memory|exited? (with )?(code |status )?\(?137\b|heap out of memory|Cannot allocate memory",
        "it needed more memory than it may have: raise the limit of the service or of the program, or make the host larger",
    ),
    (
        r"cgroup.*pids|Resource temporarily unavailable|fork/exec .*: resource temporarily",
        "the host lets it start no more processes: look for what starts so many (`ps`), or raise `pids_limit`",
    ),
];

/// SSH and what goes over it: git, scp, rsync, as a step runs them.
const SSH: [Known; 12] = [
    (
        r"Permission denied \((publickey|password|keyboard-interactive|gssapi)",
        "the other side knows none of the keys that were offered: the step runs as another user than you, without your agent; give it a key of its own (`ssh -i`, a deploy key)",
    ),
    (
        r"Host key verification failed|No \S+ host key is known for",
        "the key of the other side is not known there: compare it with what its owner says, then put it into known_hosts (`ssh-keyscan HOST`)",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the other side shows another key than before: find out why first; then `ssh-keygen -R HOST`, and the new key into known_hosts",
    ),
    (
        r"ssh: connect to host .*: Connection timed out|ssh: connect to host .*: No route to host|ssh: connect to host .*: Network is unreachable",
        "no way leads there: is the address right, and does a firewall let this machine through to that port?",
    ),
    (r"Could not resolve hostname", "the name is not known there: is it spelt right, and does that machine's DNS know it?"),
    (
        r"kex_exchange_identification|banner exchange: Connection|Connection (closed|reset) by .* port \d+",
        "the other side hangs up before any login: too many at once (MaxStartups), a ban (fail2ban), or no SSH on that port",
    ),
    (
        r"Too many authentication failures",
        "an agent offered too many keys before the right one: name it (`-i KEY -o IdentitiesOnly=yes`)",
    ),
    (
        r"Unable to negotiate with|no mutual signature algorithm",
        "the two sides have no algorithm in common: one of them is very old; bring it up to date",
    ),
    (r"UNPROTECTED PRIVATE KEY FILE|bad permissions", "others can read the private key, so it is not used: chmod 600 it"),
    (
        r"Load key .*: (invalid format|error in libcrypto)|incorrect passphrase supplied",
        "the file holds no usable private key: is its last line end there, is it the key and not its .pub, has it a passphrase?",
    ),
    (
        r"client_loop: send disconnect|Broken pipe$|Timeout, server .* not responding",
        "the connection broke off: what ran on the other side may go on or be half done; look before running this again",
    ),
    (
        r"rsync: command not found|scp: command not found|rsync error: .*\(code 127\)",
        "the other side lacks the program: install it there, or use another way to copy",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What programs printed, and a word of what must be said of it.
    const SEEN: [(&str, &str); 44] = [
        ("ERROR:  canceling statement due to lock timeout", "pg_stat_activity"),
        ("ERROR:  deadlock detected", "waited for each other"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("psql: error: FATAL:  password authentication failed for user \"app\"", "first start"),
        ("psql: error: server does not support SSL, but SSL was required", "this server has none"),
        ("error: unsupported startup parameter: options", "PGOPTIONS"),
        ("psql: error: FATAL:  query_wait_timeout", "make it larger"),
        ("ERROR: prepared statement \"s0\" already exists", "pgbouncer=true"),
        ("FATAL:  role \"app\" does not exist", "no such user"),
        ("ERROR:  permission denied for schema public", "owner of the schema"),
        ("ERROR:  cannot execute CREATE TABLE in a read-only transaction", "replica"),
        ("FATAL:  the database system is starting up", "`needs`"),
        ("ERROR:  relation \"users\" does not exist", "migrate first"),
        ("ERROR:  relation \"users\" already exists", "outside of the history"),
        ("ERROR:  column \"a\" of relation \"users\" contains null values", "fill them first"),
        ("ERROR:  extension \"vector\" is not available", "lacks the extension"),
        ("ERROR 1045 (28000): Access denied for user 'app'@'172.18.0.5' (using password: YES)", "user or password"),
        ("ERROR 1044 (42000): Access denied for user 'app'@'%' to database 'shop'", "GRANT"),
        ("ERROR 1040 (HY000): Too many connections", "max_connections"),
        ("ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction", "PROCESSLIST"),
        ("ERROR 1213 (40001): Deadlock found when trying to get lock; try restarting transaction", "waited for each other"),
        (
            "ERROR 2002 (HY000): Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)",
            "a socket of the same container",
        ),
        ("ERROR 2003 (HY000): Can't connect to MySQL server on 'db:3306' (111)", "nobody answers there"),
        ("ERROR 2006 (HY000): Server has gone away", "max_allowed_packet"),
        ("ERROR 2013 (HY000): Lost connection to server during query", "max_allowed_packet"),
        ("ERROR 1146 (42S02): Table 'shop.users' doesn't exist", "migrate first"),
        ("ERROR 1290 (HY000): The MariaDB server is running with the --read-only option so it cannot execute this", "primary"),
        ("psql: error: could not translate host name \"db\" to address: Name or service not known", "service's name"),
        (
            "docker: Error response from daemon: failed to create shim task: exec: \"npx\": executable file not found in $PATH",
            "no such program",
        ),
        ("Error response from daemon: network shop_default not found", "docker network ls"),
        ("Error starting userland proxy: listen tcp4 0.0.0.0:3000: bind: address already in use", "ss -ltnp"),
        (
            "Error response from daemon: pull access denied for shop, repository does not exist or may require 'docker login'",
            "docker login",
        ),
        ("toomanyrequests: You have reached your pull rate limit.", "mirror"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ("exec /docker-entrypoint.sh: exec format error", "another processor"),
        ("Container shop-api-1 exited (137)", "more memory"),
        ("git@192.0.2.7: Permission denied (publickey).", "deploy key"),
        ("Host key verification failed.", "known_hosts"),
        ("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "find out why first"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", "firewall"),
        ("ssh: Could not resolve hostname nosuch.example.com: Name or service not known", "DNS"),
        ("kex_exchange_identification: read: Connection reset by peer", "MaxStartups"),
        ("Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures", "IdentitiesOnly"),
        ("Load key \"deploy\": error in libcrypto", "no usable private key"),
    ];

    #[test]
    fn each_line_that_was_seen_is_known() {
        for (line, told) in SEEN {
            let text = format!("something before it\n{line}\nand behind it");
            let said = fitting(&[], &text);
            assert!(said.iter().any(|hint| hint.contains(told)), "{line}: {said:?}");
            assert!(said.len() <= 2, "{line}: {said:?}");
        }
    }

    #[test]
    fn every_expression_can_be_read_and_says_something_of_its_own() {
        for (regex, help) in [&POSTGRES[..], &MYSQL, &NETWORK, &DOCKER, &SSH].into_iter().flatten() {
            assert!(Regex::new(regex).is_ok(), "{regex}");
            assert!(!help.is_empty() && help.lines().count() == 1, "{regex}");
        }
    }

    #[test]
    fn a_steps_own_come_first_and_ordinary_output_is_not_explained() {
        let own =
            [Hint { regex: r"\bE42\b".into(), text: "turn it off and on".into() }, Hint { regex: "(".into(), text: "no".into() }];
        let said = fitting(&own, "exec format error\nE42: it is stuck");
        assert_eq!(said[0], "turn it off and on");
        assert_eq!(said.len(), 2);
        assert!(fitting(&own, "3 migrations found\nAll tests passed\nDone in 0.2s").is_empty());
    }
}
