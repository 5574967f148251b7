//! Looks at every process of a droplet as often as it can: no command line shows a secret, nor does the environment of any process of
//! Landfall's or Docker's. Must not know what a test does meanwhile.

use std::fmt::Write as _;

use crate::droplet::Droplet;

/// What is looked for is read from a file, so that it is in no command line of ours. A tool in its container may well hand its secrets on
/// in clear, as Prisma does to its engine; that is not Landfall's.
const SCRIPT: &str = r#"
cat >/tmp/it-sampler <<'END'
#!/bin/bash
mine=$(readlink /proc/self/ns/pid)
shows() { grep -laFf /tmp/it-values "$@" 2>/dev/null; }
name() { { mapfile -d '' -t words <"${1%/*}/cmdline"; } 2>/dev/null && [ ${#words[@]} -gt 0 ]; }
while [ ! -e /tmp/it-stop ]; do
  mapfile -t here < <(find /proc/[0-9]*/ns/pid -maxdepth 0 -lname "${mine//[][]/?}" -printf '%h\n' 2>/dev/null)
  for file in $(shows "${here[@]/%ns/cmdline}"); do name "$file" && echo "cmdline ${words[*]:0:4}"; done
  ours=()
  for pid in "${here[@]}"; do
    name "$pid" || continue
    case "${words[*]}" in
      */host-*serve* | */host-*supervise* | *docker*compose* | docker\ *) ours+=("${pid/%ns/environ}"); echo "seen ${words[0]}" >>/tmp/it-seen ;;
    esac
  done
  [ ${#ours[@]} = 0 ] || for file in $(shows "${ours[@]}"); do name "$file" && echo "environ ${words[*]:0:4}"; done
done
END
chmod +x /tmp/it-sampler
setsid /tmp/it-sampler >/tmp/it-found 2>&1 </dev/null &
"#;

/// One that looks until its word is asked for.
pub(crate) struct Sampler<'d>(&'d Droplet);

impl<'d> Sampler<'d> {
    /// Begins to look for these values.
    pub(crate) fn start(droplet: &'d Droplet, values: &[String]) -> Self {
        let lines = values.iter().fold(String::new(), |mut lines, value| {
            writeln!(lines, "{value}").unwrap();
            lines
        });
        droplet.sh(&format!("cat >/tmp/it-values <<'END-OF-VALUES'\n{lines}END-OF-VALUES\n{SCRIPT}"));
        Self(droplet)
    }

    /// Asserts that it saw the processes that matter, and nothing in them.
    #[track_caller]
    pub(crate) fn saw_nothing(self) {
        self.0.sh("touch /tmp/it-stop");
        let seen = self.0.sh("sort /tmp/it-seen | uniq -c");
        assert!(seen.contains("host-") && seen.contains("docker"), "the sampler saw too little: {seen}");
        assert_eq!(self.0.sh("sort /tmp/it-found | uniq -c; rm /tmp/it-values"), "", "a secret was seen in /proc");
    }
}
