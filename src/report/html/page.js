'use strict';
(() => {
  const one = (what, of = document) => of.querySelector(what);
  const all = (what, of = document) => [...of.querySelectorAll(what)];
  const make = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const ROW = 18;
  const SPARE = 20;
  // A browser draws nothing that is higher than some millions of pixels.
  const MOST = 400000;

  // What the steps printed is read when it is first looked at.
  const known = new Map();
  const linesOf = (id) => {
    if (!known.has(id)) {
      const block = document.getElementById(id);
      const { cut, lines } = block ? JSON.parse(block.textContent) : { cut: 0, lines: [] };
      const more = Math.max(0, lines.length - MOST);
      known.set(id, { cut: cut + more, lines: more ? lines.slice(more) : lines });
    }
    return known.get(id);
  };
  const parts = (line) => {
    const blank = line.indexOf(' ');
    return { error: line[0] === 'E', ms: Number(line.slice(1, blank)), text: line.slice(blank + 1) };
  };
  const number = (n) => n.toLocaleString('en');
  const lineWord = (n) => `${number(n)} ${n === 1 ? 'line' : 'lines'}`;

  /// The lines of one step: only those in sight are in the document.
  class View {
    constructor(place) {
      this.place = place;
      this.id = place.dataset.of;
      this.wanted = null;
      this.pattern = null;
    }

    open() {
      if (this.scroll) return;
      const head = make('header');
      this.count = make('span');
      const end = make('button', '', 'To the end');
      const copy = make('button', '', 'Copy');
      end.type = copy.type = 'button';
      end.addEventListener('click', () => { this.scroll.scrollTop = this.scroll.scrollHeight; });
      copy.addEventListener('click', () => this.copy(copy));
      head.append(this.count, end, copy);
      this.scroll = make('div', 'scroll');
      this.scroll.tabIndex = 0;
      this.scroll.setAttribute('role', 'region');
      this.scroll.setAttribute('aria-label', 'Output');
      this.space = make('div', 'space');
      this.rows = make('div', 'rows');
      this.scroll.append(this.space, this.rows);
      this.place.append(head, this.scroll);
      this.scroll.addEventListener('scroll', () => this.draw(), { passive: true });
      this.show(this.wanted, this.pattern, true);
    }

    /// Shows all lines, or only those whose numbers are `wanted`, with what `pattern` finds in them marked.
    show(wanted, pattern, toEnd) {
      this.wanted = wanted;
      this.pattern = pattern;
      if (!this.scroll) return;
      const { cut, lines } = linesOf(this.id);
      const shown = wanted ? wanted.length : lines.length;
      const before = cut > 0 ? `, ${number(cut)} before them left out` : '';
      this.count.textContent = wanted ? `${lineWord(shown)} of ${number(lines.length)}` : lineWord(shown) + before;
      this.space.style.height = `${Math.max(1, shown) * ROW}px`;
      this.scroll.scrollTop = wanted || !toEnd ? 0 : this.scroll.scrollHeight;
      this.drawn = '';
      this.draw();
    }

    draw() {
      const { lines } = linesOf(this.id);
      const shown = this.wanted ? this.wanted.length : lines.length;
      const from = Math.max(0, Math.floor(this.scroll.scrollTop / ROW) - SPARE);
      const height = this.scroll.clientHeight || 540;
      const to = Math.min(shown, from + Math.ceil(height / ROW) + 2 * SPARE);
      if (this.drawn === `${from} ${to}`) return;
      this.drawn = `${from} ${to}`;
      this.rows.style.top = `${from * ROW}px`;
      const rows = [];
      for (let n = from; n < to; n += 1) rows.push(this.row(lines[this.wanted ? this.wanted[n] : n]));
      this.rows.replaceChildren(...rows);
    }

    row(line) {
      const { error, ms, text } = parts(line);
      const row = make('div', error ? 'row err' : 'row');
      row.append(make('time', '', ms < 60000 ? `+${(ms / 1000).toFixed(2)}s` : `+${Math.floor(ms / 60000)}m${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}s`));
      const words = make('span');
      if (this.pattern) {
        let from = 0;
        for (const found of text.matchAll(this.pattern)) {
          words.append(text.slice(from, found.index), make('mark', '', found[0]));
          from = found.index + found[0].length;
        }
        words.append(text.slice(from));
      } else {
        words.textContent = text;
      }
      row.append(words);
      return row;
    }

    async copy(button) {
      const { lines } = linesOf(this.id);
      const chosen = this.wanted ? this.wanted.map((n) => lines[n]) : lines;
      try {
        await navigator.clipboard.writeText(chosen.map((line) => parts(line).text).join('\n'));
        button.textContent = 'Copied';
      } catch {
        button.textContent = 'Not allowed here';
      }
    }
  }

  const views = new Map(all('.printed').map((place) => [place, new View(place)]));
  const opened = (step) => {
    const place = one('.printed', step);
    if (place && step.open) views.get(place).open();
  };
  const steps = all('details.step');
  for (const step of steps) {
    step.addEventListener('toggle', () => opened(step));
    opened(step);
  }

  // A bar of the timeline leads to its step.
  const lead = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
    target.scrollIntoView({ block: 'start' });
    one('summary', target)?.focus({ preventScroll: true });
  };
  addEventListener('hashchange', lead);
  for (const link of all('a[href^="#"]')) link.addEventListener('click', () => { if (link.getAttribute('href') === location.hash) lead(); });
  lead();

  // Switches of hosts.
  const switches = all('.switches input');
  const off = new Set();
  const apply = () => {
    off.clear();
    for (const input of switches) if (!input.checked) off.add(input.value);
    for (const of of all('[data-host]')) of.hidden = off.has(of.dataset.host);
    search();
  };
  for (const input of switches) input.addEventListener('change', () => apply());
  for (const button of all('.switches button')) {
    button.addEventListener('click', () => {
      for (const input of switches) input.checked = button.dataset.hosts === 'all' || !input.nextElementSibling.classList.contains('ok');
      apply();
    });
  }

  // Search: what does not match is folded away, and of what was printed only the lines stay that do.
  const box = one('#q');
  const found = one('#found');
  let before = null;
  const restore = () => {
    for (const of of all('.nothing')) of.classList.remove('nothing');
    for (const step of steps) step.hidden = false;
    for (const view of views.values()) if (view.wanted || view.pattern) view.show(null, null, true);
    if (before) for (const [of, open] of before) of.open = open;
    before = null;
    found.textContent = '';
  };
  function search() {
    const words = box.value.trim();
    if (!words) {
      restore();
      return;
    }
    before ??= new Map([...steps, ...all('details.host')].map((of) => [of, of.open]));
    const escaped = words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const test = new RegExp(escaped, 'i');
    let lines = 0;
    let hits = 0;
    const hosts = new Set(all('details.host'));
    for (const step of steps) {
      const host = step.closest('.host');
      const place = one('.printed', step);
      const view = place && views.get(place);
      const numbers = [];
      if (view) linesOf(view.id).lines.forEach((line, n) => { if (test.test(line.slice(line.indexOf(' ') + 1))) numbers.push(n); });
      const named = test.test(one('summary', step).textContent) || test.test(one('.command', step)?.textContent ?? '');
      const hit = numbers.length > 0 || named;
      step.hidden = !hit;
      if (view) view.show(numbers.length > 0 ? numbers : null, new RegExp(escaped, 'gi'), true);
      if (hit) hosts.delete(host);
      if (!hit || off.has(host.dataset.host)) continue;
      lines += numbers.length;
      hits += 1;
      host.open = true;
      if (hits <= 12) step.open = true;
    }
    for (const host of all('details.host')) host.classList.toggle('nothing', hosts.has(host));
    found.textContent = hits ? `${lineWord(lines)}, ${hits} ${hits === 1 ? 'step' : 'steps'}` : 'nothing found';
  }
  let soon = 0;
  box.addEventListener('input', () => {
    clearTimeout(soon);
    soon = setTimeout(search, 120);
  });
  addEventListener('keydown', (event) => {
    const typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== 'checkbox';
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === 'Escape' && box.value) {
      box.value = '';
      search();
    }
  });
})();
