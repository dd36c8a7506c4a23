(() => {
  const records = JSON.parse(byId("records").textContent);
  const rows = [...byId("runs").tBodies[0].rows];
  const visible = () => [...byId("runs").tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.getAttribute("data-run"));
  const filter = () => {
    const terms = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), kind = byId("kind").value;
    for (const row of rows) {
      const name = row.getAttribute("data-run").toLowerCase();
      row.hidden = !terms.every((term) => name.includes(term)) || (kind !== "" && row.getAttribute(`data-${kind}`) === "0");
    }
    byId("count").textContent = `${visible().length} of ${rows.length} runs`;
  };
  byId("search").addEventListener("input", filter);
  byId("kind").addEventListener("change", filter);
  const byRun = new Map();
  for (const record of records) byRun.set(record.run, [...(byRun.get(record.run) || []), record]);
  saving("runs", () => visible().flatMap((run) => byRun.get(run)));
  filter();

  // ---- rows side by side: runs with the same answer are one box
  const data = JSON.parse(byId("side-by-side").textContent);
  if (data.rows.length) {
    let found = data.rows, at = 0;
    const named = (run, bench, id) => {
      const page = data.pages[run], name = data.runs[run];
      return page ? make("a", { href: `${page}#${encodeURIComponent(bench)}/${encodeURIComponent(id)}` }, name) : name;
    };
    const draw = () => {
      const [number, id, question, target, image, groups] = found[at], bench = data.benches[number];
      const first = groups.find(([runs]) => runs.includes(data.baseline))[1];
      byId("place").textContent = `${at + 1} of ${found.length} rows`;
      byId("back").disabled = at === 0;
      byId("next").disabled = at === found.length - 1;
      byId("sample").replaceChildren(
        make("header", {}, make("h3", {}, `${bench} / ${oneLine(id)}`)),
        make("div", { class: "ask" }, picture(image, question),
          make("div", {}, ...paragraph("Question", question), ...paragraph("Expected", target))),
        make("div", { class: "arms" }, ...groups.map(([runs, answer, status]) => make("div", { class: "arm" },
          make("h4", {}, ...runs.flatMap((run, place) => (place ? [", ", named(run, bench, id)] : [named(run, bench, id)]))),
          status ? mark(status) : null,
          answer === null ? make("p", {}, "no answer")
            : first === null ? shown([[answer, true]]) : shown(difference(first, answer)[1], "ins")))),
      );
    };
    const go = (to) => { at = to; draw(); };
    byId("bench").addEventListener("change", () => {
      const bench = byId("bench").value;
      found = data.rows.filter((row) => bench === "" || row[0] === Number(bench));
      go(0);
    });
    byId("back").addEventListener("click", () => go(at - 1));
    byId("next").addEventListener("click", () => go(at + 1));
    draw();
  }
  document.documentElement.setAttribute("data-ready", "");
})();
