// The parts of the page together: what is chosen, what is shown of it, and the address that keeps it.
(() => {
  const find = (id) => document.getElementById(id);
  const state = { filter: {}, square: null, cell: null, cursor: null, unknown: [] };
  const { keys, place: placeOf } = cube, drawn = { data: null, place: null, svg: null }, savers = [], described = {};
  const VEGA = ["rules", "v_curve", "histogram", "weights"];

  // ------------------------------------------------------------------------------------------------ what can be chosen

  const filters = find("filters");
  const selects = Object.fromEntries(keys.filter((key) => key.swept).map((key) => {
    const label = add(filters, "label", key.title), select = add(label, "select");
    select.setAttribute("aria-label", key.title); // without the names of its values
    add(select, "option", "all").value = "";
    key.values.forEach((value, code) => { add(select, "option", value).value = code; });
    select.addEventListener("change", () => {
      if (select.value === "") delete state.filter[key.name];
      else state.filter[key.name] = Number(select.value);
      Object.assign(state, { square: null, unknown: [] });
      changed();
    });
    return [key.name, select];
  }));
  const clear = () => { Object.assign(state, { filter: {}, square: null, unknown: [] }); changed(); };
  const clearing = button(filters, "clear the filter", () => { clear(); find("chart-detection").focus(); });
  button(find("nothing"), "clear the filter", clear);
  filters.hidden = !Object.keys(selects).length;

  // ----------------------------------------------------------------------------------------------------------- address

  const named = (codes) => Object.entries(codes).map(([name, code]) => [name, keys[placeOf[name]].values[code]]);
  // A setting in words: its value, with its name where that is not clear.
  const told = (name, title, value) => (FIRST_KEYS.includes(name) || name === "bug" ? value : `${title} ${value}`);
  const filterWords = () => named(state.filter).map(([name, value]) => told(name, keys[placeOf[name]].title, value)).join(", ");

  function toAddress() {
    const said = new URLSearchParams(named(state.filter));
    if (state.square) named(state.square).forEach(([name, value]) => said.set(`at.${name}`, value));
    if (state.picked) said.set("cell", state.cell);
    const text = said.toString();
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  function fromAddress() {
    const { filter, square, cell, unknown } = address.read(location.hash.slice(1), (id) => rowOf(id) >= 0, (id, filter, square) => cube.chosen(filter, square)[combination[rowOf(id)]] === 1);
    Object.assign(state, { filter, square, cell, unknown, picked: cell !== null });
  }

  // What the keyboard and the eye go to.
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  function reveal(heading, atOnce) {
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: "start", behavior: atOnce || still.matches ? "auto" : "smooth" });
  }

  // ------------------------------------------------------------------------------------------------------------ tables

  const cells = table("cells", "The cells, what deserves a look first on top", { pick: choose, long: ["diagnosis"], clear });
  const rules = table("rules", "What each rule says of the cells of each bug", { clear });
  const curve = table("curve", "Medians of error and bound by scheme and step", { clear });
  const verdicts = table("verdicts", "Cells by verdict", { clear });
  const problems = table("problems", "Cells without a result, by reason", { long: ["message"], clear });
  const ofCell = table("weights", "The weights of the cell");
  const provenance = table("provenance", "What is recorded of the run", { long: ["value"] });
  const { rows, of } = content.cells, combination = unpack(content.cells.combination), ofProblem = unpack(content.problems.combination);
  const [idAt, outcomeAt, diagnosisAt] = ["cell", "outcome", "diagnosis"].map((name) => content.cells.columns.indexOf(name));
  const rowOf = (cell) => content.cells.rows.findIndex((row) => row[0] === cell);

  const stored = (() => {
    const { cells: ids, names, numbers, reasons } = content.weights, each = unpack(content.weights.drawn), counts = unpack(content.weights.of);
    const name = unpack(content.weights.name), verdict = unpack(content.weights.verdict), columns = unpacked(numbers), at = new Map();
    const accept = unpack(content.weights.accept), reason = unpack(content.weights.reason);
    let start = 0;
    ids.forEach((cell, i) => { at.set(cell, { start, n: each[i], of: counts[i], accept: accept[i] }); start += each[i]; });
    const known = (value) => (Number.isFinite(value) ? value : null);
    const written = (value) => (Number.isNaN(value) ? null : Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf");
    const weight = (i, some) => ({ weight: names[name[i]], verdict: content.verdicts[verdict[i]] || "-", reason: reason[i] ? reasons[reason[i] - 1] : null, ...some });
    return {
      has: (cell) => at.has(cell) && at.get(cell).n > 0,
      of: (cell) => at.get(cell).of,
      table: (cell) => ofWeights(at.get(cell), (i) => weight(i, Object.fromEntries(Object.keys(columns).map((one) => [one === "weight" ? "value" : one, columns[one][i]]))), written),
      rows: (cell) => Array.from({ length: at.get(cell).n }, (_, order) => {
        const i = at.get(cell).start + order;
        return weight(i, { row: "", column: "", order, ...Object.fromEntries(DRAWN.map((one) => [one, known(columns[one][i])])) });
      }),
    };
  })();

  // Cells without a result, by reason.
  function reasons(mask) {
    const found = new Map();
    content.problems.rows.forEach(([status, n, message, example], i) => {
      if (!mask[ofProblem[i]]) return;
      const key = `${status}\u0000${message}`;
      if (!found.has(key)) found.set(key, [status, 0, message, example]);
      found.get(key)[1] += n;
    });
    return { ...content.problems, rows: [...found.values()].sort((a, b) => compare(a[0], b[0], 1) || b[1] - a[1]), of: undefined };
  }

  // The cell that tells most among the chosen: rows stand in that order.  One whose weights are on the page is shown before others.
  const telling = (those) => those.find((i) => stored.has(rows[i][idAt])) ?? those[0];

  function choose(i) {
    Object.assign(state, { cell: rows[i][idAt], picked: true, unknown: [] });
    weights();
    status();
    toAddress();
    reveal(find("weights-heading"));
  }
  find("weights-section").addEventListener("keydown", (event) => { if (event.key === "Escape") cells.toRow(); });
  find("cells-section").addEventListener("keydown", (event) => { if (event.key === "Escape" && event.target.closest("tbody")) heat.focus(); });

  // ------------------------------------------------------------------------------------------------------- the picture

  const heat = find("chart-detection"), tip = find("tip"), at = find("at");

  function picture(mask) {
    drawn.data = cube.detection(mask);
    if (state.square) settle();
    draw();
  }

  // The square of an address, which may name one that is not drawn.
  function settle() {
    const found = matrix.find(drawn.data, { ...state.filter, ...state.square });
    const own = found && matrix.values(drawn.data, found), further = own && Object.keys(state.square).some((name) => own[name] === undefined);
    state.square = further && !cube.cells(cube.chosen(state.filter, state.square)).computed ? null : own;
  }

  function draw() {
    const { data } = drawn;
    if (!data.panels.length) { heat.replaceChildren(); drawn.svg = null; return; }
    drawn.place = matrix.layout(data, charts.width());
    drawn.svg = matrix.draw(data, drawn.place, charts.theme());
    drawn.svg.setAttribute("aria-hidden", "true");
    heat.replaceChildren(drawn.svg);
    heat.dataset.drawn = charts.theme();
    const chosen = state.square && matrix.find(data, { ...state.filter, ...state.square });
    if (chosen) matrix.box(drawn.svg, drawn.place, chosen, "chosen");
    outline();
    if (document.activeElement === heat) walk(state.cursor || { p: 0, b: 0, e: 0 });
  }

  // The square of the cell that is shown is outlined, and told where none is walked to.
  function outline() {
    if (!drawn.svg || !drawn.data.panels.length) return;
    const i = state.cell === null ? -1 : rowOf(state.cell), own = i < 0 ? null : matrix.find(drawn.data, cube.values(combination[i]));
    drawn.svg.querySelectorAll(".shown").forEach((one) => one.remove());
    if (own) matrix.box(drawn.svg, drawn.place, own, "shown");
    if (document.activeElement !== heat) at.textContent = own ? `Outlined, of the cell below: ${matrix.words(drawn.data, own)}` : "";
  }

  function walk(to) {
    const { data, place, svg } = drawn;
    if (!svg || !data.panels.length) return;
    state.cursor = { p: Math.min(to.p, data.panels.length - 1), b: Math.min(to.b, data.bugs.length - 1), e: Math.min(to.e, data.steps.length - 1) };
    matrix.box(svg, place, state.cursor, "cursor");
    at.textContent = matrix.words(data, state.cursor);
  }

  function pick(square, byKey) {
    state.square = square && matrix.values(drawn.data, square);
    Object.assign(state, { picked: false, unknown: [] });
    changed(false);
    if (square && byKey) cells.toRow();
    else if (square) find("cells-section").scrollIntoView({ block: "nearest" });
  }

  heat.addEventListener("focus", () => walk(state.cursor || { p: 0, b: 0, e: 0 }));
  heat.addEventListener("blur", () => {
    if (drawn.svg) drawn.svg.querySelectorAll(".cursor").forEach((one) => one.remove());
    setTimeout(outline); // when it has lost the focus
  });
  heat.addEventListener("keydown", (event) => {
    if (!drawn.svg) return;
    const to = matrix.moved(drawn.data, drawn.place, state.cursor || { p: 0, b: 0, e: 0 }, event.key);
    if (to) { event.preventDefault(); walk(to); } else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(state.cursor, true); } else if (event.key === "Escape") pick(null);
  });
  const under = (event) => {
    if (!drawn.svg) return null;
    const box = drawn.svg.getBoundingClientRect();
    return matrix.hit(drawn.data, drawn.place, event.clientX - box.left, event.clientY - box.top);
  };
  heat.addEventListener("mousemove", (event) => {
    const square = under(event);
    tip.hidden = !square;
    heat.style.cursor = square ? "pointer" : "";
    if (!square) return;
    tip.textContent = matrix.words(drawn.data, square);
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
  });
  heat.addEventListener("mouseleave", () => { tip.hidden = true; });
  heat.addEventListener("click", (event) => { const square = under(event); if (square) { state.cursor = square; pick(square); } });
  const allSquares = button(find("square"), "all squares", () => pick(null));

  // ----------------------------------------------------------------------------------------------------- one cell, status

  // The settings of a cell in the order of the keys, those too that are the same in every cell.
  function settings(row) {
    const own = content.cells.columns.map((name, k) => [name, content.cells.titles[k], row[k]]);
    return [...own, ...content.cells.constant].filter(([name]) => placeOf[name] !== undefined).sort(([a], [b]) => placeOf[a] - placeOf[b])
      .map(([name, title, value]) => told(name, title, shown(value, name))).join(", ");
  }

  function weights() {
    const i = state.cell === null ? -1 : rowOf(state.cell), note = find("weights-note"), words = find("says-weights");
    cells.mark(i < 0 ? undefined : i);
    const found = i >= 0 && stored.has(state.cell) ? stored.rows(state.cell) : [];
    find("weights-figure").hidden = find("weights").hidden = !found.length;
    const own = i < 0 ? "" : settings(rows[i]);
    note.textContent = i < 0 ? (rows.length ? "No chosen cell was computed." : "No cell was computed.")
      : found.length ? `Cell ${state.cell}: ${own}; ${rows[i][outcomeAt]}. ${rows[i][diagnosisAt] || ""}`
      : rows[i][outcomeAt] === "failed" || rows[i][outcomeAt] === "skipped" ? `Cell ${state.cell}: ${own}; ${rows[i][outcomeAt]}: ${rows[i][diagnosisAt]}. It has no weights.`
        : `Cell ${state.cell}: ${own}; ${rows[i][outcomeAt]}. Its weights are not on this page: python -m gradcheck.show RUN_DIR --cell ${state.cell}`;
    say(words, "");
    if (found.length) {
      say(words, says.weights(found, stored.of(state.cell)));
      ofCell.fill(stored.table(state.cell));
    }
    find("find-cell").textContent = i < 0 ? "" : state.cell;
    savers.forEach((name) => name());
    outline();
    return charts.update("weights", found);
  }

  // --------------------------------------------------------------------------------------------------------- all at once

  let serial = 0;
  const varied = ["run", "model", "bug", "eps"].filter((name) => placeOf[name] !== undefined && keys[placeOf[name]].swept), by = varied.length ? varied : ["bug"];

  // What is chosen and what was found there; what of an address was not understood.
  function status() {
    const some = filterWords(), mask = cube.chosen(state.filter);
    find("chosen").textContent = [some ? `${some}: ${counted(cube.cells(mask).all, "cell")}. ${cube.answer(mask)}` : "", address.says(state.unknown)].filter(Boolean).join(" ");
  }

  async function changed(whole = true) {
    const begun = performance.now(), own = ++serial, mask = cube.chosen(state.filter), { computed } = cube.cells(mask);
    const done = [];
    for (const [name, select] of Object.entries(selects)) select.value = state.filter[name] ?? "";
    const some = Object.keys(state.filter).length > 0;
    clearing.hidden = !some;
    status();
    find("nothing").hidden = computed > 0 || !some;
    if (whole) {
      find("detection-figure").hidden = !computed;
      picture(mask);
      say(find("says-detection"), computed ? matrix.says(drawn.data) : "No cell was computed.");
      find("detection-heading").textContent = cube.kinds(mask)[1] || cube.present("bug", mask).length > 1 ? "Which bug is caught at which step" : cube.present("eps", mask).length > 1 ? "What was found at which step" : "What was found";
      verdicts.fill(cube.verdicts(mask, by));
      rules.fill(cube.ruleTable(mask));
      problems.fill(reasons(mask));
    } else draw();
    const narrow = state.square ? cube.chosen(state.filter, state.square) : mask;
    allSquares.hidden = find("square-words").hidden = !state.square;
    const chosen = state.square && matrix.find(drawn.data, { ...state.filter, ...state.square });
    find("square-words").textContent = chosen ? matrix.words(drawn.data, chosen) : "";
    const square = state.square ? Object.entries(state.square) : [];
    cells.state.keep = (i) => narrow[combination[i]] === 1 && (!square.length || (rows[i][outcomeAt] !== "failed" && rows[i][outcomeAt] !== "skipped"));
    cells.state.limit = SHOWN;
    cells.draw();
    const those = cells.chosen();
    if (!state.picked || !those.includes(rowOf(state.cell))) { state.picked = false; const first = telling([...those].sort((a, b) => a - b)); state.cell = first === undefined ? null : rows[first][idAt]; }
    done.push(weights());
    if (whole) {
      const figures = { rules: cube.rulePoints(mask), v_curve: cube.vPoints(mask), histogram: cube.histogram(mask) };
      for (const name of Object.keys(figures)) say(find(`says-${name}`), says[name](figures[name]));
      drawn.curve = () => curve.fill(cube.curveTable(figures.v_curve, mask));
      if (find("curve-details").open) drawn.curve(); // else when it is opened: a filter is answered sooner
      for (const [name, data] of Object.entries({ ...figures, detection: drawn.data, weights: null })) {
        described[name] = captions.describing(name, mask, data);
        find(`${name}-figure`).querySelector("figcaption > span").textContent = `${described[name]} `;
      }
      figures.rules = figures.rules.filter((row) => row.alarms !== null && row.found !== null);
      for (const name of Object.keys(figures)) done.push(charts.update(name, figures[name]));
    }
    await Promise.all(done);
    if (own !== serial) return;
    toAddress(); // lays out the page, once everything stands in it
    document.documentElement.dataset.answered = Math.round(performance.now() - begun);
    document.documentElement.dataset.serial = own;
  }

  const again = async () => { charts.resized(); if (drawn.data) draw(); for (const name of VEGA) await charts.embed(name); };

  // ------------------------------------------------------------------------------------------------------------- once

  function captioned(name) {
    const figure = find(`${name}-figure`), caption = add(figure, "figcaption");
    const text = () => {
      const mask = cube.chosen(state.filter), more = name === "detection" ? cube.answer(mask) : name === "weights" ? find("weights-note").textContent.trim() : "";
      return [described[name], more, captions.source(cube.cells(mask).computed, filterWords())].filter(Boolean).join(" ");
    };
    add(caption, "span");
    const drawing = async () => (name === "detection" ? new XMLSerializer().serializeToString(paper()) : charts.described(await charts.forPaper(name), text()));
    const paper = () => { const svg = matrix.draw(drawn.data, matrix.layout(drawn.data, 760), "paper", text()); svg.setAttribute("xmlns", "http://www.w3.org/2000/svg"); return svg; };
    const title = () => figure.closest("section").querySelector("h2").textContent.trim();
    const bar = add(caption, "span");
    bar.setAttribute("role", "toolbar");
    bar.addEventListener("keydown", (event) => roving(() => [...bar.children], "ArrowLeft", "ArrowRight", event, event.target));
    button(bar, "SVG", async () => save(`${name}.svg`, "image/svg+xml", await drawing()), "save");
    button(bar, "PNG", async () => save(`${name}.png`, "image/png", await charts.png(await drawing())), "save");
    button(bar, "caption", async () => save(`${name}.txt`, "text/plain", `${text()}\n`), "save");
    [...bar.children].slice(1).forEach((one) => { one.tabIndex = -1; });
    // their names follow the heading, which names the cell that is shown
    savers.push(() => { bar.setAttribute("aria-label", `save: ${title()}`); [...bar.children].forEach((one) => one.setAttribute("aria-label", `${one.textContent}: ${title()}`)); });
  }

  find("curve-details").addEventListener("toggle", () => drawn.curve());
  find("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = charts.theme() === "dark" ? "light" : "dark";
    again();
  });
  charts.dark.addEventListener("change", again);
  let waiting = null, wide = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === wide) return;
    const first = wide === 0;
    wide = now;
    if (first) return;
    clearTimeout(waiting);
    waiting = setTimeout(again, 120);
  }).observe(document.querySelector("main"));
  const go = async () => { fromAddress(); const { picked } = state; await changed(); if (picked && state.picked) reveal(find("weights-heading"), true); };
  window.addEventListener("hashchange", go);

  document.querySelector("h1").textContent = content.answer;
  find("name").textContent = content.name;
  content.heading.forEach((line) => add(find("heading"), "div", line));
  find("together").textContent = content.cube.aggregated.map(({ title, values }) => `${title} has ${values.toLocaleString("en")} values, too many for a drop-down: they are taken together.`).join(" ");
  find("same").textContent = content.cells.constant.length ? `The same in every cell: ${content.cells.constant.map(([name, title, value]) => (name === "bug" ? shown(value, name) : `${title} ${shown(value, name)}`)).join(", ")}.` : "";
  find("cells-note").textContent = (of > rows.length ? `${rows.length.toLocaleString("en")} of ${of.toLocaleString("en")} cells are on this page, taken in turn from every square; charts and counts are of all of them. ` : "") + "Order: correct gradients that were accused, other mismatches, partial, inconclusive, match; the first one is shown below. Enter or a click on a row shows its weights, Escape leads back to the row, and from a row to the picture.";
  cells.fill(content.cells);
  find("problems-section").hidden = !content.problems.rows.length;
  provenance.fill({ columns: ["key", "value"], titles: ["key", "value"], rows: content.provenance.map(({ key, value }) => [key, value]) });
  find("verdicts-heading").textContent = `Cells by verdict, for each ${[by.slice(0, -1).map((name) => keys[placeOf[name]].title).join(", "), keys[placeOf[by.at(-1)]].title].filter(Boolean).join(" and ")}`;
  find("warning").textContent = content.warning;
  find("commands").textContent = content.commands.join("\n");
  ["detection", ...VEGA].forEach(captioned);
  go().then(() => { document.documentElement.dataset.ready = Math.round(performance.now()); });
})();
