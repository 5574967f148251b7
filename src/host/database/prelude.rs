//! The shell texts that connect a client program, and what they read from stdin before it does. Each ends by becoming the program.

use super::url::Parts;

/// Where the certificates are in a one-off container.
pub(super) const CA: &str = "/landfall-ca.crt";

/// Words: user, database, "password" or nothing, then the program.
pub(super) const POSTGRES_INSIDE: &str = r#"
LC_ALL=C PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=10 PGAPPNAME=landfall
PGUSER=${1:-${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}}
PGDATABASE=${2:-${POSTGRES_DB:-${POSTGRESQL_DATABASE:-$PGUSER}}}
export LC_ALL PGCLIENTENCODING PGCONNECT_TIMEOUT PGAPPNAME PGUSER PGDATABASE
if [ "$3" = password ]; then
  PGPASSWORD=${POSTGRES_PASSWORD:-${POSTGRESQL_PASSWORD:-}}
  file=${POSTGRES_PASSWORD_FILE:-${POSTGRESQL_PASSWORD_FILE:-}}
  if [ -z "$PGPASSWORD" ] && [ -n "$file" ]; then PGPASSWORD=$(cat "$file"); fi
  export PGPASSWORD
fi
shift 3
exec "$@"
"#;

/// Which of two clients of MySQL is there under the name of a program that is the first word, and what that must be told.
macro_rules! mysql_program {
    () => {
        r#"program=$1; shift
case $program in mysql) other=mariadb ;; mysqldump) other=mariadb-dump ;; *) other=$program ;; esac
if command -v "$other" >/dev/null 2>&1; then
  program=$other
elif [ "$program" = mysqldump ]; then
  # What says which transactions a server has seen cannot be loaded by that server again.
  case $(mysqldump --help 2>/dev/null) in *set-gtid-purged*) set -- --set-gtid-purged=OFF "$@" ;; esac
fi
"#
    };
}

/// Words: user, database, nothing of use, then the program.
pub(super) const MYSQL_INSIDE: &str = concat!(
    r#"
LC_ALL=C; export LC_ALL
user=${1:-${MYSQL_USER:-${MARIADB_USER:-root}}}
name=${2:-${MYSQL_DATABASE:-${MARIADB_DATABASE:-}}}
if [ "$user" = root ]; then
  MYSQL_PWD=${MYSQL_ROOT_PASSWORD:-${MARIADB_ROOT_PASSWORD:-}}
  file=${MYSQL_ROOT_PASSWORD_FILE:-${MARIADB_ROOT_PASSWORD_FILE:-}}
else
  MYSQL_PWD=${MYSQL_PASSWORD:-${MARIADB_PASSWORD:-}}
  file=${MYSQL_PASSWORD_FILE:-${MARIADB_PASSWORD_FILE:-}}
fi
if [ -z "$MYSQL_PWD" ] && [ -n "$file" ]; then MYSQL_PWD=$(cat "$file"); fi
if [ -n "$MYSQL_PWD" ]; then export MYSQL_PWD; else unset MYSQL_PWD; fi
shift 3
"#,
    mysql_program!(),
    r#"exec "$program" --user="$user" "$@" ${name:+"$name"}
"#
);

/// Words: "verify" or nothing, "pooled" or nothing, then the program. Read: host, port, user, password, database, sslmode.
///
/// A connection pool refuses options, or does not hand them on: then the setting in them is not there. The name is among them, for one
/// that a pool heeds would be left to whoever gets the connection next.
pub(super) const POSTGRES_BY_URL: &str = r#"
LC_ALL=C PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=10 PGAPPNAME=
export LC_ALL PGCLIENTENCODING PGCONNECT_TIMEOUT PGAPPNAME
if [ "$2" != pooled ]; then PGOPTIONS='-c landfall.direct=on -c application_name=landfall'; export PGOPTIONS; fi
for key in PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE; do
  IFS= read -r value || exit 70
  if [ -n "$value" ]; then export "$key=$value"; else unset "$key"; fi
done
value=
if [ "$1" = verify ]; then PGSSLROOTCERT=/landfall-ca.crt; export PGSSLROOTCERT; fi
shift 2
exec "$@"
"#;

/// Words: "verify" or nothing, nothing of use, then the program. Read: the database, "tls", "verify" or nothing, the lines of an option
/// file, and a blank one.
pub(super) const MYSQL_BY_URL: &str = concat!(
    r#"
LC_ALL=C; export LC_ALL
IFS= read -r name || exit 70
IFS= read -r tls || exit 70
options=
while IFS= read -r line && [ -n "$line" ]; do options="$options$line
"; done
verify=$1; shift 2
"#,
    mysql_program!(),
    r#"case $program in
mariadb*)
  if [ -n "$tls" ]; then set -- --ssl "$@"; fi
  if [ "$tls" = verify ] || [ "$verify" = verify ]; then set -- --ssl-verify-server-cert "$@"; fi
  ;;
