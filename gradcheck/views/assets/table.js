// Tables that sort, filter, are walked through by keyboard, and are saved as CSV.
const SHOWN = 200; // rows of a table at a time

// Text from a record becomes text nodes only: nothing here reads it as HTML.
function add(parent, tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

// Text in which no number like 1e-07 is broken at its hyphen.
function say(element, text) {
  element.replaceChildren(...text.split(/(\d\S*e-\d+)/).map((part, i) => {
    if (i % 2 === 0) return part;
    const made = document.createElement("span");
    made.className = "number";
    made.textContent = part;
    return made;
  }));
}

function button(parent, text, act, className) {
  const made = add(parent, "button", text, className);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// From where errors are visible in every weight; with a star, in half of them; the words of a terminal.
function seen(every, half) {
  const at = (one) => typeof one === "number" && one <= content.largest, digits = (one) => exponential(Number(one.toPrecision(1)));
  return at(every) ? digits(every) : at(half) ? `${digits(half)}*` : "never";
}

function shown(value, name) {
  if (name === "eps" && typeof value === "number") return stepName(value);
  if (Array.isArray(value)) return seen(...value);
  if (name === "visible_from" && (value === "inf" || value > content.largest)) return "never";
  if (name === "visible_from" && typeof value === "number") return exponential(Number(value.toPrecision(1)));
  if (["worst_rel_err", "rel_err"].includes(name) && typeof value === "number") return value ? padded(value.toExponential(1)) : "0";
  if (value === null || value === undefined) return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number" || (Number.isInteger(value) && Math.abs(value) < 1e15)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e4 ? String(Number(value.toPrecision(6))) : exponential(Number(value.toPrecision(4)));
}

const DRAWN = ["analytic", "numeric", "abs_err", "bound"]; // numbers of a weight in its chart
const OF_WEIGHT = ["weight", "verdict", ...DRAWN, "rel_err", "visible_from", "value", "step", "reason"];

// The weights of a cell as a table, the wrong ones first, as a terminal shows them.
function ofWeights({ start, n, accept }, weight, told) {
  const all = Array.from({ length: n }, (_, k) => {
    const one = weight(start + k), sizes = [Math.abs(one.analytic), Math.abs(one.numeric)];
    return { ...one, rel_err: one.abs_err / Math.max(1e-8, sizes[0] + sizes[1]), visible_from: Math.max(...sizes) > 0 ? (2 * one.bound) / Math.max(...sizes) + accept : Infinity };
  });
  const wrong = all.filter(({ verdict }) => verdict === "mismatch");
  const size = ({ abs_err: error }) => (Number.isNaN(error) ? Infinity : error);
  wrong.sort((a, b) => (size(a) === size(b) ? 0 : size(b) - size(a)));
  const rows = [...wrong, ...all.filter(({ verdict }) => verdict !== "mismatch")];
  const titles = OF_WEIGHT.map((name) => name.replace("visible_from", "visible from"));
  return { columns: OF_WEIGHT, titles, rows: rows.map((row) => OF_WEIGHT.map((name) => (typeof row[name] === "number" ? told(row[name]) : row[name]))) };
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A spreadsheet would compute text that begins like a formula.
function field(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "number" ? String(value) : /^[=+\-@\t\r]/.test(String(value)) && !/^-?inf$/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// A table as CSV: numbers in full, settings named as in a command line, what is visible in half of the weights in a column of its own.
function csv(columns, rows, titles = columns) {
  const two = columns.map((_, i) => rows.some((row) => Array.isArray(row[i])));
  const named = columns.map((name, i) => (/^(model|data|init|bug)_/.test(name) ? titles[i] : name));
  const names = named.flatMap((name, i) => (two[i] ? [name, `half_${name}`] : [name]));
  const one = (value, i) => (columns[i] === "eps" && typeof value === "number" ? exponential(value) : value);
  const values = rows.map((row) => row.flatMap((value, i) => (two[i] ? value || [null, null] : [one(value, i)])));
  return [names, ...values].map((row) => row.map(field).join(",")).join("\n") + "\n";
}

// Unknown last, whatever the direction; numbers before words; infinite numbers are words "inf".
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (Array.isArray(a) && Array.isArray(b)) return compare(a[0], b[0], sign) || compare(a[1], b[1], sign);
  const [x, y] = [a, b].map((v) => (v === "inf" ? Infinity : v === "-inf" ? -Infinity : v));
  if (typeof x === typeof y) return sign * (x < y ? -1 : x > y ? 1 : 0);
  return typeof x === "number" ? -1 : typeof y === "number" ? 1 : 0;
}

// One of many can be reached by Tab; arrows lead to the others.
function roving(items, back, forth, event, found) {
  const list = items(), i = list.indexOf(found);
  const to = { [back]: i - 1, [forth]: i + 1, Home: 0, End: list.length - 1 }[event.key];
  if (i < 0 || to === undefined || !list[to]) return;
  event.preventDefault();
  list.forEach((one) => { one.tabIndex = -1; });
  list[to].tabIndex = 0;
  list[to].focus();
}

function table(id, caption, { pick, long = [], clear } = {}) {
  const place = document.getElementById(id), state = { column: -1, sign: 1, words: [], limit: SHOWN, keep: () => true, note: "", rows: [], columns: [], titles: [] };
  let texts = [], numeric = [], heads = [];
  place.replaceChildren();
  const bar = add(place, "div", null, "bar");
  const input = add(bar, "input");
  input.type = "search";
  input.placeholder = "search: all of these words";
  input.setAttribute("aria-label", `search ${caption}`);
  const count = add(bar, "span", null, "count");
  count.setAttribute("role", "status");
  button(bar, "CSV", () => save(`${id}.csv`, "text/csv", csv(state.columns, chosen().map((i) => state.rows[i]), state.titles))).setAttribute("aria-label", `${caption} as CSV`);
  const empty = add(place, "p", "Nothing here is left. ", "empty");
  button(empty, "clear the filter", () => { input.value = ""; state.words = []; if (clear) clear(); draw(); });
  const around = add(place, "div", null, "around"), scroll = add(around, "div", null, "scroll"), grid = add(scroll, "table");
  const hint = add(place, "p", null, "hint");
  add(grid, "caption", caption);
  const head = add(add(grid, "thead"), "tr"), body = add(grid, "tbody");
  const more = button(place, "more rows", () => { state.limit += 5 * SHOWN; draw(); });

  head.addEventListener("keydown", (event) => roving(() => [...head.querySelectorAll("button")], "ArrowLeft", "ArrowRight", event, event.target));
  if (pick) {
    body.addEventListener("keydown", (event) => {
      const tr = event.target.closest("tr");
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(tr); } else roving(() => [...body.rows], "ArrowUp", "ArrowDown", event, tr);
    });
    body.addEventListener("click", (event) => act(event.target.closest("tr")));
  }

  // Where a table is larger than its place, the place can be reached by keyboard, and says so.
  function fits() {
    const across = scroll.scrollWidth - scroll.clientWidth > 1, down = scroll.scrollHeight - scroll.clientHeight > 1;
    around.classList.toggle("wider", across && scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 1);
    hint.hidden = !across;
    hint.textContent = across ? "More columns to the right: scroll." : "";
    if (across || (down && !pick)) { scroll.tabIndex = 0; scroll.setAttribute("role", "region"); scroll.setAttribute("aria-label", `${caption}: scrolls`); } else { scroll.removeAttribute("tabindex"); scroll.removeAttribute("role"); scroll.removeAttribute("aria-label"); }
  }
  scroll.addEventListener("scroll", fits, { passive: true });
  const watch = new ResizeObserver(fits);
  watch.observe(scroll);
  watch.observe(grid);

  function act(tr) {
    if (tr) pick(Number(tr.dataset.row));
  }

  // Other rows, with the same columns or others.
  function fill({ columns, titles, rows, of }) {
    if (columns.join() !== state.columns.join()) {
      head.replaceChildren();
      state.column = -1;
      heads = columns.map((name, i) => {
        const th = add(head, "th");
        th.scope = "col";
        button(th, titles[i], () => { state.sign = state.column === i ? -state.sign : 1; state.column = i; draw(); }).tabIndex = i ? -1 : 0;
        return th;
      });
    }
    Object.assign(state, { columns, titles, rows, of });
    numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number" || Array.isArray(row[i])));
    heads.forEach((th, i) => { th.className = numeric[i] ? "number" : ""; });
    texts = null;
    draw();
  }

  function chosen() {
    if (state.words.length && !texts) texts = state.rows.map((row) => row.map((value, c) => shown(value, state.columns[c])).join("\u0000").toLowerCase());
    const found = [];
    for (let i = 0; i < state.rows.length; i++) if (state.keep(i) && state.words.every((word) => texts[i].includes(word))) found.push(i);
    if (state.column >= 0) found.sort((a, b) => compare(state.rows[a][state.column], state.rows[b][state.column], state.sign) || a - b);
    return found;
  }

  function draw() {
    const all = chosen(), part = all.slice(0, state.limit), made = document.createDocumentFragment();
    heads.forEach((th, i) => th.setAttribute("aria-sort", i !== state.column ? "none" : state.sign > 0 ? "ascending" : "descending"));
    part.forEach((i, k) => {
      const tr = add(made, "tr");
      state.rows[i].forEach((value, c) => {
        const name = state.columns[c], kind = long.includes(name) ? "long" : typeof value === "number" || numeric[c] ? "number" : name === "cell" || name === "example" ? "mono" : "";
        add(tr, "td", shown(value, name), kind);
      });
      if (pick) {
        tr.className = "pick";
        tr.dataset.row = i;
        tr.tabIndex = k ? -1 : 0;
      }
    });
    body.replaceChildren(made);
    mark(state.selected);
    const rest = state.of !== undefined && state.of > state.rows.length ? `, of ${state.of.toLocaleString("en")} in all` : "";
    count.textContent = `${counted(all.length, "row")}${all.length > part.length ? `, ${part.length} shown` : ""}${rest}${state.note}`;
    more.hidden = all.length <= part.length;
    empty.hidden = all.length > 0;
    around.hidden = !all.length;
    if (!all.length) hint.hidden = true;
  }

  function mark(i) {
    state.selected = i;
    body.querySelectorAll("[aria-current]").forEach((one) => one.removeAttribute("aria-current"));
    const tr = i === undefined ? null : body.querySelector(`[data-row="${i}"]`);
    if (!tr) return;
    tr.setAttribute("aria-current", "true");
    body.querySelectorAll("[tabindex='0']").forEach((one) => { one.tabIndex = -1; });
    tr.tabIndex = 0;
  }

  input.addEventListener("input", () => {
    state.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    state.limit = SHOWN;
    draw();
  });
  const toRow = () => { const tr = body.querySelector("[tabindex='0']"); if (tr) tr.focus(); };
  return { state, fill, draw, mark, chosen, toRow };
}
