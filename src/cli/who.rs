//! Who starts a run, and from which machine: a claim for people to read in locks and records, not a proof.

use crate::protocol::Who;

/// The user and machine of this process.
pub(super) fn of_process() -> Who {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let uid = rustix::process::getuid().as_raw();
    who(|name| std::env::var(name).ok(), &machine, uid)
}

/// In a workflow of GitHub the one who set it off; elsewhere the login.
fn who(variable: impl Fn(&str) -> Option<String>, machine: &str, uid: u32) -> Who {
    let set = |name: &str| variable(name).map(|value| printable(&value)).filter(|value| !value.is_empty());
    let actor = (set("GITHUB_ACTIONS").as_deref() == Some("true")).then(|| set("GITHUB_ACTOR")).flatten();
    let user = actor.or_else(|| set("USER")).or_else(|| set("LOGNAME")).unwrap_or_else(|| format!("uid {uid}"));
    let machine = printable(machine);
    Who { user, machine: if machine.is_empty() { "unnamed machine".to_owned() } else { machine } }
}

/// On one line, and not longer than a name is.
fn printable(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_or_the_actor_of_a_workflow() {
        let table: [(&[(&str, &str)], &str); 7] = [
            (&[("USER", "ana"), ("LOGNAME", "x")], "ana@laptop"),
            (&[("LOGNAME", "ana")], "ana@laptop"),
            (&[("USER", ""), ("LOGNAME", "ana")], "ana@laptop"),
            (&[], "uid 7@laptop"),
            (&[("GITHUB_ACTOR", "bob"), ("USER", "ana")], "ana@laptop"),
            (&[("GITHUB_ACTIONS", "true"), ("GITHUB_ACTOR", "bob"), ("USER", "runner")], "bob@laptop"),
            (&[("GITHUB_ACTIONS", "true"), ("USER", "a\nb\u{1b}[2J")], "ab[2J@laptop"),
        ];
        for (variables, shown) in table {
            let get = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(who(get, "laptop", 7).to_string(), shown, "{variables:?}");
        }
    }

    #[test]
    fn this_process_has_a_name() {
        let who = of_process();
        assert!(!who.user.is_empty() && !who.machine.is_empty());
    }
}
