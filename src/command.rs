//! Commands as values: argv, and the only quoting in the program. Runs nothing.

/// Shows an argv as a person would type it into a POSIX shell.
pub fn shell_line<S: AsRef<str>>(argv: &[S]) -> String {
    argv.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// One word, quoted for a POSIX shell where it needs to be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_real_shell() {
        for word in ["", "a", "a b", "it's", "$HOME", "`x`", "a\nb", "*", "!", "\\", "é", "--x=1"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
        assert_eq!(shell_line(&["npx", "prisma", "a b"]), "npx prisma 'a b'");
    }
}
