(() => {
  const ROW = 60;
  const SPARE = 8;
  const data = JSON.parse(byId("samples").textContent);

  // A row of the data is an array; 0 for an "after" means that it equals the "before". Of fifty
  // thousand rows a reader looks at few, so what an arm said is unpacked when it is asked for.
  const named = (names, values) => Object.fromEntries(names.map((name, at) => [name, values[at]]));
  const FIELD = Object.fromEntries(data.fields.map((name, at) => [name, at]));
  const [ANSWER, STATE] = [data.side.indexOf("answer"), data.side.indexOf("state")];
  const sideOf = (values, bench) => {
    if (values === null) return null;
    const side = named(data.side, values);
    side.scores = named(data.metrics[bench], side.scores);
    return side;
  };
  class Sample {
    constructor(row) {
      this.row = row;
      this.bench = data.benches[row[FIELD.bench]];
      for (const name of ["id", "status", "label", "question", "target", "groups", "image"]) this[name] = row[FIELD[name]];
    }
    raw(arm) { return arm === "after" && this.row[FIELD.after] === 0 ? this.row[FIELD.before] : this.row[FIELD[arm]]; }
    get before() { return sideOf(this.raw("before"), this.row[FIELD.bench]); }
    get after() { return sideOf(this.raw("after"), this.row[FIELD.bench]); }
    get answers() { return ["before", "after"].map((arm) => this.raw(arm)).map((side) => (side === null ? null : side[ANSWER])); }
    get states() { return ["before", "after"].map((arm) => this.raw(arm)).filter((side) => side !== null).map((side) => side[STATE]); }
  }
  const samples = data.rows.map((row) => new Sample(row));
  // What all questions of a benchmark begin or end with says nothing in a list.
  const shared = (texts, at) => {
    let length = Math.min(...texts.map((text) => text.length));
    for (const text of texts) {
      let same = 0;
      while (same < length && at(text, same) === at(texts[0], same)) same += 1;
      length = same;
    }
    return length;
  };
  for (const bench of data.benches) {
    const own = samples.filter((sample) => sample.bench === bench);
    if (!own.length) continue;
    const asked = own.map((sample) => sample.question);
    const alike = asked.every((question) => question === asked[0]);
    const head = shared(asked, (text, at) => text[at]);
    const front = asked[0].slice(0, head).search(/\S+$/);
    const begin = front < 0 ? head : front;
    const tail = shared(asked.map((text) => text.slice(begin)), (text, at) => text[text.length - 1 - at]);
    const behind = asked[0].slice(asked[0].length - tail).search(/\s/);
    const end = behind < 0 ? 0 : tail - behind;
    // Where all are asked the same, what is expected and the row tell them apart.
    for (const sample of own) {
      sample.title = (alike ? "" : sample.question.slice(begin, sample.question.length - end))
        || (own.length > 1 ? `${sample.id}: ${sample.target || sample.question}` : sample.question);
    }
  }
  const addressOf = (sample) => `#${encodeURIComponent(sample.bench)}/${encodeURIComponent(sample.id)}`;
  const sides = (sample) => [sample.before, sample.after];

  // ---- the pairs: mark what the rejected answer says otherwise
  for (const pair of document.querySelectorAll(".pair")) {
    const chosen = pair.querySelector("[data-said=chosen]"), rejected = pair.querySelector("[data-said=rejected]");
    if (!chosen || !rejected) continue;
    const [good, bad] = difference(chosen.textContent, rejected.textContent);
    chosen.replaceWith(shown(good, "ins"));
    rejected.replaceWith(shown(bad, "del"));
  }

  if (!byId("list")) return;

  // ---- one sample
  const titled = (name) => ({ before: "Before", after: "After" }[name] || name);
  const number = (value) => (value === null || value === undefined ? "–" : String(Math.round(value * 1e4) / 1e4));
  const arm = (name, side, said) => {
    const box = make("div", { class: "arm" }, make("h4", {}, name));
    if (side === null) {
      box.append(make("p", { class: "quiet" }, "This row was not asked here."));
      return box;
    }
    if (side.answer === null) box.append(make("p", {}, mark("missing"), " no answer"));
    else box.append(said);
    if (side.error) box.append(...paragraph("Why something is missing", side.error));
    const state = side.state === "cut" ? "cut at the limit" : side.state;
    box.append(make("p", { class: "quiet" }, `${state}, ${side.tokens} tokens`));
    if (side.thought) box.append(...paragraph("Reasoning before the answer, not scored", side.thought));
    const judged = make("div", { class: "judged" });
    judged.append(make("p", { class: "label" }, `Verdict by ${side.judge}`));
    const list = make("dl", { class: "facts" });
    for (const [metric, value] of Object.entries(side.scores)) {
      list.append(make("dt", {}, metric), make("dd", {}, number(value)));
    }
    judged.append(list);
    if (side.verdict) judged.append(...paragraph("Explanation", side.verdict));
    box.append(judged);
    return box;
  };
  const draw = (sample) => {
    const [before, after] = sides(sample);
    const link = make("a", { href: addressOf(sample) }, `${sample.bench} / ${oneLine(sample.id)}`);
    const back = make("button", { type: "button" }, "‹ Previous"), next = make("button", { type: "button" }, "Next ›");
    back.addEventListener("click", () => step(-1));
    next.addEventListener("click", () => step(1));
    back.disabled = place <= 0;
    next.disabled = place >= found.length - 1;
    const groups = groupsOf(sample).join("; ");
    const ask = make("div", {}, ...paragraph("Question", sample.question), ...paragraph("Expected", sample.target));
    if (groups) ask.append(...paragraph("Category", groups));
    const texts = sample.answers;
    const [one, two] = texts.includes(null)
      ? texts.map((text) => [[text === null ? "" : text, true]])
      : difference(texts[0], texts[1]);
    const pane = byId("sample");
    pane.replaceChildren(
      make("header", {}, make("h3", {}, link), mark(sample.status, sample.label), make("span", { class: "chips" }, back, next)),
      make("div", { class: "ask" }, picture(sample.image, sample.question), ask),
      make("div", { class: "arms" }, data.alone ? null : arm(titled(data.arms[0]), before, shown(one, "del")),
        arm(data.alone ? "Answer" : titled(data.arms[1]), after, shown(two, "ins"))),
    );
  };

  // ---- filter, list, selection
  let found = [];
  let place = -1;
  let status = "all";
  let texts = null;
  const CHANGED = ["fixed", "broken", "missing"];
  const choices = { label: byId("label"), state: byId("state"), group: byId("group") };
  const groupsOf = (sample) => Object.entries(sample.groups).map(([key, value]) => `${key}: ${value}`);
  const offers = {
    label: (sample) => (sample.label ? [sample.label] : []),
    state: (sample) => sample.states,
    group: groupsOf,
  };
  // A filter with nothing to choose between is left out; what is offered is what the samples have.
  for (const [name, select] of Object.entries(choices)) {
    const every = new Set();
    for (const sample of samples) for (const one of offers[name](sample)) every.add(one);
    const known = [...every].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    select.append(...known.map((text) => make("option", { value: text }, oneLine(text))));
    select.parentElement.hidden = known.length < (name === "label" ? 1 : 2);
    select.addEventListener("change", () => { filter(); addressed(); });
  }
  const list = byId("list"), inner = byId("rows"), search = byId("search"), bench = byId("bench"), differ = byId("differ");
  const searchable = (sample) => [
    sample.bench, sample.id, sample.question, sample.target, sample.label,
    ...Object.entries(sample.groups).flat(),
    ...sides(sample).flatMap((side) => (side === null ? [] : [side.answer, side.verdict, side.error, side.judge, side.thought, side.state])),
  ].filter(Boolean).join("\n").toLowerCase();
  const filter = () => {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (terms.length && texts === null) texts = samples.map(searchable);
    const rest = [];
    const counts = { all: 0, changed: 0, fixed: 0, broken: 0, unchanged: 0, answered: 0, missing: 0 };
    const chosen = Object.entries(choices).filter(([, select]) => select.value !== "");
    samples.forEach((sample, at) => {
      if (bench.value !== "" && sample.bench !== data.benches[Number(bench.value)]) return;
      if (differ && differ.checked && sample.answers[0] === sample.answers[1]) return;
      if (!chosen.every(([name, select]) => offers[name](sample).includes(select.value))) return;
      if (!terms.every((term) => texts[at].includes(term))) return;
      const changed = CHANGED.includes(sample.status);
      counts.all += 1;
      counts[sample.status] += 1;
      counts.changed += Number(changed);
      if (status === "all" || sample.status === status || (status === "changed" && changed)) rest.push(at);
    });
    const current = found[place];
    found = rest;
    for (const button of document.querySelectorAll("[data-status]")) {
      const name = button.getAttribute("data-status");
      button.setAttribute("aria-pressed", String(name === status));
      button.querySelector("span").textContent = counts[name].toLocaleString("en");
    }
    byId("count").textContent = `${found.length.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples`;
    inner.style.height = `${found.length * ROW}px`;
    list.scrollTop = 0;
    choose(Math.max(0, found.indexOf(current)), false);
  };
  const paint = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
    const rows = [];
    for (let at = first; at < last; at += 1) {
      const sample = samples[found[at]];
      const [one, two] = sample.answers.map(oneLine);
      const row = make(
        "div",
        { class: "row", role: "option", id: `row-${at}`, "aria-selected": String(at === place),
          "aria-setsize": String(found.length), "aria-posinset": String(at + 1) },
        make("div", {}, oneLine(sample.title)),
        make("div", { class: "small" }, mark(sample.status), make("span", {}, sample.bench),
          make("span", {}, data.alone || one === two ? two : `${one} → ${two}`)),
      );
      row.style.top = `${at * ROW}px`;
      row.addEventListener("click", () => choose(at, true, true));
      rows.push(row);
    }
    if (!found.length) rows.push(make("div", { class: "empty", role: "option", "aria-disabled": "true" }, "No sample fits."));
    inner.replaceChildren(...rows);
    if (place >= first && place < last) list.setAttribute("aria-activedescendant", `row-${place}`);
    else list.removeAttribute("aria-activedescendant");
  };
  const choose = (at, address, clicked = false) => {
    place = found.length ? Math.min(Math.max(at, 0), found.length - 1) : -1;
    if (place < 0) {
      byId("sample").replaceChildren(make("p", { class: "quiet" }, "No sample fits the filter."));
      paint();
      return;
    }
    const top = place * ROW;
    if (Math.abs(top - list.scrollTop) > 2 * list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
    else if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    paint();
    draw(samples[found[place]]);
    if (address) try { history.replaceState(null, "", addressOf(samples[found[place]])); } catch { /* about:blank */ }
    const narrow = matchMedia("(max-width: 760px)").matches;
    if (clicked && narrow) byId("sample").scrollIntoView({ block: "start" });
  };
  const step = (by) => choose(place + by, true);
  // ---- the address: a sample by its benchmark and id, or the filter
  const SHOW = "#show?";
  const addressed = () => {
    const asked = new URLSearchParams();
    if (status !== "all") asked.set("status", status);
    if (bench.value !== "") asked.set("bench", data.benches[Number(bench.value)]);
    for (const [name, select] of Object.entries(choices)) if (select.value !== "") asked.set(name, select.value);
    if (differ && differ.checked) asked.set("differ", "1");
    if (search.value) asked.set("search", search.value);
    try { history.replaceState(null, "", SHOW + asked.toString()); } catch { /* about:blank */ }
  };
  const ask = (asked) => {
    const wanted = data.benches.indexOf(asked.get("bench"));
    bench.value = wanted < 0 ? "" : String(wanted);
    for (const [name, select] of Object.entries(choices)) {
      select.value = asked.get(name) || "";
      if (select.selectedIndex < 0) select.value = "";
    }
    if (differ) differ.checked = asked.get("differ") === "1";
    search.value = asked.get("search") || "";
    const named = asked.get("status");
    status = [...document.querySelectorAll("[data-status]")].some((one) => one.getAttribute("data-status") === named) ? named : "all";
    filter();
  };
  const go = (scroll) => {
    const raw = location.hash;
    if (raw.startsWith(SHOW)) {
      ask(new URLSearchParams(raw.slice(SHOW.length)));
      if (scroll) byId("samples-title").scrollIntoView({ block: "start" });
      return;
    }
    const at = raw ? samples.findIndex((sample) => addressOf(sample) === raw) : -1;
    if (at < 0) return;
    if (!found.includes(at)) ask(new URLSearchParams());
    choose(found.indexOf(at), false);
    if (scroll) byId("sample").scrollIntoView({ block: "start" });
  };

  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { filter(); addressed(); }, 80); });
  bench.addEventListener("change", () => { filter(); addressed(); });
  if (differ) differ.addEventListener("change", () => { filter(); addressed(); });
  for (const button of document.querySelectorAll("[data-status]")) {
    button.addEventListener("click", () => { status = button.getAttribute("data-status"); filter(); addressed(); });
  }
  saving("samples", () => found.map((at) => samples[at]).map((sample) => {
    const row = { benchmark: sample.bench, id: sample.id, status: sample.status, reason: sample.label,
      category: groupsOf(sample).join("; "), question: sample.question, expected: sample.target };
    for (const [name, side] of [["before", sample.before], ["after", sample.after]]) {
      if (side === null || (data.alone && name === "before")) continue;
      row[name] = side.answer;
      row[`${name}_state`] = side.state;
      for (const [metric, value] of Object.entries(side.scores)) row[`${name}_${metric}`] = value;
    }
    return row;
  }));
  let painting = false;
  list.addEventListener("scroll", () => {
    if (painting) return;
    painting = true;
    requestAnimationFrame(() => { painting = false; paint(); });
  }, { passive: true });
  addEventListener("resize", paint);
  addEventListener("hashchange", () => go(true));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inList = event.target === list;
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const steps = { j: 1, k: -1 };
    if (inList) Object.assign(steps, { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -found.length, End: found.length });
    if (event.key in steps) { event.preventDefault(); step(steps[event.key]); }
    if (event.key === "/") { event.preventDefault(); search.focus(); }
  });
  if (!data.alone && samples.some((sample) => CHANGED.includes(sample.status))) status = "changed";
  filter();
  choose(found.findIndex((at) => CHANGED.includes(samples[at].status)), false);
  go(true);
  document.documentElement.setAttribute("data-ready", "");
})();
