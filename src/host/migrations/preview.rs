//! What a tool prints of the SQL of migrations that are programs: cut at the lines that name them, and held against what could be missing.
//! Pure; must not know which tool it was.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::action::Printing;
use crate::facts::Preview;
use crate::hint;
use crate::host::process::Capture;

/// The command that prints, for what is applied and what waits; or why there is none.
pub(in crate::host) fn command(printing: &Printing, applied: &[String], waiting: &[String]) -> Result<Vec<String>, String> {
    const APPLIED: &str = "{applied}";
    let newest = match applied {
        [] => "base",
        [only] => only,
        _ => "",
    };
    if newest.is_empty() && printing.argv.iter().any(|word| word.contains(APPLIED)) {
        return Err("its tool prints from one applied migration only, and several are the newest".to_owned());
    }
    let words = printing.argv.iter().map(|word| if printing.own { word.clone() } else { word.replace(APPLIED, newest) });
    let names = waiting.iter().filter(|_| printing.named).cloned();
    Ok(words.chain(names).collect())
}

/// Reads what it printed of those that wait: the part of each, and why there are not all of them. All of it is unmasked.
pub(in crate::host) fn read(
    printing: &Printing,
    waiting: &[String],
    code: Option<i32>,
    printed: &Capture,
) -> (Vec<Preview>, Option<String>) {
    let failed = (code != Some(0)).then(|| reason(code, &printed.stderr));
    let text = String::from_utf8_lossy(&printed.stdout).replace("\r\n", "\n");
    let begin = printing.begin.as_deref().and_then(|begin| Regex::new(begin).ok());
    let named =
        |line: &str| Some(begin.as_ref()?.captures(line)?.get(1)?.as_str().to_owned()).filter(|name| waiting.contains(name));
    let mut parts: Vec<Preview> = Vec::new();
    let (mut head, mut open) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        let plain = line.trim_end();
        if let Some(name) = named(plain) {
            // What stands above the first is its own, too: nothing that would run is left out.
            let in_transaction = open && !parts.is_empty();
            parts.push(Preview { of: Some(name), in_transaction, sql: std::mem::take(&mut head), ..Preview::default() });
        }
        parts.last_mut().map_or(&mut head, |part| &mut part.sql).push_str(line);
        match plain {
            "BEGIN;" => open = true,
            "COMMIT;" => open = false,
            _ => {}
        }
    }
    let names: BTreeSet<_> = parts.iter().map(|part| part.of.clone()).collect();
    if names.len() < parts.len() {
        return (Vec::new(), Some("one migration stands twice in what its tool printed".to_owned()));
    }
    if parts.is_empty() && (printing.begin.is_none() || printing.own) && failed.is_none() {
        if head.trim().is_empty() {
            return (Vec::new(), Some("its command printed nothing".to_owned()));
        }
        parts.push(Preview { sql: head, ..Preview::default() });
    }
    for part in &mut parts {
        part.lacks = lacks(printing, &part.sql);
    }
    // It may have stopped in the middle of the last one.
    if let (Some(why), Some(last)) = (&failed, parts.last_mut()) {
        last.lacks.get_or_insert_with(|| why.clone());
    }
    let all = waiting.iter().all(|name| names.contains(&Some(name.clone())));
    let missing = (!all && names.iter().any(Option::is_some)).then(|| "its tool did not print all of them".to_owned());
    let nothing = parts.is_empty().then(|| "its tool printed none of them".to_owned());
    (parts, failed.or(missing).or(nothing))
}

fn lacks(printing: &Printing, sql: &str) -> Option<String> {
    let says = |regex: &str| Regex::new(regex).is_ok_and(|regex| sql.lines().any(|line| regex.is_match(line)));
    printing.lacks.iter().find(|pattern| says(&pattern.regex)).map(|pattern| pattern.means.clone())
}

