// The parts of the page together: what is chosen, what is shown of it, and the address that keeps it.
(() => {
  const find = (id) => document.getElementById(id);
  const state = { filter: {}, square: null, cell: null, cursor: null };
  const { keys, place: placeOf } = cube, drawn = { data: null, place: null, svg: null };
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
      state.square = null;
      changed();
    });
    return [key.name, select];
  }));
  const clear = () => { state.filter = {}; state.square = null; changed(); };
  const clearing = button(filters, "clear the filter", () => { clear(); find("chart-detection").focus(); });
  button(find("nothing"), "clear the filter", clear);
  filters.hidden = !Object.keys(selects).length;

  // ----------------------------------------------------------------------------------------------------------- address

  const named = (codes) => Object.entries(codes).map(([name, code]) => [name, keys[placeOf[name]].values[code]]);

  function toAddress() {
    const said = new URLSearchParams(named(state.filter));
    if (state.square) named(state.square).forEach(([name, value]) => said.set(`at.${name}`, value));
    if (state.picked) said.set("cell", state.cell);
    const text = said.toString();
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  function fromAddress() {
    Object.assign(state, { filter: {}, square: null, cell: null, picked: false });
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      const at = name.startsWith("at."), key = keys[placeOf[at ? name.slice(3) : name]];
      const code = key ? key.values.indexOf(value) : -1;
      if (code >= 0 && at) state.square = { ...state.square, [key.name]: code };
      else if (code >= 0) state.filter[key.name] = code;
      else if (name === "cell" && rowOf(value) >= 0) Object.assign(state, { cell: value, picked: true });
    }
  }

  // ------------------------------------------------------------------------------------------------------------ tables

  const cells = table("cells", "The cells, what deserves a look first on top", { pick: (i) => { state.cell = rows[i][0]; state.picked = true; weights(); toAddress(); }, long: ["diagnosis"], clear });
  const rules = table("rules", "What each rule says of the cells of each bug", { clear });
  const verdicts = table("verdicts", "Cells by verdict", { clear });
  const problems = table("problems", "Cells without a result, by reason", { long: ["message"], clear });
  const ofCell = table("weights", "The weights of the cell");
  const provenance = table("provenance", "What is recorded of the run", { long: ["value"] });
  const { rows, of } = content.cells, combination = unpack(content.cells.combination), ofProblem = unpack(content.problems.combination);
  const [idAt, outcomeAt, diagnosisAt, errorAt] = ["cell", "outcome", "diagnosis", "max_rel_err"].map((name) => content.cells.columns.indexOf(name));
  const rowOf = (cell) => content.cells.rows.findIndex((row) => row[0] === cell);

  const stored = (() => {
    const { cells: ids, names, numbers } = content.weights, each = unpack(content.weights.drawn), counts = unpack(content.weights.of);
    const name = unpack(content.weights.name), verdict = unpack(content.weights.verdict), columns = unpacked(numbers), at = new Map();
    let start = 0;
    ids.forEach((cell, i) => { at.set(cell, { start, n: each[i], of: counts[i] }); start += each[i]; });
    const known = (value) => (Number.isFinite(value) ? value : null);
    return {
      has: (cell) => at.has(cell) && at.get(cell).n > 0,
      of: (cell) => at.get(cell).of,
      rows: (cell) => Array.from({ length: at.get(cell).n }, (_, k) => {
        const i = at.get(cell).start + k;
        return { row: "", column: "", weight: names[name[i]], order: k, ...Object.fromEntries(Object.keys(columns).map((one) => [one, known(columns[one][i])])), verdict: content.verdicts[verdict[i]] || "-" };
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

  // The cell that tells most among the chosen: a mismatch, else the worst match, else the first.
  function telling(those) {
    const drawable = those.filter((i) => stored.has(rows[i][idAt]));
    const wrong = drawable.find((i) => rows[i][outcomeAt] === "mismatch");
    if (wrong !== undefined) return wrong;
    const right = drawable.filter((i) => rows[i][outcomeAt] === "match");
    return right.length ? right.reduce((a, b) => (rows[b][errorAt] > rows[a][errorAt] ? b : a)) : drawable[0] ?? those[0];
  }

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
    if (!data.panels.length) { heat.replaceChildren(); return; }
    drawn.place = matrix.layout(data, heat.clientWidth - 2 * parseFloat(getComputedStyle(heat).paddingLeft));
    drawn.svg = matrix.draw(data, drawn.place, charts.theme());
    drawn.svg.setAttribute("aria-hidden", "true");
    heat.replaceChildren(drawn.svg);
    heat.dataset.drawn = charts.theme();
    const chosen = state.square && matrix.find(data, { ...state.filter, ...state.square });
    if (chosen) matrix.box(drawn.svg, drawn.place, chosen, "chosen");
    if (document.activeElement === heat) walk(state.cursor || { p: 0, b: 0, e: 0 });
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
    state.picked = false;
    changed(false);
    if (square && byKey) cells.toFirst();
    else if (square) find("cells-section").scrollIntoView({ block: "nearest" });
  }

  heat.addEventListener("focus", () => walk(state.cursor || { p: 0, b: 0, e: 0 }));
  heat.addEventListener("blur", () => drawn.svg && drawn.svg.querySelectorAll(".cursor").forEach((one) => one.remove()));
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

  // -------------------------------------------------------------------------------------------------- what charts say

  const digits = (value) => (value === 0 ? "0" : padded(value.toExponential(1)));

  const says = {
    rules(points) {
      const known = points.filter((row) => row.alarms !== null && row.found !== null);
      if (!known.length) return "The plane needs cells with a planted bug and cells without one: it is empty for this choice. The table by bug tells what there is.";
      const ours = known.find((row) => row.rule === "gradcheck"), others = known.filter((row) => row !== ours), said = [];
      const one = (row) => `${row.rule} catches ${share(row.caught, row.planted)} of ${counted(row.planted, "planted bug")} and accuses ${share(row.false_alarms, row.correct)} of ${counted(row.correct, "correct gradient")}`;
      if (ours) said.push(`${one(ours)}.`);
      if (!others.length) return said.join(" ");
      const clean = others.filter((row) => !row.false_alarms).sort((a, b) => b.found - a.found)[0], most = others.reduce((a, b) => (b.alarms > a.alarms ? b : a));
      said.push(clean ? `Of the others without a false alarm most catches ${clean.rule}: ${share(clean.caught, clean.planted)}.` : "Every other rule accuses a correct gradient.");
      if (most.alarms) said.push(`Most false alarms: ${most.rule}, ${share(most.false_alarms, most.correct)}.`);
      return said.join(" ");
    },
    v_curve(points) {
      const best = new Map();
      points.filter((row) => row.what === "observed error").forEach((row) => { const key = `${row.column}, ${row.scheme}`; if (!best.has(key) || best.get(key).value > row.value) best.set(key, row); });
      const list = [...best].slice(0, 9).map(([key, row]) => `${key} ${digits(row.value)} at eps ${row.eps === null ? "auto" : exponential(row.eps)}`);
      return list.length ? `Least observed error: ${list.join("; ")}${best.size > 9 ? `; and ${best.size - 9} more` : ""}.` : points.length ? "Every chosen cell has a planted bug: there are bounds alone." : "No chosen cell has an error to draw.";
    },
    histogram(bins) {
      const found = new Map();
      bins.forEach(({ title, verdict, weights: n, low, high }) => {
        const key = `${title}: ${verdict === "match" || verdict === "mismatch" ? verdict : content.words["not judged"]}`, own = found.get(key) || { n: 0, low, high };
        found.set(key, { n: own.n + n, low: Math.min(own.low, low), high: Math.max(own.high, high) });
      });
      const list = [...found].map(([key, { n, low, high }]) => `${key} ${counted(n, "weight")} (bars from ${digits(low)} to ${digits(high)})`);
      const { zero, not_a_number: nan } = content.apart;
      return (list.length ? `${list.join("; ")}.` : "No chosen weight has a relative error other than 0.") + (zero ? ` ${counted(zero, "weight")} of the whole run with rel_err = 0 are not drawn.` : "") + (nan ? ` ${counted(nan, "weight")} of the whole run are not a number.` : "");
    },
  };

  function weights() {
    const i = state.cell === null ? -1 : rowOf(state.cell), note = find("weights-note"), words = find("says-weights");
    cells.mark(i < 0 ? undefined : i);
    const found = i >= 0 && stored.has(state.cell) ? stored.rows(state.cell) : [];
    find("weights-figure").hidden = find("weights").hidden = !found.length;
    const settings = i < 0 ? "" : content.cells.columns.map((name, k) => [name, content.cells.titles[k], shown(rows[i][k], name)]).filter(([name]) => placeOf[name] !== undefined).map(([name, title, value]) => (FIRST_KEYS.includes(name) || name === "bug" ? value : `${title} ${value}`)).join(", ");
    note.textContent = i < 0 ? (rows.length ? "No chosen cell was computed." : "No cell was computed.")
      : found.length ? `Cell ${state.cell}: ${settings}; ${rows[i][outcomeAt]}. ${rows[i][diagnosisAt] || ""}`
      : rows[i][outcomeAt] === "failed" || rows[i][outcomeAt] === "skipped" ? `Cell ${state.cell}: ${settings}; ${rows[i][outcomeAt]}: ${rows[i][diagnosisAt]}. It has no weights.`
        : `Cell ${state.cell}: ${settings}; ${rows[i][outcomeAt]}. Its weights are not on this page: python -m gradcheck.show RUN_DIR --cell ${state.cell}`;
    say(words, "");
    if (found.length) {
      const beyond = found.filter((row) => row.verdict === "mismatch"), far = beyond.reduce((a, b) => (a && a.abs_err / a.bound >= b.abs_err / b.bound ? a : b), null);
      const total = stored.of(state.cell);
      say(words, (total > found.length ? `The ${found.length} of ${total.toLocaleString("en")} weights furthest beyond their bound: ` : "") + (beyond.length ? `${beyond.length} of ${counted(found.length, "weight")} differ by more than a correct gradient can; furthest ${far.weight}: difference ${far.abs_err === null ? "not a number" : digits(far.abs_err)}, bound ${far.bound === null ? "none" : digits(far.bound)}.` : `${total > found.length ? "no" : "No"} difference of ${counted(found.length, "weight")} is larger than its bound.`));
      const columns = ["weight", "verdict", "analytic", "numeric", "abs_err", "bound"];
      ofCell.fill({ columns, titles: columns, rows: found.map((row) => columns.map((name) => row[name])) });
    }
    find("find-cell").textContent = i < 0 ? "" : state.cell;
    return charts.update("weights", found);
  }

  // --------------------------------------------------------------------------------------------------------- all at once

  let serial = 0;

  async function changed(whole = true) {
    const begun = performance.now(), own = ++serial, mask = cube.chosen(state.filter), { computed, all } = cube.cells(mask);
    const done = [];
    for (const [name, select] of Object.entries(selects)) select.value = state.filter[name] ?? "";
    const some = Object.keys(state.filter).length > 0;
    clearing.hidden = !some;
    find("chosen").textContent = some ? `${named(state.filter).map(([name, value]) => (FIRST_KEYS.includes(name) || name === "bug" ? value : `${keys[placeOf[name]].title} ${value}`)).join(", ")}: ${counted(all, "cell")}. ${cube.answer(mask)}` : "";
    find("nothing").hidden = computed > 0 || !some;
    if (whole) {
      find("detection-figure").hidden = !computed;
      picture(mask);
      say(find("says-detection"), computed ? matrix.says(drawn.data) : "No cell was computed.");
      verdicts.fill(cube.verdicts(mask, ["run", "model", "bug", "eps"].filter((name) => placeOf[name] !== undefined)));
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
      figures.rules = figures.rules.filter((row) => row.alarms !== null && row.found !== null);
      for (const name of Object.keys(figures)) done.push(charts.update(name, figures[name]));
    }
    toAddress();
    await Promise.all(done);
    if (own === serial) { document.documentElement.dataset.answered = Math.round(performance.now() - begun); document.documentElement.dataset.serial = own; }
  }

  const again = async () => { if (drawn.data) draw(); for (const name of VEGA) await charts.embed(name); };

  // ------------------------------------------------------------------------------------------------------------- once

  function captioned(name) {
    const figure = find(`${name}-figure`), caption = add(figure, "figcaption");
    const text = () => {
      const some = named(state.filter).map(([key, value]) => `${keys[placeOf[key]].title} ${value}`).join(", ");
      const { computed } = cube.cells(cube.chosen(state.filter));
      return name === "weights" ? `${content.captions[name]} ${find("weights-note").textContent}` : `${content.captions[name]} ${counted(computed, "cell")} of ${content.name}${some ? `: ${some}` : ""}.`;
    };
    add(caption, "span", `${content.captions[name]} `);
    const drawing = async () => (name === "detection" ? new XMLSerializer().serializeToString(paper()) : charts.described(await charts.forPaper(name), text()));
    const paper = () => { const svg = matrix.draw(drawn.data, matrix.layout(drawn.data, 760), "paper", text()); svg.setAttribute("xmlns", "http://www.w3.org/2000/svg"); return svg; };
    const title = figure.closest("section").querySelector("h2").textContent;
    const bar = add(caption, "span");
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", `save: ${title}`);
    bar.addEventListener("keydown", (event) => roving(() => [...bar.children], "ArrowLeft", "ArrowRight", event, event.target));
    button(bar, "SVG", async () => save(`${name}.svg`, "image/svg+xml", await drawing()), "save").setAttribute("aria-label", `SVG: ${title}`);
    button(bar, "PNG", async () => save(`${name}.png`, "image/png", await charts.png(await drawing())), "save").setAttribute("aria-label", `PNG: ${title}`);
    button(bar, "caption", async () => save(`${name}.txt`, "text/plain", `${text()}\n`), "save").setAttribute("aria-label", `caption: ${title}`);
    [...bar.children].slice(1).forEach((one) => { one.tabIndex = -1; });
  }

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
  window.addEventListener("hashchange", () => { fromAddress(); changed(); });

  document.querySelector("h1").textContent = content.answer;
  find("name").textContent = content.name;
  content.heading.forEach((line) => add(find("heading"), "div", line));
  const together = content.cube.aggregated;
  find("together").textContent = together.length ? `All values of ${together.join(", ")} are taken together.` : "";
  find("cells-note").textContent = (of > rows.length ? `${rows.length.toLocaleString("en")} of ${of.toLocaleString("en")} cells are on this page, taken in turn from every square; charts and counts are of all of them. ` : "") + "Enter or a click on a row draws its weights.";
  cells.fill(content.cells);
  find("problems-section").hidden = !content.problems.rows.length;
  provenance.fill({ columns: ["key", "value"], titles: ["key", "value"], rows: content.provenance.map(({ key, value }) => [key, value]) });
  find("warning").textContent = content.warning;
  find("commands").textContent = content.commands.join("\n");
  ["detection", ...VEGA].forEach(captioned);
  fromAddress();
  changed().then(() => { document.documentElement.dataset.ready = Math.round(performance.now()); });
})();
