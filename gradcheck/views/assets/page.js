"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const find = (id) => document.getElementById(id);
  const SHOWN = 200; // rows of a table at a time

  // Text from a record becomes text nodes only: nothing here reads it as HTML.
  function add(parent, tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    parent.append(made);
    return made;
  }

  function shown(value) {
    if (value === null) return "-";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1e4 ? String(Number(value.toPrecision(6))) : Number(value.toPrecision(4)).toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }

  // ---------------------------------------------------------------------------------------------------------- tables

  // Unknown last, whatever the direction; numbers before words; infinite numbers are words "inf".
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    const [x, y] = [a, b].map((v) => (v === "inf" ? Infinity : v === "-inf" ? -Infinity : v));
    if (typeof x === typeof y) return sign * (x < y ? -1 : x > y ? 1 : 0);
    return typeof x === "number" ? -1 : typeof y === "number" ? 1 : 0;
  }

  function table(id, { columns, rows, of }, { pick, long = [] } = {}) {
    const place = find(id);
    place.replaceChildren();
    const state = { column: -1, sign: 1, words: [], limit: SHOWN, keep: () => true, note: "" };
    const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"));
    const texts = rows.map((row) => row.map(shown).join("\u0000").toLowerCase());
    const bar = add(place, "div", null, "bar");
    const input = add(bar, "input");
    input.type = "search";
    input.placeholder = "filter: all of these words";
    input.setAttribute("aria-label", "filter " + id);
    const count = add(bar, "span", null, "count");
    const grid = add(add(place, "div", null, "scroll"), "table");
    const head = add(add(grid, "thead"), "tr");
    const body = add(grid, "tbody");
    const more = add(place, "button", "more rows");
    more.type = "button";

    const heads = columns.map((name, i) => {
      const th = add(head, "th", null, numeric[i] ? "number" : "");
      const button = add(th, "button", name.replaceAll("_", " "));
      button.type = "button";
      button.addEventListener("click", () => {
        state.sign = state.column === i ? -state.sign : 1;
        state.column = i;
        draw();
      });
      return th;
    });

    function draw() {
      let chosen = rows.map((_, i) => i).filter((i) => state.keep(i) && state.words.every((word) => texts[i].includes(word)));
      const total = chosen.length;
      if (state.column >= 0) chosen.sort((a, b) => compare(rows[a][state.column], rows[b][state.column], state.sign) || a - b);
      heads.forEach((th, i) => th.setAttribute("aria-sort", i !== state.column ? "none" : state.sign > 0 ? "ascending" : "descending"));
      chosen = chosen.slice(0, state.limit);
      body.replaceChildren();
      for (const i of chosen) {
        const tr = add(body, "tr");
        rows[i].forEach((value, k) => {
          const kind = long.includes(columns[k]) ? (pick ? "cut" : "long") : typeof value === "number" || numeric[k] ? "number" : columns[k] === "cell" ? "mono" : "";
          const td = add(tr, "td", shown(value), kind);
          if (kind === "cut" && value) td.title = value;
        });
        if (pick) {
          tr.className = "pick";
          tr.tabIndex = 0;
          const act = () => {
            body.querySelectorAll("[aria-selected]").forEach((one) => one.removeAttribute("aria-selected"));
            tr.setAttribute("aria-selected", "true");
            pick(i);
          };
          tr.addEventListener("click", act);
          tr.addEventListener("keydown", (event) => event.key === "Enter" && act());
        }
      }
      const rest = of !== undefined && of > rows.length ? `, of ${of} in all` : "";
      count.textContent = `${total} ${total === 1 ? "row" : "rows"}${total > chosen.length ? `, ${chosen.length} shown` : ""}${rest}${state.note}`;
      more.hidden = total <= chosen.length;
    }

    input.addEventListener("input", () => {
      state.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      state.limit = SHOWN;
      draw();
    });
    more.addEventListener("click", () => { state.limit += 5 * SHOWN; draw(); });
    draw();
    return { state, draw, bar };
  }

  // ---------------------------------------------------------------------------------------------------------- charts

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");

  async function chart(name) {
    const place = find("chart-" + name);
    const inner = place.firstElementChild || add(place, "div");
    const { view } = await vegaEmbed(inner, content.charts[name], {
      ast: true, // no code is made from the expressions of a chart: the page's policy forbids it
      renderer: "svg",
      config: content.themes[theme()],
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: name,
      tooltip: { theme: "custom" },
    });
    if (name === "detection") view.addEventListener("click", (_, item) => item && item.datum && item.datum.bug !== undefined && square(item.datum));
    place.dataset.drawn = theme();
  }

  // One after the other, from the top, so that what is seen first is there first.
  async function charts() {
    for (const name of ["detection", "weights", "v_curve", "rules", "histogram"]) {
      await chart(name);
      await new Promise((done) => setTimeout(done));
    }
  }

  // ----------------------------------------------------------------------------------------------- the parts together

  find("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    charts();
  });
  dark.addEventListener("change", charts);

  document.querySelector("h1").textContent = content.name;
  content.heading.forEach((line) => add(find("heading"), "div", line));
  content.tiles.forEach(({ what, value, bad }) => {
    const tile = add(find("tiles"), "div", null, bad ? "tile bad" : "tile");
    add(tile, "b", value);
    add(tile, "span", what);
  });

  const cells = table("cells", content.cells, {
    pick: (i) => { weights(i); chart("weights"); },
    long: ["diagnosis"],
  });
  const idColumn = content.cells.columns.indexOf("cell");
  const all = add(cells.bar, "button", "all squares");
  all.type = "button";
  all.hidden = true;
  all.addEventListener("click", () => square(null));
  const { of, rows } = content.cells;
  find("cells-note").textContent =
    (of > rows.length ? `${rows.length} of ${of} cells are on this page, taken in turn from every square, what went wrong first; the charts count all of them. ` : "") +
    "A click on a row draws its weights.";

  function square(datum) {
    const chosen = content.cells.square;
    cells.state.keep = datum ? (i) => chosen[i][0] === datum.bug && chosen[i][1] === datum.eps && content.cells.ok[i] : () => true;
    cells.state.note = datum ? `; ${datum.bug} at eps ${datum.eps}, ${datum.cells} cells: ${datum.says}` : "";
    cells.state.limit = SHOWN;
    all.hidden = !datum;
    cells.draw();
    if (datum) find("cells").scrollIntoView({ block: "center" });
  }

  function weights(row) {
    const cell = row >= 0 ? content.cells.rows[row][idColumn] : null;
    const { cells: stored, counts } = content.weights;
    const found = stored[cell];
    const note = find("weights-note");
    find("chart-weights").hidden = find("weights").hidden = !found;
    note.textContent = found
      ? `Cell ${cell}, ` + (counts[cell] > found.weight.length
        ? `the ${found.weight.length} of ${counts[cell]} weights furthest beyond their bound.`
        : `${counts[cell]} ${counts[cell] === 1 ? "weight" : "weights"}.`) + " A difference above its band cannot come from a correct gradient. " +
        (content.cells.rows[row][content.cells.columns.indexOf("diagnosis")] || "")
      : cell ? `The weights of cell ${cell} are not on this page: python -m gradcheck.show RUN_DIR --cell ${cell}` : "No cell was computed.";
    if (!found) return;
    const names = Object.keys(found);
    const drawn = found.weight.map((_, i) => Object.fromEntries(names.map((name) => [name, found[name][i]])));
    content.charts.weights.data = { values: drawn };
    const columns = ["weight", "analytic", "numeric", "abs_err", "bound", "verdict"];
    table("weights", { columns, rows: drawn.map((row) => columns.map((name) => row[name])) });
  }

  table("rules", content.rules);
  table("verdicts", content.verdicts);
  table("problems", content.problems, { long: ["message"] });
  find("problems-section").hidden = !content.problems.rows.length;
  table("provenance", { columns: ["key", "value"], rows: content.provenance.map(({ key, value }) => [key, value]) }, { long: ["value"] });
  find("warning").textContent = content.warning;
  find("commands").textContent = content.commands.join("\n");
  const { zero, not_a_number: nan } = content.apart;
  find("histogram-note").textContent = "All weights, by verdict, in bins of half a decade." +
    (zero ? ` ${zero} with rel_err = 0 are not drawn.` : "") + (nan ? ` ${nan} are not a number.` : "");

  weights(content.cells.rows.findIndex((row) => row[idColumn] in content.weights.cells));
  charts().then(() => { document.documentElement.dataset.ready = Math.round(performance.now()); });
})();
