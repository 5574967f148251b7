//! The layers: `lib.rs` declares the modules in order, and each uses only those above it.

use std::path::Path;

use regex_lite::Regex;

use super::{files, is, read};

/// The modules in the order of `lib.rs`, the lowest layer first.
fn order(lib: &str) -> Vec<String> {
    let declared = Regex::new(r"(?m)^pub mod ([a-z_]+);").expect("a regex");
    declared.captures_iter(lib).map(|found| found[1].to_owned()).collect()
}

/// The module of a file below `src/`, as its path: `host/mask/mod.rs` is `host::mask`.
fn module(path: &str) -> Vec<String> {
    let path = Path::new(path).with_extension("");
    let mut parts: Vec<String> = path.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    // `plan_tests.rs` is a part of `plan` that is kept in a file of its own.
    if let Some(first) = parts.first_mut() {
        *first = first.trim_end_matches("_tests").to_owned();
    }
    parts
}

/// The top modules that a file names, with the numbers of the lines.
fn used(module: &[String], text: &str) -> Vec<(usize, String)> {
    let path = Regex::new(r"\b(crate|(?:super::)*super)::(\{[^}]*|[a-z_]+)").expect("a regex");
    let inline = Regex::new(r"^(pub(\([a-z]+\))? )?mod [a-z_]+ \{").expect("a regex");
    let name = Regex::new(r"(?:^\{|,)\s*([a-z_]+)").expect("a regex");
    let mut inside = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        inside = (inside || inline.is_match(line)) && line != "}";
        if line.trim_start().starts_with("//") {
            continue;
        }
        for path in path.captures_iter(line) {
            let climbs = path[1].matches("super").count();
            if climbs != 0 && (inside || climbs != module.len()) {
                continue;
            }
            let names = if path[2].starts_with('{') {
                name.captures_iter(&path[2]).map(|found| found[1].to_owned()).collect()
            } else {
                vec![path[2].to_owned()]
            };
            found.extend(names.into_iter().map(|name| (number + 1, name)));
        }
    }
    found
}

/// What a file uses that is below it.
fn upward(order: &[String], path: &str, text: &str) -> Vec<String> {
    let module = module(path);
    let rank = |name: &String| order.iter().position(|known| known == name);
    let Some(own) = module.first().and_then(rank) else { return Vec::new() };
    let below = |(_, name): &(usize, String)| rank(name).is_some_and(|rank| rank > own);
    let found = used(&module, text).into_iter().filter(below);
    found.map(|(line, name)| format!("{path}:{line}: `{}` uses `{name}`, which is below it", module[0])).collect()
}

#[test]
fn no_module_uses_one_below_it() {
    let order = order(&read("src/lib.rs"));
    let sources = files("src").into_iter().filter(|path| is(path, "rs"));
    let wrong: Vec<String> = sources.flat_map(|path| upward(&order, &path, &read(&path))).collect();
    assert!(wrong.is_empty(), "move what is used to a lower layer:\n{}", wrong.join("\n"));
}

#[test]
fn the_chapter_lists_all_modules_in_their_order() {
    let lib = read("src/lib.rs");
    let row = Regex::new(r"(?m)^//! \| \[`([a-z_]+)`\] \|").expect("a regex");
    let listed: Vec<String> = row.captures_iter(&lib).map(|found| found[1].to_owned()).collect();
    assert_eq!(listed, order(&lib));
    let mut tops: Vec<String> = files("src").iter().filter_map(|path| module(path).into_iter().next()).collect();
    tops.sort();
    tops.dedup();
    let mut known: Vec<String> = order(&lib).into_iter().chain(["bin", "lib", "main"].map(str::to_owned)).collect();
    known.sort();
    assert_eq!(tops, known, "each module is declared in lib.rs");
}

#[test]
fn the_reader_of_use_lines_sees_them() {
    let order: Vec<String> = ["low", "middle", "high"].map(str::to_owned).to_vec();
    let text = "//! Not `crate::high`.\nuse crate::{low::A, high};\nuse super::high::B;\nfn f() { crate::high::g(super::low::h()) }\n\
                mod tests {\n    use super::high;\n}\n";
    let lines = |path: &str| -> Vec<usize> {
        upward(&order, path, text).iter().filter_map(|found| found.split(':').nth(1)?.parse().ok()).collect()
    };
    assert_eq!(lines("src/middle.rs"), [2, 3, 4]);
    assert_eq!(lines("src/middle/mod.rs"), [2, 3, 4]);
    assert_eq!(lines("src/middle/deep.rs"), [2, 4], "`super` is the module itself here");
    assert!(lines("src/high.rs").is_empty());
}
