(() => {
  const records = JSON.parse(byId("records").textContent);
  const rows = [...byId("runs").tBodies[0].rows];
  const shown = () => [...byId("runs").tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.getAttribute("data-run"));
  const filter = () => {
    const terms = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), kind = byId("kind").value;
    for (const row of rows) {
      const name = row.getAttribute("data-run").toLowerCase();
      row.hidden = !terms.every((term) => name.includes(term)) || (kind !== "" && row.getAttribute(`data-${kind}`) === "0");
    }
    byId("count").textContent = `${shown().length} of ${rows.length} runs`;
  };
  byId("search").addEventListener("input", filter);
  byId("kind").addEventListener("change", filter);
  const byRun = new Map();
  for (const record of records) byRun.set(record.run, [...(byRun.get(record.run) || []), record]);
  saving("runs", () => shown().flatMap((run) => byRun.get(run)));
  filter();
  document.documentElement.setAttribute("data-ready", "");
})();
