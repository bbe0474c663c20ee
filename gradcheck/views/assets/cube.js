"use strict";
// The counts that the page holds, by combination of the swept keys, and what those of the chosen cells add up to.
const content = JSON.parse(document.getElementById("content").textContent);
const FIRST_KEYS = ["run", "dtype", "scheme", "model"]; // whose values say what they are

function unpack([type, text, ...places]) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const found = new { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array }[type](bytes.buffer);
  return places.length ? found.constructor.from(unpack(places), (i) => found[i]) : found; // each number once, and which one stands where
}

const unpacked = (packed) => Object.fromEntries(Object.entries(packed).map(([name, one]) => [name, unpack(one)]));
// Numbers as everywhere: 1e-08, where JavaScript has 1e-8.
const padded = (text) => text.replace(/e([+-])(\d)$/, "e$10$2");
const exponential = (value) => padded(value.toExponential());
const stepNames = new Map(content.steps); // of steps that have shorter names
const stepName = (value) => (value === null ? "auto" : stepNames.get(value) ?? exponential(value));
const counted = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const share = (n, of) => (of ? `${n > 0 && n < of ? Math.min(99, Math.max(1, Math.round((100 * n) / of))) : Math.round((100 * n) / of)} %` : "-");

const cube = (() => {
  const { keys, size } = content.cube;
  const codes = content.cube.codes.map(unpack);
  const kind = unpack(content.cube.kind); // 0 correct, 1 planted, 2 unknown
  const statuses = unpacked(content.cube.statuses), truths = unpacked(content.cube.truths);
  const notOk = unpack(content.cube.not_ok), worst = unpack(content.cube.worst), visible = unpack(content.cube.visible), half = unpack(content.cube.half);
  const ok = new Uint32Array(size);
  for (const name of Object.keys(statuses)) if (name !== "failed" && name !== "skipped") statuses[name].forEach((n, i) => { ok[i] += n; });
  const rules = content.cube.rules.map(({ rule, judged, accused, seen }) => ({ rule, judged: judged ? unpack(judged) : ok, accused: unpack(accused), seen: unpack(seen) }));
  const medians = { ...content.cube.medians, ...unpacked(Object.fromEntries(["combination", "step", "error", "bound", "weight"].map((name) => [name, content.cube.medians[name]]))) };
  const bins = unpacked(content.bins);
  const place = Object.fromEntries(keys.map(({ name }, i) => [name, i]));
  const sharesOf = content.shares.map(([what]) => truths[what]);

  // Which combinations are chosen: those whose values are those of the filter, {name: place of the value}.
  function chosen(...filters) {
    const mask = new Uint8Array(size).fill(1);
    for (const filter of filters) {
      for (const [name, code] of Object.entries(filter || {})) {
        const own = codes[place[name]];
        for (let i = 0; i < size; i++) if (own[i] !== code) mask[i] = 0;
      }
    }
    return mask;
  }

  const total = (array, mask) => array.reduce((sum, n, i) => sum + (mask[i] ? n : 0), 0);

  // What became of the correct gradients; where nothing was judged, that there is no false alarm says nothing.
  function ofCorrect(alarms, correct, little, nothing, planted) {
    const n = (one) => one.toLocaleString("en"), lacking = content.words["not judged enough"], few = `${n(little)} ${lacking}`;
    if (alarms) return `${counted(alarms, "false alarm")} in ${n(correct)}${little ? `, ${few}` : ""}`;
    if (nothing === correct) return `Nothing could be judged${correct > 1 ? ` of ${n(correct)} correct gradients` : ""}`;
    if (planted) return `No false alarm${little ? `, but ${n(little)} of ${n(correct)} correct gradients ${lacking}` : ""}`;
    if (correct === 1) return little ? `The gradient was ${lacking}` : "The gradient is ok";
    return `${n(correct - little)} of ${n(correct)} correct gradients ok${little ? `, ${few}` : ""}`;
  }

  // The same sentences as those of a terminal.
  function answer(mask) {
    const n = (what) => total(truths[what], mask), said = [];
    const alarms = n("false alarm"), correct = alarms + n("right"), known = mask.map((yes, i) => yes && kind[i] === 0);
    const little = total(truths[content.words["not judged enough"]], known), nothing = content.unjudged.reduce((sum, one) => sum + total(statuses[one], known), 0);
    const caught = n("caught"), open = n("cannot be told"), missed = n("missed"), planted = caught + open + missed;
    if (correct) said.push(ofCorrect(alarms, correct, little, nothing, planted > 0));
    if (planted) said.push(`${caught.toLocaleString("en")} of ${planted.toLocaleString("en")} planted bugs caught, ${open.toLocaleString("en")} could not be told, ${missed.toLocaleString("en")} missed`);
    const none = keys[place.bug].values.indexOf(content.words["no bug"]);
    const own = mask.map((yes, i) => yes && kind[i] === 2 && codes[place.bug][i] === none);
    const of = total(ok, own), wrong = total(statuses.mismatch, own), right = total(statuses.match, own);
    if (of) said.push(`${wrong.toLocaleString("en")} of ${of.toLocaleString("en")} gradients wrong, ${right.toLocaleString("en")} right, ${(of - wrong - right).toLocaleString("en")} ${content.words["not judged"]} wholly`);
    return said.map((one) => `${one}.`).join(" ") || "No cell was computed.";
  }

  function cells(mask) {
    let computed = 0, all = 0;
    for (let i = 0; i < size; i++) if (mask[i]) { computed += ok[i]; all += ok[i] + statuses.failed[i] + statuses.skipped[i]; }
    return { computed, all };
  }

  // The values of a key that computed cells of the chosen combinations have, in order.
  function present(name, mask) {
    const own = codes[place[name]], found = new Set();
    for (let i = 0; i < size; i++) if (mask[i] && ok[i]) found.add(own[i]);
    return [...found].sort((a, b) => a - b);
  }

  // The values of a combination: {name: place}.
  const values = (combination) => Object.fromEntries(keys.map(({ name }, k) => [name, codes[k][combination]]));

  const told = (key, code) => (FIRST_KEYS.includes(key.name) ? key.values[code] : `${key.title} ${key.values[code]}`);

  // The keys whose values make panels of the chosen cells, as far as there is room for panels, with these values.
  function facets(mask, but = []) {
    const found = [];
    let many = 1;
    for (const key of keys) {
      if (!key.panels || but.includes(key.name)) continue;
      const values = present(key.name, mask);
      if (values.length > 1 && many * values.length <= content.panels.most) {
        found.push({ key, values });
        many *= values.length;
      }
    }
    return found;
  }

  // The names of the keys that vary among the chosen cells, and that a chart takes together: all but those that it tells apart.
  const together = (mask, apart) => [...keys.filter(({ name, axis }) => axis && !apart.includes(name) && present(name, mask).length > 1), ...content.cube.aggregated].map(({ title }) => title);

  // Whether computed cells of each kind are chosen.
  const kinds = (mask) => [0, 1, 2].map((of) => kind.some((one, i) => one === of && mask[i] && ok[i]));

  // Panels of squares, bug by step: of each square the counts of the shares, and of all its cells.
  function detection(mask) {
    const bugs = present("bug", mask), steps = present("eps", mask), parts = content.shares.length + 1, apart = facets(mask);
    const many = apart.reduce((n, { values }) => n * values.length, 1), columns = apart.length && apart[0].key.name !== "run" ? apart[0].values.length : 1;
    const order = columns > 1 ? [...apart.slice(1), apart[0]] : apart; // what changes fastest stands last
    const at = (values) => { const found = []; values.forEach((code, i) => { found[code] = i; }); return found; };
    const ofBug = at(bugs), ofStep = at(steps), of = order.map(({ values }) => at(values));
    const squares = bugs.length * steps.length, counts = new Float64Array(many * squares * parts);
    for (let i = 0; i < size; i++) {
      if (!mask[i] || !ok[i]) continue;
      let panel = 0;
      order.forEach(({ key, values }, k) => { panel = panel * values.length + of[k][codes[place[key.name]][i]]; });
      const start = ((panel * bugs.length + ofBug[codes[place.bug][i]]) * steps.length + ofStep[codes[place.eps][i]]) * parts;
      sharesOf.forEach((array, k) => { counts[start + k] += array[i]; });
      counts[start + parts - 1] += ok[i];
    }
    const panels = [];
    for (let p = 0; p < many; p++) {
      const own = counts.subarray(p * squares * parts, (p + 1) * squares * parts);
      if (!own.some((n) => n > 0)) continue;
      let rest = p;
      const values = {};
      [...order].reverse().forEach(({ key, values: those }) => { values[key.name] = those[rest % those.length]; rest = Math.floor(rest / those.length); });
      panels.push({ values, title: apart.map(({ key }) => told(key, values[key.name])).join(" · "), counts: own });
    }
    const names = (key, list) => list.map((code) => keys[place[key]].values[code]);
    return { panels, columns, facets: apart.map(({ key }) => key), bugs, steps, bugNames: names("bug", bugs), stepNames: names("eps", steps), parts };
  }

  function median(values) { // of [value, weight], sorted
    const all = values.reduce((sum, [, w]) => sum + w, 0);
    const nth = (k) => { let seen = 0; for (const [value, w] of values) { seen += w; if (seen > k) return value; } return NaN; };
    return (nth(Math.floor((all - 1) / 2)) + nth(Math.ceil((all - 1) / 2))) / 2;
  }

  // The same as a table.
  function curveTable(points, mask) {
    const apart = curveFacets(mask).map(({ key }) => key), columns = ["scheme", "eps", "what", "value", "cells"];
    const value = (row) => (row.beyond ? (row.beyond === content.captions.beyond[0] ? "inf" : 0) : row.value);
    return { columns: [...apart.map(({ name }) => name), ...columns], titles: [...apart.map(({ title }) => title), ...columns], rows: points.map((row) => [...row.values, row.scheme, row.eps ?? "auto", row.what, value(row), row.cells]) };
  }

  // The chosen combinations of which there are medians: those without a planted bug, unless every cell has one.
  const curved = new Uint8Array(size);
  medians.combination.forEach((combination) => { curved[combination] = 1; });
  const ofCurves = (mask) => mask.map((yes, i) => yes && curved[i]);
  const curveFacets = (mask) => facets(ofCurves(mask), ["scheme"]);

  // Medians of error and bound by panel, scheme and step.
  function vPoints(mask) {
    const groups = new Map(), { steps } = medians, schemes = keys[place.scheme].values, apart = curveFacets(mask), panels = new Map();
    const panel = new Int32Array(size);
    for (const { key, values } of apart) for (let i = 0; i < size; i++) panel[i] = panel[i] * values.length + values.indexOf(codes[place[key.name]][i]);
    const known = steps.filter((one) => one), auto = (known.length ? Math.min(...known) : 8) / 8;
    medians.combination.forEach((combination, i) => {
      if (!mask[combination]) return;
      const key = (panel[combination] * schemes.length + codes[place.scheme][combination]) * steps.length + medians.step[i];
      if (!panels.has(panel[combination])) panels.set(panel[combination], apart.map(({ key: one }) => [one, codes[place[one.name]][combination]]));
      if (!groups.has(key)) groups.set(key, { error: [], bound: [], cells: 0 });
      const group = groups.get(key);
      group.cells += medians.weight[i];
      for (const what of ["error", "bound"]) if (!Number.isNaN(medians[what][i])) group[what].push([medians[what][i], medians.weight[i]]);
    });
    const rows = [];
    for (const [key, group] of [...groups].sort(([a], [b]) => a - b)) {
      const eps = steps[key % steps.length], rest = Math.floor(key / steps.length), own = panels.get(Math.floor(rest / schemes.length));
      for (const what of medians.bounds_alone ? ["bound"] : ["error", "bound"]) {
        const value = median(group[what].sort(([a], [b]) => a - b));
        const beyond = value === Infinity ? content.captions.beyond[0] : value === 0 ? content.captions.beyond[1] : "";
        if (!Number.isNaN(value)) {
          rows.push({ row: "", column: own.map(([one, code]) => told(one, code)).join(" · "), values: own.map(([one, code]) => one.values[code]), scheme: schemes[rest % schemes.length], eps, step: stepName(eps), x: eps === null ? auto : eps, what: what === "error" ? "observed error" : "bound", value: beyond ? null : value, beyond, cells: group.cells });
        }
      }
    }
    return rows;
  }

  // What each rule says of the cells whose gradient is known.
  function rulePoints(mask) {
    return rules.map(({ rule, judged, accused, seen }) => {
      const row = { row: "", column: "", rule, false_alarms: 0, correct: 0, caught: 0, missed: 0, cannot_be_told: 0, planted: 0, unknown: 0, accused: 0 };
      for (let i = 0; i < size; i++) {
        if (!mask[i]) continue;
        if (kind[i] === 0) { row.correct += judged[i]; row.false_alarms += accused[i]; }
        if (kind[i] === 1) { row.planted += judged[i]; row.caught += accused[i]; row.missed += seen[i]; }
        if (kind[i] === 2) { row.unknown += judged[i]; row.accused += accused[i]; }
      }
      row.cannot_be_told = row.planted - row.caught - row.missed;
      row.alarms = row.correct ? row.false_alarms / row.correct : null;
      row.found = row.planted ? row.caught / row.planted : null;
      return row;
    });
  }

  const TITLES = ["correct gradients", "gradients with a planted bug", "gradients that nobody knows"];

  // Weights by kind, verdict and bin of half a decade, stacked.
  function histogram(mask) {
    const found = new Map(), many = content.verdicts.length;
    bins.combination.forEach((combination, i) => {
      if (!mask[combination]) return;
      const key = (kind[combination] * 2000 + bins.low[i]) * many + bins.verdict[i];
      found.set(key, (found.get(key) || 0) + bins.weights[i]);
    });
    const heights = new Map(), rows = [];
    for (const [key, weights] of [...found].sort(([a], [b]) => a - b)) {
      const stack = Math.floor(key / many), start = heights.get(stack) || 0, low = (stack % 2000) - 1000;
      heights.set(stack, start + weights);
      rows.push({ title: TITLES[Math.floor(stack / 2000)], verdict: content.verdicts[key % many], weights, low: 10 ** (low / 2), high: 10 ** ((low + 1) / 2), start, end: start + weights });
    }
    return rows;
  }

  // Cells by outcome for each value of some keys.
  function verdicts(mask, by) {
    const names = Object.keys(statuses), groups = new Map();
    for (let i = 0; i < size; i++) {
      if (!mask[i]) continue;
      const own = by.map((name) => codes[place[name]][i]), key = own.join();
      if (!groups.has(key)) groups.set(key, { own, counts: names.map(() => 0), notOk: 0, worst: NaN, visible: NaN, half: NaN });
      const group = groups.get(key);
      names.forEach((name, k) => { group.counts[k] += statuses[name][i]; });
      group.notOk += notOk[i];
      for (const [name, array] of [["worst", worst], ["visible", visible], ["half", half]]) if (!(group[name] >= array[i]) && !Number.isNaN(array[i])) group[name] = array[i];
    }
    const known = (value) => (Number.isNaN(value) ? null : value === Infinity ? "inf" : value);
    // as the tables of a terminal say it: in every weight, else in half of them, else nowhere
    const from = (every, some, counts) => (counts.some((n, k) => n && !["failed", "skipped"].includes(names[k])) ? [known(every), known(some)] : null);
    const used = names.map((name, k) => k).filter((k) => [...groups.values()].some(({ counts }) => counts[k]) || k < 2);
    const sorted = [...groups.values()].sort((a, b) => { const k = a.own.findIndex((code, i) => code !== b.own[i]); return k < 0 ? 0 : a.own[k] - b.own[k]; });
    return {
      columns: [...by, ...used.map((k) => names[k]), "not_ok", "worst_rel_err", "visible_from"],
      titles: [...by.map((name) => keys[place[name]].title), ...used.map((k) => names[k]), "not ok", "worst rel_err", "visible from"],
      rows: sorted.map(({ own, counts, notOk: open, worst: most, visible: every, half: some }) => [...own.map((code, i) => keys[place[by[i]]].values[code]), ...used.map((k) => counts[k]), open, known(most), from(every, some, counts)]),
    };
  }

  // What each rule says of each bug.
  function ruleTable(mask) {
    const bugs = codes[place.bug], none = null, rows = [];
    for (const { rule, judged, accused, seen } of rules) {
      const groups = new Map();
      for (let i = 0; i < size; i++) {
        if (!mask[i] || !judged[i]) continue;
        const key = bugs[i] * 3 + kind[i];
        if (!groups.has(key)) groups.set(key, [0, 0, 0]);
        [judged, accused, seen].forEach((array, k) => { groups.get(key)[k] += array[i]; });
      }
      for (const [key, [cells_, accuses, shows]] of [...groups].sort(([a], [b]) => a - b)) {
        const known = key % 3;
        rows.push([rule, keys[place.bug].values[Math.floor(key / 3)], cells_, accuses, known === 0 ? accuses : none, ...(known === 1 ? [accuses, cells_ - accuses - shows, shows] : [none, none, none])]);
      }
    }
    const columns = ["rule", "bug", "cells", "accused", "false_alarms", "caught", "cannot_be_told", "missed"];
    return { columns, titles: columns.map((name) => name.replaceAll("_", " ")), rows };
  }

  return { keys, place, chosen, answer, cells, present, together, kinds, ofCurves, curveFacets, detection, vPoints, curveTable, rulePoints, histogram, verdicts, ruleTable, total, truths, told, values };
})();
