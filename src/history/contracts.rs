//! Migrations that lead from one contract to another: each is a folder with a manifest and its operations, and what waits is the way
//! from where the database stands to where the files end. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::compare::{Began, Recorded, migration};
use super::layout::{Known, Leads};
use super::{File, hex, ops};
use crate::facts::{Migration, MigrationState as State};

/// Where a database stands before its first migration.
const EMPTY: &str = "empty";

/// The migrations among the files: `SPACE/NAME/migration.json` with its `ops.json`.
pub(super) fn packages(files: &[File]) -> Result<Vec<Known>, String> {
    let mut found = Vec::new();
    for manifest in files {
        let Some(folder) = manifest.path.strip_suffix("/migration.json") else { continue };
        let Some((space, name)) = folder.split_once('/').filter(|(_, name)| !name.contains('/')) else { continue };
        if space == "snapshots" {
            continue;
        }
        let unread = |file: &str, why: &dyn std::fmt::Display| format!("{folder}/{file} cannot be read: {why}");
        let path = format!("{folder}/{}", ops::FILE);
        let operations = files.iter().find(|file| file.path == path);
        let operations = operations.ok_or_else(|| format!("{folder} has no {}", ops::FILE))?;
        let envelope: Value = serde_json::from_slice(&manifest.bytes).map_err(|error| unread("migration.json", &error))?;
        let list: Value = serde_json::from_slice(&operations.bytes).map_err(|error| unread(ops::FILE, &error))?;
        let to = envelope["to"].as_str().ok_or_else(|| unread("migration.json", &"it has no `to`"))?.to_owned();
        let from = envelope["from"].as_str().unwrap_or(EMPTY).to_owned();
        let own = digest(envelope.clone(), &list);
        found.push(Known {
            key: format!("{space}/{name}"),
            name: name.to_owned(),
            sha256: hex(&Sha256::digest(&operations.bytes)),
            leads: Some(Leads { from, to, sealed: envelope["migrationHash"] == *own }),
            digest: Some(own),
            path,
            bytes: operations.bytes.clone(),
            after: Vec::new(),
            replaces: Vec::new(),
        });
    }
    let ends_at: Vec<(String, Option<Leads>)> = found.iter().map(|known| (known.key.clone(), known.leads.clone())).collect();
    for known in &mut found {
        let comes_from = |leads: &Leads| known.leads.as_ref().is_some_and(|own| own.from == leads.to);
        let before = ends_at.iter().filter(|(_, leads)| leads.as_ref().is_some_and(comes_from));
        known.after = before.map(|(key, _)| key.clone()).collect();
    }
    Ok(found)
}

/// What the tool records of a manifest and its operations.
///
/// # Errors
///
/// Where one of them is no JSON.
pub fn package_digest(manifest: &[u8], operations: &[u8]) -> Result<String, String> {
    let read = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| error.to_string());
    Ok(digest(read(manifest)?, &read(operations)?))
}

/// The same of what was read: over what its files say, however they are written. What the manifest claims to be it counts for
/// nothing.
fn digest(mut envelope: Value, operations: &Value) -> String {
    if let Some(members) = envelope.as_object_mut() {
        members.remove("migrationHash");
    }
    let of = |value: &Value| hex(&Sha256::digest(canonical(value)));
    of(&Value::from(vec![of(&envelope), of(operations)]))
}

/// JSON as JavaScript writes it, with the members of objects in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| in_script(a, b));
            let each = members.into_iter().map(|(key, item)| format!("{}:{}", Value::from(key.as_str()), canonical(item)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
        Value::Number(number) => in_decimals(number),
        _ => value.to_string(),
    }
}

/// The order of an object's keys in JavaScript once they were sorted: indexes by their value, then the others by their UTF-16.
fn in_script(a: &str, b: &str) -> Ordering {
    let index = |key: &str| key.parse::<u32>().ok().filter(|index| *index != u32::MAX && index.to_string() == key);
    match (index(a), index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// A number as JavaScript writes it: all are floating.
fn in_decimals(number: &serde_json::Number) -> String {
    let Some(value) = number.as_f64() else { return number.to_string() };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-6..1e21).contains(&size) => value.to_string(),
        size if size < 1.0 => format!("{value:e}"),
        _ => format!("{value:e}").replace('e', "e+"),
    }
}

