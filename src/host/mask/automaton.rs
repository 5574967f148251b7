//! Finds many needles in one pass (Aho-Corasick), and knows at each byte how long the open partial match is: that depth is what
//! lets everything else leave at once. Must not know where needles come from, nor what a view or an encoding is.
//!
//! Most states of a set of secrets have one child, so only the states near the root and those that branch own a full row of
//! transitions; the others keep their single child and fall back along `fail`. A 64 KiB value costs some 20 bytes a byte that
//! way, not 400, and the rows in use fit a processor's cache.

use std::collections::VecDeque;

/// A byte string to find, and what to report when it is found.
#[derive(Clone)]
pub(super) struct Needle {
    /// The bytes to find.
    pub(super) bytes: Vec<u8>,
    /// Index of the label that a hit carries.
    pub(super) label: u32,
    /// Whether a text that contains it must be refused.
    pub(super) strict: bool,
}

/// The lengths that are matched only between word boundaries; anything longer is matched anywhere.
pub(super) const WORD_LENGTHS: std::ops::RangeInclusive<usize> = 4..=5;

/// A needle that ends at the current byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Match {
    /// How many bytes long the needle is.
    pub(super) length: usize,
    /// The needle's label.
    pub(super) label: u32,
}

/// All that ends in one state.
#[derive(Clone, Default)]
pub(super) struct Output {
    /// The longest needle that ends here; the shorter ones lie inside it.
    pub(super) whole: Option<Match>,
    /// The longest strict needle that ends here, if `whole` is not strict itself.
    pub(super) strict: Option<Match>,
    /// Short needles, which count only between word boundaries.
    pub(super) words: [Option<Match>; 2],
}

/// One state. Kept small: all that a step reads lies in one cache line.
#[derive(Clone)]
struct Node {
    fail: u32,
    /// The single child, or the offset of the row if `only` is `DENSE`.
    next: u32,
    depth: u32,
    output: u32,
    /// Class of the byte that leads to the single child.
    only: u16,
}

const DENSE: u16 = u16::MAX;
const LEAF: u16 = u16::MAX - 1;
/// Class of the bytes that are in no needle.
const FOREIGN: u16 = 0;
/// States of at most this depth are numbered first and own a row: ordinary text seldom leaves them, and nothing ends in them.
const NEAR: usize = 2;

/// The finished machine: immutable, shared by all streams.
pub(super) struct Automaton {
    class: [u16; 256],
    starts: [bool; 256],
    classes: usize,
    /// How many states are near; the row of each starts at its number times `classes`.
    near: u32,
    nodes: Vec<Node>,
    rows: Vec<u32>,
    outputs: Vec<Output>,
    longest: usize,
}

impl Automaton {
    /// Builds the machine. Bytes with the same `fold` are taken for one another.
    pub(super) fn new(needles: &[Needle], fold: fn(u8) -> u8) -> Self {
        let (class, classes) = classify(needles, fold);
        let mut machine = Self {
            class,
            starts: [false; 256],
            classes,
            near: 0,
            nodes: Vec::new(),
            rows: Vec::new(),
            outputs: vec![Output::default()],
            longest: needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or(0),
        };
        let trie = machine.plant(needles);
        machine.link(&trie);
        for (start, &class) in machine.starts.iter_mut().zip(&machine.class) {
            *start = class != FOREIGN && machine.rows[usize::from(class)] != 0;
        }
        machine
    }

    /// The state after `byte`.
    #[inline]
    pub(super) fn step(&self, state: u32, byte: u8) -> u32 {
        let class = self.class[usize::from(byte)];
        if state < self.near {
            return self.rows[state as usize * self.classes + usize::from(class)];
        }
        self.step_class(state, class)
    }

    /// Whether the state is so close to the root that nothing ends in it.
    #[inline]
    pub(super) fn is_near(&self, state: u32) -> bool {
        state < self.near
    }

    /// Whether `byte` can begin a match.
    #[inline]
    pub(super) fn starts_with(&self, byte: u8) -> bool {
        self.starts[usize::from(byte)]
    }

    /// How many of the last bytes are the beginning of a needle.
    #[inline]
    pub(super) fn depth(&self, state: u32) -> usize {
        self.nodes[state as usize].depth as usize
    }

    /// What ends in this state, if anything.
    #[inline]
    pub(super) fn output(&self, state: u32) -> Option<&Output> {
        match self.nodes[state as usize].output {
            0 => None,
            index => Some(&self.outputs[index as usize]),
        }
    }

    /// The state of the next shorter suffix that still begins a needle.
    pub(super) fn shorter(&self, state: u32) -> u32 {
        self.nodes[state as usize].fail
    }