*)
  if [ "$tls" = verify ] || [ "$verify" = verify ]; then
    set -- --ssl-mode=VERIFY_IDENTITY "$@"
  elif [ "$tls" = tls ]; then
    set -- --ssl-mode=REQUIRED "$@"
  fi
  ;;
esac
if [ "$verify" = verify ]; then set -- --ssl-ca=/landfall-ca.crt "$@"; fi
exec 3<<END
$options
END
options=
exec "$program" --defaults-extra-file=/dev/fd/3 "$@" ${name:+"$name"}
"#
);

/// What [`POSTGRES_BY_URL`] reads.
pub(super) fn for_postgres(parts: &Parts, user: &str, name: &str, verify: bool) -> Vec<u8> {
    let tls = if verify { "verify-full" } else { parts.tls.as_deref().unwrap_or("") };
    [parts.host.as_str(), parts.port.as_str(), user, parts.password.as_str(), name, tls]
        .map(|line| format!("{line}\n"))
        .concat()
        .into_bytes()
}

/// What [`MYSQL_BY_URL`] reads.
pub(super) fn for_mysql(parts: &Parts, user: &str, name: &str) -> Vec<u8> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let lines =
        [("host", parts.host.as_str()), ("port", parts.port.as_str()), ("user", user), ("password", parts.password.as_str())];
    let lines = lines.map(|(key, value)| format!("{key}={}\n", quoted(value))).concat();
    format!("{name}\n{}\n[client]\n{lines}\n", parts.tls.as_deref().unwrap_or_default()).into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// How a client is started where these programs are installed: each tells its words, and knows of transactions where Oracle's does.
    fn started(programs: &[&str], url: &str, words: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("folder");
        for program in programs {
            let path = folder.path().join(program);
            std::fs::write(&path, "#!/bin/sh\n[ \"$1\" = --help ] && echo --set-gtid-purged && exit\necho \"${0##*/} $*\"\n")
                .expect("file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        }
        let parts = Parts::of(url).expect("url");
        let mut child = Command::new("/bin/sh")
            .args(["-c", MYSQL_BY_URL, "sh"])
            .args(words)
            .env("PATH", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        child.stdin.take().expect("stdin").write_all(&for_mysql(&parts, &parts.user, &parts.name)).expect("written");
        let out = child.wait_with_output().expect("its end");
        String::from_utf8(out.stdout).expect("text").trim().replace("--defaults-extra-file=/dev/fd/3 ", "")
    }

    #[test]
    fn a_client_of_mysql_insists_on_what_the_url_says_of_tls() {
        let url = |query: &str| format!("mysql://ann:pw-of-the-test@db.example.com/shop{query}");
        let mysql = |query: &str, ca: &str| started(&["mysql"], &url(query), &[ca, "", "mysql", "-N"]);
        let maria = |query: &str, ca: &str| started(&["mariadb", "mysql"], &url(query), &[ca, "", "mysql", "-N"]);
        assert_eq!(mysql("", ""), "mysql -N shop");
        assert_eq!(mysql("?ssl-mode=REQUIRED", ""), "mysql --ssl-mode=REQUIRED -N shop");
        assert_eq!(mysql("?ssl-mode=VERIFY_IDENTITY", ""), "mysql --ssl-mode=VERIFY_IDENTITY -N shop");
        assert_eq!(mysql("", "verify"), "mysql --ssl-ca=/landfall-ca.crt --ssl-mode=VERIFY_IDENTITY -N shop");
        assert_eq!(maria("", ""), "mariadb -N shop");
        assert_eq!(maria("?ssl-mode=REQUIRED", ""), "mariadb --ssl -N shop");
        assert_eq!(maria("?sslaccept=strict", ""), "mariadb --ssl-verify-server-cert --ssl -N shop");
        assert_eq!(maria("", "verify"), "mariadb --ssl-ca=/landfall-ca.crt --ssl-verify-server-cert -N shop");
    }

    #[test]
    fn what_a_server_cannot_load_again_is_not_dumped() {
        let url = "mysql://ann:pw-of-the-test@db.example.com/shop";
        assert_eq!(
            started(&["mysqldump"], url, &["", "", "mysqldump", "--quick"]),
            "mysqldump --set-gtid-purged=OFF --quick shop"
        );
        assert_eq!(started(&["mariadb-dump", "mysqldump"], url, &["", "", "mysqldump", "--quick"]), "mariadb-dump --quick shop");
    }
}
