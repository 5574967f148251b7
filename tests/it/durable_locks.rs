//! Two clients at once: one of them runs.

use std::thread;

use crate::chance::{Dice, rounds};
use crate::droplet::{droplets, eventually};
use crate::program::Running;
use crate::project::Project;

/// It runs until it may end, so that the other client comes while it does.
const COUNT: &str = "[[steps]]\nkind = \"shell\"\nname = \"count\"\n\
    command = \"echo $LANDFALL_RUN >>/tmp/it-count; while [ ! -e /tmp/it-go ]; do sleep 0.05; done\"\n";

#[test]
fn of_two_that_start_at_once_on_the_same_hosts_one_runs_and_one_is_refused() {
    let droplets = droplets(2);
    let projects = [Project::on(&droplets), Project::on(&droplets)];
    let hosts = [format!("{},{}", droplets[0].name, droplets[1].name), format!("{},{}", droplets[1].name, droplets[0].name)];
    for project in &projects {
        project.playbook("count", COUNT);
    }
    let mut dice = Dice::new();
    let mut won = [0, 0];
    for round in 0..rounds(6, 50) {
        for droplet in droplets.iter() {
            droplet.sh("rm -f /tmp/it-go");
        }
        let start =
            |client: usize| projects[client].start(&["run", "count", "--yes", "--output", "json", "--on", &hosts[client]]);
        // Either begins, by up to a fifth of a second.
        let first = usize::from(dice.between(0, 2) == 1);
        let one = start(first);
        thread::sleep(dice.moment(0, 200));
        let mut clients: [Running; 2] = if first == 0 {
            [one, start(1)]
        } else {
            let two = start(0);
            [two, one]
        };
        eventually("one of them is refused", || clients.iter_mut().any(Running::is_over));
        for droplet in droplets.iter() {
            droplet.sh("touch /tmp/it-go");
        }
        let outs = clients.map(Running::finish);
        let codes = outs.each_ref().map(|out| out.code);
        let said = || format!("round {round}\n{}\n{}", outs[0].said(), outs[1].said());
        assert!(codes == [0, 5] || codes == [5, 0], "{codes:?} {}", said());
        let winner = usize::from(codes == [5, 0]);
        won[winner] += 1;
        let run = outs[winner].run();
        for droplet in droplets.iter() {
            assert_eq!(
                droplet.sh("tail -n 1 /tmp/it-count; wc -l </tmp/it-count"),
                format!("{run}\n{}", round + 1),
                "{}",
                said()
            );
            assert_eq!(outs[winner].finished(Some(&droplet.name), "count")["status"], "ok", "{}", said());
        }
        assert!(outs[1 - winner].said().contains(&run), "it does not say who: {}", said());
        projects[0].landfall(&["lock", "status", "--on", &hosts[0]]).expect(0, &[": free"]);
    }
    println!("won: {won:?}");
}
