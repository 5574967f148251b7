//! What usual failures mean whatever the tool: PostgreSQL, MySQL, MariaDB and Docker, by what they print.

/// Lines, and what helps.
pub(super) const COMMON: [(&str, &str); 17] = [
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
        r"remaining connection slots are reserved|sorry, too many clients already",
        "the server has no connection left: stop what holds them, or raise max_connections",
    ),
    (
        r"password authentication failed for user|Access denied for user",
        "user or password are not those of the server: a volume keeps the password of its first start",
    ),
    (
        r"no pg_hba\.conf entry for host",
        "the server does not let this address in, or only with TLS (`sslmode=require`): look at pg_hba.conf or the trusted sources",
    ),
    (
        r"FATAL:\s+database .* does not exist|Unknown database",
        "the database was never created, or has another name than the URL says",
    ),
    (
        r"permission denied for (schema|table|relation|database)",
        "the login may not do this: let the owner of the schema migrate, or grant it",
    ),
    (r"must be owner of", "another role owns it: migrate as that role, or change the owner"),
    (
        r"cannot run inside a transaction block",
        "this statement goes alone: put it into a migration of its own that the tool runs without a transaction",
    ),
    (
        r"could not extend file|No space left on device|Error writing file .* \(Errcode: 28",
        "the disk is full: docker system df; make room before anything else",
    ),
    (
        r"unsupported startup parameter",
        "a connection pool does not take PGOPTIONS: migrate past the pool, or say `lock_timeout = \"off\"` in the step",
    ),
    (r"Lock wait timeout exceeded", "another connection holds the rows or the table: SHOW PROCESSLIST tells which"),
    (
        r"getaddrinfo (ENOTFOUND|EAI_AGAIN)|could not translate host name|Temporary failure in name resolution",
        "the name of the server is not known in the container: is it the service's name, and are both in one network?",
    ),
    (r"ECONNREFUSED|[Cc]onnection refused", "nobody listens there: is the service up, and the port the one inside the network?"),
    (
        r"Cannot connect to the Docker daemon|permission denied while trying to connect to the [Dd]ocker",
        "Docker does not run there, or the login is not in the group `docker`",
    ),
    (r"exec format error", "the image is for another processor than the host's: build it for that one"),
];