/// How it ended, the last thing that it said, and what that usually means.
fn reason(code: Option<i32>, stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let ended = code.map_or_else(|| "it was ended".to_owned(), |code| format!("exit code {code}"));
    let said: String = last.chars().filter(|c| !c.is_control()).take(200).collect();
    let help = hint::fitting(&[], &said).first().map(|help| format!("; {help}")).unwrap_or_default();
    format!("its tool could not print it ({ended}{}{said}){help}", if said.is_empty() { "" } else { ": " })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Pattern;

    fn alembic() -> Printing {
        Printing {
            argv: ["alembic", "upgrade", "{applied}:heads", "--sql"].map(str::to_owned).to_vec(),
            begin: Some(r"^-- Running upgrade .*-> (\S+)$".into()),
            lacks: vec![Pattern { regex: "^-- no SQL".into(), means: "no SQL".into() }],
            ..Printing::default()
        }
    }

    fn of(code: i32, stdout: &str, stderr: &str) -> (Vec<Preview>, Option<String>) {
        let printed = Capture { stdout: stdout.into(), stderr: stderr.into() };
        read(&alembic(), &["a1".to_owned(), "b2".to_owned()], Some(code), &printed)
    }

    const BOTH: &str = "BEGIN;\n\nCREATE TABLE alembic_version (x int);\n-- Running upgrade  -> a1\nSELECT 1;\n\
                        -- Running upgrade a1 -> b2\nCOMMIT;\nCREATE INDEX CONCURRENTLY i ON a (b);\nBEGIN;\nCOMMIT;\n";

    #[test]
    fn each_has_its_part_and_nothing_is_left_out() {
        let (parts, why) = of(0, BOTH, "");
        assert_eq!(why, None);
        assert_eq!(parts.iter().map(|part| part.sql.as_str()).collect::<String>(), BOTH);
        let told: Vec<_> = parts.iter().map(|part| (part.of.as_deref(), part.in_transaction, part.lacks.as_deref())).collect();
        assert_eq!(told, [(Some("a1"), false, None), (Some("b2"), true, None)]);
        assert!(parts[0].sql.starts_with("BEGIN;") && parts[1].sql.starts_with("-- Running upgrade a1"));
    }

    #[test]
    fn what_may_be_missing_is_said() {
        let (parts, why) = of(1, BOTH, "Traceback\nAttributeError: 'NoneType'\n");
        assert_eq!(parts[0].lacks, None);
        assert_eq!(parts[1].lacks.as_deref(), Some("its tool could not print it (exit code 1: AttributeError: 'NoneType')"));
        assert_eq!(why, parts[1].lacks);
        let why = of(1, "", "FATAL:  unsupported startup parameter: options\n").1.expect("why");
        assert!(why.contains("parameter: options); a connection pool does not take PGOPTIONS"), "{why}");
        let (parts, _) = of(0, &BOTH.replace("SELECT 1;", "-- no SQL"), "");
        assert_eq!(parts[0].lacks.as_deref(), Some("no SQL"));
        let one = BOTH.split("-- Running upgrade a1").next().expect("text");
        assert_eq!(of(0, one, "").1.as_deref(), Some("its tool did not print all of them"));
        assert_eq!(of(0, "", ""), (vec![], Some("its tool printed none of them".to_owned())));
        let twice = format!("{BOTH}-- Running upgrade x -> a1\nSELECT 2;\n");
        assert_eq!(of(0, &twice, ""), (vec![], Some("one migration stands twice in what its tool printed".to_owned())));
    }

    #[test]
    fn the_command_says_where_to_begin() {
        let words = |applied: &[&str]| {
            let applied: Vec<String> = applied.iter().map(ToString::to_string).collect();
            command(&alembic(), &applied, &["b2".to_owned()]).map(|words| words.join(" "))
        };
        assert_eq!(words(&[]).expect("command"), "alembic upgrade base:heads --sql");
        assert_eq!(words(&["a1"]).expect("command"), "alembic upgrade a1:heads --sql");
        assert!(words(&["a1", "c3"]).is_err());
        let named = Printing { argv: vec!["print".into()], named: true, ..Printing::default() };
        assert_eq!(command(&named, &[], &["b; rm x".to_owned()]), Ok(vec!["print".to_owned(), "b; rm x".to_owned()]));
    }

    #[test]
    fn commands_of_ones_own_print_all_of_it_at_once() {
        let own = Printing { argv: vec!["print".into()], own: true, ..Printing::default() };
        let printed = |text: &str| Capture { stdout: text.into(), stderr: Vec::new() };
        let (parts, why) = read(&own, &[], Some(0), &printed("DROP TABLE a;\r\n"));
        assert_eq!((parts[0].of.as_deref(), parts[0].sql.as_str(), why), (None, "DROP TABLE a;\n", None));
        assert_eq!(read(&own, &[], Some(0), &printed(" \n")), (vec![], Some("its command printed nothing".to_owned())));
        assert_eq!(read(&own, &[], Some(2), &printed("x")).0, vec![]);
    }
}
