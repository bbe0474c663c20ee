// Small multiples of squares, bug by step, whose parts are the shares: drawn, pointed at, and walked through by keyboard.
const matrix = (() => {
  const SVG = "http://www.w3.org/2000/svg", GAP = 18, LINE = 15, FONT = 12, LETTER = 6.8;
  const LINES = [null, "M0 2.5H5", "M0 0L6 6M0 6L6 0", "M0 6L6 0", "M0 0L6 6", "M3 0V6"]; // over the colour of each share but the first
  const INK = { light: ["#22272e", "#5c6570", "#8a929c"], dark: ["#e3e6ea", "#a3abb6", "#7b8490"], paper: ["#000000", "#000000", "#8a929c"] };
  const PAPER = { light: "#ffffff", dark: "#14171b", paper: "#ffffff" };

  function node(parent, tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  const short = (text, room) => (text.length * 6.6 <= room ? text : `${text.slice(0, Math.max(1, Math.floor(room / 6.6) - 1))}…`);

  // The parts of a panel's name in as few lines as its width allows.
  function titleLines(title, room) {
    const lines = [];
    for (const part of title ? title.split(" · ") : []) {
      const longer = lines.length ? `${lines.at(-1)} · ${part}` : part;
      if (lines.length && longer.length * 6.9 <= room) lines[lines.length - 1] = longer;
      else lines.push(part);
    }
    return lines.map((line) => short(line, room));
  }

  const sum = (data, s) => data.panels.reduce((all, { counts }) => { for (let i = s; i < counts.length; i += data.parts) all += counts[i]; return all; }, 0);

  const notAccused = (n) => `${n.toLocaleString("en")} ${content.words["not accused"]}`;

  // The parts of the legend: which share (null: none), its words, where it stands.
  function legendParts(data, width) {
    const parts = [], shares = content.shares.map((_, s) => sum(data, s)), rest = sum(data, data.parts - 1) - shares.reduce((a, b) => a + b, 0);
    let x = 0, y = 2;
    const put = (s, text) => {
      const wide = 24 + text.length * 7;
      if (x && x + wide > width) { x = 0; y += LINE + 3; }
      parts.push({ s, text, x, y });
      x += wide + 12;
    };
    content.shares.forEach(([what], s) => { if (shares[s]) put(s, `${shares[s].toLocaleString("en")} ${s === 4 ? content.words.accused : what}`); });
    if (rest) put(null, notAccused(rest));
    return { parts, height: y + LINE + 5 };
  }

  // Where everything stands, for a width.
  function layout(data, width) {
    const nb = data.bugs.length, ns = data.steps.length, n = data.panels.length;
    const longest = Math.max(...data.bugNames.map((name) => name.length), 3);
    const label = Math.min(longest * 6.8 + 12, width * 0.36);
    // names of steps stand upright, by turns in as many lines as they need; those at the ends of two panels have room
    const wide = Math.max(...data.stepNames.map((name) => name.length)) * LETTER + 4, gap = Math.min(44, Math.max(GAP, wide - 11)), edge = Math.min(20, Math.max(4, (wide - 15) / 2));
    const size = (k) => (width - label - edge - gap * (k - 1)) / (k * ns);
    const titles = Math.max(...data.panels.map(({ title }) => title.length)) * 6.9;
    const fits = (k) => size(k) >= 15 && (k <= data.columns || size(k) * ns >= titles) && (k % data.columns === 0 || data.columns % k === 0);
    let k = 1;
    for (let one = 1; one <= n; one++) if (fits(one)) k = one;
    if (k > data.columns && n % k) { // full lines, where they are hardly wider
      for (let one = k; one > k / 2; one--) if (fits(one) && n % one === 0) { k = one; break; }
    }
    const w = size(k), h = nb > 40 ? 13 : 17, legend = legendParts(data, width);
    const names = data.panels.map(({ title }) => titleLines(title, ns * w));
    const turns = Math.min(3, Math.ceil(wide / w)), every = Math.ceil(wide / (turns * w));
    const head = 5 + LINE * Math.max(...names.map((lines) => lines.length)), line = head + nb * h + 12 + turns * (LINE - 2) + GAP;
    const panels = names.map((lines, i) => ({ x: label + (i % k) * (ns * w + gap), y: legend.height + Math.floor(i / k) * line + head, lines }));
    return { k, label, w, h, line, turns, every, panels, legend: legend.parts, width, height: legend.height + Math.ceil(n / k) * line - GAP };
  }

  function draw(data, place, theme, caption) {
    const [ink, faint, frame] = INK[theme], { w, h, panels } = place, parts = data.parts, ns = data.steps.length;
    const shade = (colour) => (theme === "dark" ? content.dark[colour] || colour : colour);
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ width: place.width, height: place.height, viewBox: `0 0 ${place.width} ${place.height}`, "font-family": "system-ui, 'DejaVu Sans', Arial, sans-serif", "font-size": FONT })) svg.setAttribute(name, value);
    if (caption) node(svg, "desc", {}, caption);
    const defs = node(svg, "defs", {});
    content.shares.forEach(([, colour], s) => {
      if (!LINES[s]) return;
      const pattern = node(defs, "pattern", { id: `share-${s}`, width: s === 1 ? 5 : 6, height: s === 1 ? 5 : 6, patternUnits: "userSpaceOnUse" });
      node(pattern, "rect", { width: 6, height: 6, fill: shade(colour) });
      node(pattern, "path", { d: LINES[s], stroke: PAPER[theme], "stroke-width": s === 1 ? 1 : 1.1, fill: "none" });
    });
    if (theme === "paper") node(svg, "rect", { width: place.width, height: place.height, fill: "#ffffff" });
    const fill = (s) => (s === null ? "none" : LINES[s] ? `url(#share-${s})` : shade(content.shares[s][1]));
    place.legend.forEach(({ s, text, x, y }) => {
      node(svg, "rect", { x: x + 0.5, y: y + 0.5, width: 15, height: 12, fill: fill(s), stroke: frame });
      node(svg, "text", { x: x + 21, y: y + 11, fill: ink }, text);
    });
    panels.forEach((at, p) => {
      const { counts } = data.panels[p], shapes = content.shares.map(() => "");
      let outline = "";
      for (let b = 0; b < data.bugs.length; b++) {
        for (let e = 0; e < ns; e++) {
          const start = (b * ns + e) * parts, n = counts[start + parts - 1];
          if (!n) continue;
          let x = at.x + e * w + 1;
          const y = at.y + b * h + 1, room = w - 2;
          for (let s = 0; s < content.shares.length; s++) {
            if (!counts[start + s]) continue;
            const wide = (room * counts[start + s]) / n;
            shapes[s] += `M${x.toFixed(2)} ${y}h${wide.toFixed(2)}v${h - 2}h${(-wide).toFixed(2)}z`;
            x += wide;
          }
          outline += `M${(at.x + e * w + 1).toFixed(2)} ${y}h${room.toFixed(2)}v${h - 2}h${(-room).toFixed(2)}z`;
        }
      }
      shapes.forEach((d, s) => d && node(svg, "path", { d, fill: fill(s), class: `share-${s}` }));
      node(svg, "path", { d: outline, fill: "none", stroke: frame, "stroke-width": 0.8, class: "outline" });
      at.lines.forEach((text, i) => node(svg, "text", { x: at.x, y: at.y - 6 - LINE * (at.lines.length - 1 - i), fill: ink, "font-weight": 600 }, text));
      const below = at.y + data.bugs.length * h;
      data.stepNames.forEach((name, e) => {
        if (e % place.every) return;
        const x = at.x + (e + 0.5) * w, turn = (e / place.every) % place.turns;
        if (turn) node(svg, "path", { d: `M${x.toFixed(2)} ${below + 2}v${turn * (LINE - 2) + 1}`, stroke: frame, "stroke-width": 0.6 });
        node(svg, "text", { x, y: below + 13 + turn * (LINE - 2), fill: faint, "text-anchor": "middle" }, name);
      });
      if (p % place.k === 0) {
        data.bugNames.forEach((name, b) => node(svg, "text", { x: place.label - 6, y: at.y + b * h + h / 2 + 4, fill: ink, "text-anchor": "end" }, short(name, place.label - 8)));
        node(svg, "text", { x: place.label - 6, y: below + 13 + (place.turns - 1) * (LINE - 2), fill: faint, "text-anchor": "end" }, "eps");
      }
    });
    return svg;
  }

  // The square at a point: panel, bug, step.
  function hit(data, place, x, y) {
    const ns = data.steps.length, nb = data.bugs.length;
    for (let p = 0; p < place.panels.length; p++) {
      const e = Math.floor((x - place.panels[p].x) / place.w), b = Math.floor((y - place.panels[p].y) / place.h);
      if (e >= 0 && e < ns && b >= 0 && b < nb) return { p, b, e };
    }
    return null;
  }

  // A square in words.
  function words(data, { p, b, e }) {
    const { counts, title } = data.panels[p], start = (b * data.steps.length + e) * data.parts, n = counts[start + data.parts - 1];
    const planted = counts[start] + counts[start + 1] + counts[start + 2] > 0, said = [];
    content.shares.forEach(([what], s) => { if (counts[start + s] || (planted && s < 3)) said.push(`${counts[start + s].toLocaleString("en")} ${s === 4 ? content.words.accused : what}`); });
    const left = n - content.shares.reduce((all, _, s) => all + counts[start + s], 0);
    if (left) said.push(notAccused(left));
    const where = `${data.bugNames[b]}, eps ${data.stepNames[e]}${title ? `, ${title}` : ""}`;
    return n ? `${where}: ${counted(n, "cell")}: ${said.join(", ")}` : `${where}: no cell`;
  }

  const values = (data, { p, b, e }) => ({ ...data.panels[p].values, bug: data.bugs[b], eps: data.steps[e] });

  // The square of some values, where it is drawn.
  function find(data, wanted) {
    const b = data.bugs.indexOf(wanted.bug), e = data.steps.indexOf(wanted.eps);
    const p = data.panels.findIndex((panel) => Object.entries(panel.values).every(([name, code]) => wanted[name] === code));
    return p < 0 || b < 0 || e < 0 ? null : { p, b, e };
  }

  function box(svg, place, { p, b, e }, className) {
    svg.querySelectorAll(`.${className}`).forEach((one) => one.remove());
    const at = place.panels[p];
    node(svg, "rect", { x: at.x + e * place.w, y: at.y + b * place.h, width: place.w, height: place.h, class: className });
  }

  // Where an arrow leads; at the edge of a panel into the next one.
  function moved(data, place, { p, b, e }, key) {
    const ns = data.steps.length, nb = data.bugs.length, n = data.panels.length;
    if (key === "ArrowLeft") return e ? { p, b, e: e - 1 } : p ? { p: p - 1, b, e: ns - 1 } : { p, b, e };
    if (key === "ArrowRight") return e < ns - 1 ? { p, b, e: e + 1 } : p < n - 1 ? { p: p + 1, b, e: 0 } : { p, b, e };
    if (key === "ArrowUp") return b ? { p, b: b - 1, e } : p >= place.k ? { p: p - place.k, b: nb - 1, e } : { p, b, e };
    if (key === "ArrowDown") return b < nb - 1 ? { p, b: b + 1, e } : p + place.k < n ? { p: p + place.k, b: 0, e } : { p, b, e };
    if (key === "PageUp") return { p: Math.max(0, p - 1), b, e };
    if (key === "PageDown") return { p: Math.min(n - 1, p + 1), b, e };
    if (key === "Home") return { p, b, e: 0 };
    if (key === "End") return { p, b, e: ns - 1 };
    return null;
  }

  const list = (names, most) => names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");

  // What the shares of a panel's steps say of the planted bugs.
  function caughtAt(steps) {
    if (steps.every(({ n }) => !n)) return "nothing is caught";
    const all = steps.filter(({ n, of }) => n === of), most = Math.max(...steps.map(({ n, of }) => n / of)), best = steps.filter(({ n, of }) => n / of === most);
    const names = (some, few) => list(some.map(({ name }) => name), few), of = [...new Set(best.map((one) => `${one.n.toLocaleString("en")} of ${one.of.toLocaleString("en")}`))];
    if (all.length === steps.length) return "everything is caught at every step";
    const others = steps.filter((one) => !all.includes(one));
    if (all.length > others.length) return `everything is caught at every step but eps ${names(others, 6)}`;
    if (all.length) return `everything is caught at eps ${names(all, 6)}`;
    return `the largest share, ${of.length > 1 ? share(best[0].n, best[0].of) : of[0]}${best.length > 1 ? " each" : ""}, is caught at ${best.length === steps.length && best.length > 1 ? "every step" : `eps ${names(best, 4)}`}`;
  }

  // The gradients in words of which it is not known that they are wrong: those without a planted bug, and those of which nobody
  // knows what was right before one was planted.
  function unplanted(data) {
    const n = (one) => one.toLocaleString("en"), found = { without: [0, 0, 0], unknown: [0, 0] };
    data.panels.forEach(({ counts }) => {
      for (let i = 0; i < counts.length; i += data.parts) {
        const of = counts[i + data.parts - 1], bug = data.bugNames[Math.floor(i / data.parts / data.steps.length)];
        if (counts[i] + counts[i + 1] + counts[i + 2]) continue;
        if (bug === content.words["no bug"]) [of, counts[i + 3] + counts[i + 4], counts[i + 5]].forEach((one, k) => { found.without[k] += one; });
        else [of, counts[i + 4]].forEach((one, k) => { found.unknown[k] += one; });
      }
    });
    const [of, wrong] = found.unknown;
    return [ofCorrect(...found.without), of ? `Of ${counted(of, "cell")} with a bug planted into your own functions ${n(wrong)} ${wrong === 1 ? "is" : "are"} a mismatch.` : ""].filter(Boolean).join(" ");
  }

  function ofCorrect(all, accused, little) {
    const n = (one) => one.toLocaleString("en"), lacking = content.words["not judged enough"];
    if (all === 1) return `The gradient without a planted bug ${accused ? "is a mismatch" : little ? `was ${lacking}` : "is no mismatch"}.`;
    return all ? `Of ${n(all)} gradients without a planted bug ${accused ? n(accused) : "none"} ${accused > 1 ? "are" : "is"} a mismatch${little ? `, ${n(little)} ${little > 1 ? "were" : "was"} ${lacking}` : ""}.` : "";
  }

  // The picture in words: of each panel the steps at which everything is caught, or the largest share.
  function says(data) {
    const byBug = data.bugs.map(() => [0, 0]), said = new Map();
    data.panels.forEach(({ counts, title }) => {
      const steps = data.stepNames.map((name, e) => {
        let n = 0, of = 0;
        for (let b = 0; b < data.bugs.length; b++) {
          const start = (b * data.steps.length + e) * data.parts, planted = counts[start] + counts[start + 1] + counts[start + 2];
          byBug[b][0] += counts[start];
          byBug[b][1] += planted;
          n += counts[start];
          of += planted;
        }
        return { name, n, of };
      }).filter(({ of }) => of);
      if (!steps.length) return;
      const told = caughtAt(steps);
      said.set(told, [...(said.get(told) || []), title]); // panels of which the same is said are named together
    });
    const planted = byBug.map((_, b) => b).filter((b) => byBug[b][1]);
    const never = planted.filter((b) => !byBug[b][0]).map((b) => data.bugNames[b]), more = [];
    const panels = [...said].map(([told, titles]) => (titles.length === data.panels.length ? told : `${titles.join(", ")}: ${told}`));
    if (panels.length) more.push(`${panels.join("; ")}.`);
    if (never.length) more.push(`Caught nowhere: ${list(never, 8)}.`);
    more.push(unplanted(data));
    return more.filter(Boolean).join(" ").replace(/^(every|the|noth)/, (word) => word[0].toUpperCase() + word.slice(1));
  }

  return { layout, draw, hit, words, values, find, box, moved, says };
})();