    /// The same state, or where it cannot be continued the one of its longest suffix that can: a needle that has ended holds
    /// nothing back.
    pub(super) fn open(&self, mut state: u32) -> u32 {
        while self.nodes[state as usize].only == LEAF {
            state = self.nodes[state as usize].fail;
        }
        state
    }

    /// Length of the longest needle.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// How many states there are.
    pub(super) fn states(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    fn step_class(&self, mut state: u32, class: u16) -> u32 {
        if class == FOREIGN {
            return 0;
        }
        loop {
            let node = &self.nodes[state as usize];
            if node.only == class {
                return node.next;
            }
            if node.only == DENSE {
                return self.rows[node.next as usize + usize::from(class)];
            }
            state = node.fail;
        }
    }

    /// Makes the states, without any fallback yet. Sorted needles share their beginnings with their neighbours, so the path of
    /// the last one is all that must be remembered.
    fn plant(&mut self, needles: &[Needle]) -> Trie {
        let mut keyed: Vec<(Vec<u16>, &Needle)> = needles
            .iter()
            .filter(|needle| needle.bytes.len() > NEAR)
            .map(|needle| (needle.bytes.iter().map(|&byte| self.class[usize::from(byte)]).collect(), needle))
            .collect();
        keyed.sort_by(|(a, left), (b, right)| a.cmp(b).then(right.strict.cmp(&left.strict)).then(left.label.cmp(&right.label)));
        keyed.dedup_by(|(later, _), (earlier, _)| later == earlier);

        let mut ends: Vec<u32> = Vec::with_capacity(keyed.len());
        let blank = Node { fail: 0, next: 0, depth: 0, output: 0, only: LEAF };
        self.nodes.push(blank.clone());
        let mut trie = Trie::default();
        trie.add(None, FOREIGN);
        for deepest in [NEAR, usize::MAX] {
            let mut path: Vec<u32> = vec![0];
            let mut last: &[u16] = &[];
            for (key, _) in &keyed {
                let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
                path.truncate(shared + 1);
                for &class in key.iter().take(deepest).skip(path.len() - 1) {
                    let parent = path.last().copied().unwrap_or_default();
                    let known = if path.len() <= NEAR { trie.child(parent, class) } else { None };
                    let child = known.unwrap_or_else(|| {
                        self.nodes.push(Node { depth: number(path.len()), ..blank.clone() });
                        trie.add(Some(parent), class)
                    });
                    path.push(child);
                }
                last = key;
                if let Some(&end) = path.get(key.len()) {
                    ends.push(end);
                }
            }
            self.near = if deepest == NEAR { number(self.nodes.len()) } else { self.near };
        }
        for ((_, needle), end) in keyed.iter().zip(ends) {
            self.nodes[end as usize].output = number(self.outputs.len());
            self.outputs.push(Output::of(needle));
        }
        trie
    }

    /// Adds the fallbacks, the rows and the inherited outputs, from the root outwards.
    fn link(&mut self, trie: &Trie) {
        self.rows = vec![0; self.near as usize * self.classes];
        let mut queue = VecDeque::from([0u32]);
        while let Some(state) = queue.pop_front() {
            let index = state as usize;
            let fail = self.nodes[index].fail;
            self.inherit(index, fail);
            let mut children = trie.children(state);
            for (class, child) in children.clone() {
                self.nodes[child as usize].fail = if state == 0 { 0 } else { self.step_class(fail, class) };
                queue.push_back(child);
            }
            if state < self.near || children.clone().count() > 1 {
                self.add_row(state, fail, children);
            } else if let Some((class, child)) = children.next() {
                self.nodes[index].only = class;
                self.nodes[index].next = child;
            }
        }
    }

    fn add_row(&mut self, state: u32, fail: u32, children: impl Iterator<Item = (u16, u32)>) {
        let row: Vec<u32> =
            (0u16..).take(self.classes).map(|class| if state == 0 { 0 } else { self.step_class(fail, class) }).collect();
        let mut offset = state as usize * self.classes;
        if state < self.near {
            self.rows[offset..offset + self.classes].copy_from_slice(&row);
        } else {
            offset = self.rows.len();
            self.rows.extend(row);
        }
        for (class, child) in children {
            self.rows[offset + usize::from(class)] = child;
        }
        self.nodes[state as usize].only = DENSE;
        self.nodes[state as usize].next = number(offset);
    }

    fn inherit(&mut self, index: usize, fail: u32) {
        let inherited = self.nodes[fail as usize].output;
        let own = self.nodes[index].output;
        if inherited == 0 || index == 0 {
            return;
        }
        if own == 0 {
            self.nodes[index].output = inherited;
            return;
        }
        let below = self.outputs[inherited as usize].clone();
        self.outputs[own as usize].add(&below);
    }
}

impl Output {
    fn of(needle: &Needle) -> Self {
        let found = Match { length: needle.bytes.len(), label: needle.label };
        let mut output = Self::default();
        if WORD_LENGTHS.contains(&found.length) {
            output.words[found.length - WORD_LENGTHS.start()] = Some(found);
        } else {
            output.whole = Some(found);
            output.strict = needle.strict.then_some(found);
        }
        output
    }

