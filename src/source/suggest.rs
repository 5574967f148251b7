//! "did you mean …?": the known word that is nearest to a misspelt one.

/// The nearest of `known`, where one is near enough to have been meant.
pub fn nearest<S: AsRef<str>>(word: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    let folded = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| {
            let name = candidate.as_ref().to_lowercase().replace('-', "_");
            let distance = strsim::damerau_levenshtein(&folded, &name);
            let prefix = folded.len() >= 3 && (name.starts_with(&folded) || folded.starts_with(&name) && name.len() >= 3);
            (if prefix { distance.min(2) } else { distance }, name.len().max(folded.len()), candidate)
        })
        .filter(|(distance, length, _)| *distance <= (length / 3).max(1) && distance < length)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["timeout", "hosts", "when", "needs", "env_file", "migrate"];
        assert_eq!(nearest("tiemout", known).as_deref(), Some("timeout"));
        assert_eq!(nearest("host", known).as_deref(), Some("hosts"));
        assert_eq!(nearest("env-file", known).as_deref(), Some("env_file"));
        assert_eq!(nearest("firewall", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