/// What is with each migration. Which way is taken is known where the files leave no choice.
pub(super) fn compare(files: &[Known], rows: &[Recorded]) -> Result<Vec<Migration>, String> {
    let mut states: Vec<Migration> = Vec::new();
    let space = |key: &str| key.split_once('/').map_or("", |(space, _)| space).to_owned();
    let spaces: BTreeSet<String> = files.iter().map(|file| space(&file.key)).collect();
    for name in spaces {
        let own: Vec<&Known> = files.iter().filter(|file| space(&file.key) == name).collect();
        let rows: Vec<&Recorded> = rows.iter().filter(|row| space(&row.key) == name).collect();
        let stands = rows.iter().find(|row| row.state == Began::Stands).and_then(|row| row.key.split_once('/'));
        let stands = stands.map_or(EMPTY, |(_, contract)| contract);
        let applied: Vec<&Recorded> = rows.iter().filter(|row| row.state == Began::Applied).copied().collect();
        let is_of = |row: &Recorded, file: &Known| row.key == file.key || row.digest == file.digest;
        let row_of = |file: &Known| applied.iter().rfind(|row| is_of(row, file)).copied();
        let is_gone = applied.iter().any(|row| !own.iter().any(|file| is_of(row, file)));
        let ahead = way(&own, stands, is_gone)?;
        let first = applied.first().and_then(|row| own.iter().find(|file| is_of(row, file)));
        // A database that was not empty when its history began holds what leads to where it stood.
        let base = match (applied.is_empty(), first) {
            (true, _) => stands,
            (false, Some(file)) => ends(file).0,
            (false, None) => EMPTY,
        };
        for file in &own {
            let state = match row_of(file) {
                Some(row) if row.digest != file.digest => State::Edited,
                _ if ahead.contains(&file.key.as_str()) => State::Pending,
                Some(_) => State::Applied,
                None if base != EMPTY && leads_to(&own, ends(file).1, base) => State::Applied,
                None => State::Aside,
            };
            let mut found = migration(file, state, row_of(file).filter(|_| state != State::Pending));
            if state == State::Pending && !file.leads.as_ref().is_some_and(|leads| leads.sealed) {
                found.told = Some("its content is not what its own migrationHash says".to_owned());
            }
            states.push(found);
        }
    }
    Ok(states)
}

fn ends(file: &Known) -> (&str, &str) {
    file.leads.as_ref().map_or((EMPTY, EMPTY), |leads| (leads.from.as_str(), leads.to.as_str()))
}

/// The keys of the migrations from a contract on, where there is but one way to the end. The file that led there may be gone.
fn way<'f>(files: &[&'f Known], from: &str, is_gone: bool) -> Result<Vec<&'f str>, String> {
    let is_known = files.iter().any(|file| ends(file).0 == from || ends(file).1 == from);
    if from != EMPTY && !is_known && !is_gone {
        let short = from.get(..12).unwrap_or(from);
        return Err(format!("the database stands at the contract {short}, which no migration here leads to or comes from"));
    }
    let (mut found, mut at) = (Vec::new(), from);
    loop {
        let next: Vec<&&Known> = files.iter().filter(|file| ends(file).0 == at && ends(file).1 != at).collect();
        match next.as_slice() {
            [] => return Ok(found),
            [one] if !found.contains(&one.key.as_str()) => {
                found.push(&one.key);
                at = ends(one).1;
            }
            several => {
                let names: Vec<&str> = several.iter().map(|file| file.name.as_str()).collect();
                return Err(format!(
                    "several ways lead on from where the database stands, and only the tool knows which it takes: {}",
                    names.join(", ")
                ));
            }
        }
    }
}

/// Whether migrations lead from one contract to another, or both are the same.
fn leads_to(files: &[&Known], from: &str, to: &str) -> bool {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(at) = ahead.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            ahead.extend(files.iter().filter(|file| ends(file).0 == at).map(|file| ends(file).1));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of the tool's own, and the digest that it wrote.
    const MANIFEST: &str = include_str!("samples/third.migration.json");
    const OPERATIONS: &str = include_str!("samples/third.ops.json");
    const DIGEST: &str = "516940ba9a23c7c7cdcad079f506bea1e45ae44f936a2e4943a1e35ed6ae263e";

    fn package(operations: &str, manifest: &str) -> Result<Vec<Known>, String> {
        let file = |name: &str, text: &str| File { path: format!("app/1_a/{name}"), bytes: text.as_bytes().to_vec() };
        packages(&[file("migration.json", manifest), file("ops.json", operations), file("migration.ts", "")])
    }

    #[test]
    fn the_digest_is_that_of_the_tool() {
        let digest = |operations: &str| package(operations, MANIFEST).expect("package")[0].digest.clone().expect("digest");
        assert_eq!(digest(OPERATIONS), DIGEST);
        let compact: Value = serde_json::from_str(OPERATIONS).expect("json");
        assert_eq!(digest(&compact.to_string()), DIGEST, "blanks and order mean nothing");
        assert_ne!(digest(&OPERATIONS.replace("town", "city")), DIGEST);
    }

    #[test]
    fn json_is_written_as_javascript_does() {
        let of = |text: &str| canonical(&serde_json::from_str(text).expect("json"));
        assert_eq!(
            of(r#"{"b": [1.0, -0.0, 1e21, 1e-7, 0.1, 12345678901234567890], "a": null, "10": true, "9": "é\u0007\n\u2028"}"#),
            "{\"9\":\"é\\u0007\\n\u{2028}\",\"10\":true,\"a\":null,\"b\":[1,0,1e+21,1e-7,0.1,12345678901234567000]}"
        );
    }

    #[test]
    fn what_is_no_package_is_told() {
        assert_eq!(package(OPERATIONS, "{}").expect_err("no to"), "app/1_a/migration.json cannot be read: it has no `to`");
        assert!(package("[", MANIFEST).expect_err("no list").starts_with("app/1_a/ops.json cannot be read: "));
        let alone = [File { path: "app/1_a/migration.json".into(), bytes: b"{}".to_vec() }];
        assert_eq!(packages(&alone).expect_err("alone"), "app/1_a has no ops.json");
        let others = ["snapshots/1_a/migration.json", "app/refs/db.json", "migration.json"];
        assert_eq!(packages(&others.map(|path| File { path: path.into(), bytes: vec![] })).expect("none"), []);
    }
}