    /// Adds what ends in the longest proper suffix.
    fn add(&mut self, shorter: &Self) {
        self.whole = self.whole.or(shorter.whole);
        self.strict = self.strict.or(shorter.strict);
        for (word, other) in self.words.iter_mut().zip(shorter.words) {
            *word = word.or(other);
        }
    }
}

/// Who is whose child, needed only while the machine is built.
#[derive(Default)]
struct Trie {
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
    class: Vec<u16>,
}

impl Trie {
    fn add(&mut self, parent: Option<u32>, class: u16) -> u32 {
        let id = number(self.class.len());
        self.class.push(class);
        self.first_child.push(0);
        let older = parent.map_or(0, |parent| std::mem::replace(&mut self.first_child[parent as usize], id));
        self.next_sibling.push(older);
        id
    }

    fn child(&self, parent: u32, class: u16) -> Option<u32> {
        self.children(parent).find(|(other, _)| *other == class).map(|(_, child)| child)
    }

    /// The children of a state and the classes that lead to them. The root is nobody's child, so 0 ends a list.
    fn children(&self, state: u32) -> impl Iterator<Item = (u16, u32)> + Clone {
        let some = |id: u32| (id != 0).then_some(id);
        std::iter::successors(some(self.first_child[state as usize]), move |&child| some(self.next_sibling[child as usize]))
            .map(|child| (self.class[child as usize], child))
    }
}

/// Gives each byte that occurs a class of its own (one class to bytes that fold together).
fn classify(needles: &[Needle], fold: fn(u8) -> u8) -> ([u16; 256], usize) {
    let mut used = [false; 256];
    for &byte in needles.iter().flat_map(|needle| &needle.bytes) {
        used[usize::from(fold(byte))] = true;
    }
    let mut folded = [FOREIGN; 256];
    let mut classes = 1;
    for (class, _) in folded.iter_mut().zip(used).filter(|(_, used)| *used) {
        *class = classes;
        classes += 1;
    }
    let mut class = [FOREIGN; 256];
    for byte in 0..=u8::MAX {
        class[usize::from(byte)] = folded[usize::from(fold(byte))];
    }
    (class, usize::from(classes))
}

/// States, rows and outputs are numbered in 32 bits; sources are bounded so that this cannot overflow.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("secrets are bounded to far fewer bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(needles: &[&[u8]]) -> Automaton {
        let needles: Vec<Needle> =
            needles.iter().zip(0..).map(|(bytes, label)| Needle { bytes: bytes.to_vec(), label, strict: false }).collect();
        Automaton::new(&needles, |byte| byte)
    }

    #[test]
    fn an_empty_set_finds_nothing() {
        let machine = machine(&[]);
        assert_eq!(machine.step(0, b'a'), 0);
        assert!(!machine.starts_with(b'a'));
        assert_eq!(machine.longest(), 0);
    }

    #[test]
    fn folded_bytes_are_one() {
        let needles = [Needle { bytes: b"ab+cd/ef".to_vec(), label: 0, strict: false }];
        let machine = Automaton::new(&needles, |byte| if byte == b'-' { b'+' } else { byte });
        let state = b"ab-cd/ef".iter().fold(0, |state, &byte| machine.step(state, byte));
        assert_eq!(machine.output(state).and_then(|output| output.whole), Some(Match { length: 8, label: 0 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// The depth is the length of the longest suffix that begins a needle, and the output is the longest needle that ends
        /// here.
        #[test]
        fn depth_and_output_are_exact(
            needles in prop::collection::vec("[abc]{6,12}", 1..6),
            text in "[abcd]{0,60}",
        ) {
            let bytes: Vec<&[u8]> = needles.iter().map(String::as_bytes).collect();
            let machine = machine(&bytes);
            let mut state = 0;
            for end in 1..=text.len() {
                state = machine.step(state, text.as_bytes()[end - 1]);
                let before = &text[..end];
                let depth = (0..=end).find(|&from| needles.iter().any(|needle| needle.starts_with(&before[from..])));
                prop_assert_eq!(Some(machine.depth(state)), depth.map(|from| end - from));
                let longest = needles.iter().filter(|needle| before.ends_with(*needle)).map(String::len).max();
                prop_assert_eq!(machine.output(state).and_then(|output| output.whole).map(|found| found.length), longest);
            }
        }
    }
}
