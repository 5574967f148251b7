//! Takes a database's URL apart. Its parts go to a client over stdin, never into an argv. Pure.

use crate::protocol::Engine;

/// The parts of a URL. Holds a password: no debug output.
#[derive(PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) host: String,
    pub(super) port: String,
    pub(super) name: String,
    /// `sslmode`, where the URL says one; of MySQL's, what its clients are to be told: "tls" or "verify".
    pub(super) tls: Option<String>,
}

/// What a client of MySQL is to insist on. Its default takes a server without TLS, too, so nothing that is said may be passed over.
fn of_mysql(mode: &str) -> Result<Option<&'static str>, String> {
    Ok(match mode.to_lowercase().replace('-', "_").as_str() {
        "" | "disabled" | "disable" | "preferred" | "prefer" => None,
        "required" | "require" | "true" | "accept_invalid_certs" => Some("tls"),
        "verify_ca" | "verify_identity" | "verify_full" | "strict" => Some("verify"),
        _ => {
            return Err(
                "what it says of TLS is not understood: ssl-mode is DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
                    .to_owned(),
            );
        }
    })
}

impl Parts {
    /// The parts of a URL; the error quotes nothing of it.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.trim().split_once("://").ok_or("it is not a URL")?;
        let (engine, port) = match scheme {
            "postgres" | "postgresql" => (Engine::Postgres, "5432"),
            // The last two are names of Rails' drivers.
            "mysql" | "mariadb" | "mysql2" | "trilogy" => (Engine::Mysql, "3306"),
            _ => return Err("its scheme is neither that of PostgreSQL nor of MySQL".to_owned()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, own_port) = match address.rfind(':').filter(|at| !address[*at..].contains(']')) {
            Some(at) => (&address[..at], Some(&address[at + 1..])),
            None => (address, None),
        };
        let port = own_port.filter(|port| !port.is_empty()).unwrap_or(port);
        if host.is_empty() || host.contains(',') || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("its address is not one host and port".to_owned());
        }
        let given = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let mode = ["sslmode", "ssl-mode", "sslaccept"].into_iter().find_map(given).map(decoded).transpose()?;
        let tls = match engine {
            Engine::Postgres => mode,
            Engine::Mysql => of_mysql(mode.as_deref().unwrap_or_default())?.map(str::to_owned),
        };
        Ok(Self {
            engine,
            user: decoded(user)?,
            password: decoded(password)?,
            host: decoded(host.trim_start_matches('[').trim_end_matches(']'))?,
            port: port.to_owned(),
            name: decoded(name)?,
            tls,
        })
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("it holds a % that is no escape (write %25)".to_owned());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.contains(['\n', '\r', '\0']) { Err("it holds a line's end".to_owned()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let of =
            |url: &str| Parts::of(url).map(|p| [p.user, p.password, p.host, p.port, p.name, p.tls.unwrap_or_default()].join(" "));
        let all = "postgresql://etally:pw%2Fof%20the%40test@db.example.com:6432/etally?schema=public&sslmode=require";
        assert_eq!(of(all).as_deref(), Ok("etally pw/of the@test db.example.com 6432 etally require"));
        assert_eq!(of("mysql://root@[2001:db8::1]/shop").as_deref(), Ok("root  2001:db8::1 3306 shop "));
        for scheme in ["mysql", "mariadb", "mysql2", "trilogy"] {
            let parts = Parts::of(&format!("{scheme}://root@db.example.com/shop"));
            assert_eq!(parts.map(|parts| (parts.engine, parts.port)), Ok((Engine::Mysql, "3306".to_owned())), "{scheme}");
        }
        let asks = |query: &str| {
            of(&format!("mysql://root@db.example.com/shop?{query}")).map(|of| of.rsplit(' ').next().unwrap_or("").to_owned())
        };
        for (query, tls) in [
            ("ssl-mode=REQUIRED", "tls"),
            ("ssl-mode=VERIFY_CA", "verify"),
            ("sslaccept=strict", "verify"),
            ("ssl-mode=PREFERRED", ""),
        ] {
            assert_eq!(asks(query).as_deref(), Ok(tls), "{query}");
        }
        assert!(asks("ssl-mode=SOMETIMES").is_err());
        for wrong in
            ["etally", "http://a/b", "postgres:///b", "postgres://a,b/c", "postgres://a%zz@b/c", "postgres://u:a%0Ab@h/c"]
        {
            let error = of(wrong).expect_err(wrong);
            assert!(!error.contains("b/c"), "{error}");
        }
    }
}
