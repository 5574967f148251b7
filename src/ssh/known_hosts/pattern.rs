//! Whether the host field of a `known_hosts` line names a host: lists, patterns, negation, hashed names.
//!
//! Must not know files, markers or keys. Follows OpenSSH: a negated pattern that matches wins over everything in its list.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Returns the name under which a host stands in `known_hosts`: lower case, and `[host]:port` for any port but 22.
pub(super) fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// Says whether the host field `names` covers `name` (a result of [`lookup_name`]).
pub(super) fn covers(names: &str, name: &str) -> bool {
    if names.starts_with('|') {
        return hashed_matches(names, name);
    }
    let mut found = false;
    for pattern in names.split(',') {
        if let Some(negated) = pattern.strip_prefix('!') {
            if glob(negated, name) {
                return false;
            }
        } else if glob(pattern, name) {
            found = true;
        }
    }
    found
}

/// Returns the hashed form `|1|SALT|HASH` of a name.
pub(super) fn hashed(name: &str, salt: &[u8; 20]) -> Option<String> {
    let hash = digest(salt, name)?.finalize().into_bytes();
    Some(format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(hash)
    ))
}

fn hashed_matches(field: &str, name: &str) -> bool {
    let Some((salt, hash)) = field
        .strip_prefix("|1|")
        .and_then(|rest| rest.split_once('|'))
    else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    digest(&salt, name).is_some_and(|mac| mac.verify_slice(&hash).is_ok())
}

fn digest(salt: &[u8], name: &str) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac)
}

/// Matches `*` and `?` without backtracking further than the last `*`, so that no pattern is slow.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase().into_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (names, name, expected) in [
            ("db", "db", true),
            ("DB.Example", "db.example", true),
            ("a,db,c", "db", true),
            ("*", "db", true),
            ("d?", "db", true),
            ("d?", "d", false),
            ("*.example,!db.example", "db.example", false),
            ("!db.example,*.example", "db.example", false),
            ("!db.example", "other.example", false),
            ("*.example,!db.example", "web.example", true),
            ("[db]:2222", "[db]:2222", true),
            ("db", "[db]:2222", false),
            ("*a*b*c", "xxaxxbxxbxc", true),
            ("*a*b*c", "xxaxxbxxbx", false),
            ("", "db", false),
            ("|1|broken", "db", false),
            (
                "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=",
                "192.168.1.61",
                true,
            ),
            (
                "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=",
                "192.168.1.62",
                false,
            ),
        ] {
            assert_eq!(covers(names, name), expected, "{names} {name}");
        }
    }

    #[test]
    fn a_hashed_name_matches_what_was_hashed() {
        let field = hashed("[db]:2222", &[7; 20]).unwrap();
        assert!(covers(&field, "[db]:2222"));
        assert!(!covers(&field, "db"));
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        assert!(!covers(
            &format!("{}b", "*a".repeat(500)),
            &"a".repeat(5000)
        ));
    }
}
