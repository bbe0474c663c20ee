// What the charts that Vega draws show, in words.
const says = (() => {
  const SAID = 9; // curves in a sentence
  const digits = (value) => (value === 0 ? "0" : padded(value.toExponential(1)));

  // All names of a tie, or how many there are and the first of them.
  const tied = (names) => (names.length <= 4 ? [names.slice(0, -1).join(", "), names.at(-1)].filter(Boolean).join(" and ") : `${names.length} rules (${names.slice(0, 3).join(", ")} and others, which the table by bug has)`);
  const most = (rows, field) => { const top = Math.max(...rows.map((row) => row[field])); return rows.filter((row) => row[field] === top); };

  function rules(points) {
    const known = points.filter((row) => row.alarms !== null && row.found !== null);
    if (!known.length) return "The plane needs cells with a planted bug and cells without one: it is empty for this choice. The table by bug tells what there is.";
    const ours = known.find((row) => row.rule === "gradcheck"), others = known.filter((row) => row !== ours), said = [];
    const one = (row) => `${row.rule} catches ${share(row.caught, row.planted)} of ${counted(row.planted, "planted bug")} and accuses ${share(row.false_alarms, row.correct)} of ${counted(row.correct, "correct gradient")}`;
    if (ours) said.push(`${one(ours)}.`);
    if (!others.length) return said.join(" ");
    const names = (rows) => tied(rows.map(({ rule }) => rule)), clean = others.filter((row) => !row.false_alarms);
    if (clean.length) {
      const best = most(clean, "found");
      said.push(`Of the others without a false alarm most is caught by ${names(best)}: ${share(best[0].caught, best[0].planted)}.`);
    } else said.push("Every other rule accuses a correct gradient.");
    const worst = most(others, "alarms");
    if (worst[0].alarms) said.push(`Most false alarms: ${names(worst)}, ${share(worst[0].false_alarms, worst[0].correct)}.`);
    return said.join(" ");
  }

  function curves(points) {
    const best = new Map();
    const curve = (row) => [row.column, row.scheme].filter(Boolean).join(", "), open = new Map();
    points.filter((row) => row.what === "observed error").forEach((row) => { const key = curve(row); if (!best.has(key) || best.get(key).value > row.value) best.set(key, row); });
    points.filter((row) => row.beyond === content.captions.beyond[0]).forEach((row) => open.set(curve(row), [...(open.get(curve(row)) || []), row.step]));
    const list = (all) => all.slice(0, SAID).join("; ") + (all.length > SAID ? `; ${all.length - SAID} more are in the table below` : "");
    const said = [];
    if (best.size) said.push(`Least observed error: ${list([...best].map(([key, row]) => `${key} ${digits(row.value || 0)} at eps ${row.step}`))}.`);
    else said.push(points.length ? "Every chosen cell has a planted bug: there are bounds alone." : "No chosen cell has an error to draw.");
    if (open.size) said.push(`No bound in half of the weights: ${list([...open].map(([key, steps]) => `${key} at eps ${steps.join(", ")}`))}.`);
    return said.join(" ");
  }

  function histogram(bins) {
    const found = new Map();
    bins.forEach(({ title, verdict, weights: n, low, high }) => {
      const key = `${title}: ${verdict === "match" || verdict === "mismatch" ? verdict : content.words["not judged"]}`, own = found.get(key) || { n: 0, low, high };
      found.set(key, { n: own.n + n, low: Math.min(own.low, low), high: Math.max(own.high, high) });
    });
    const list = [...found].map(([key, { n, low, high }]) => `${key} ${counted(n, "weight")} (bars from ${digits(low)} to ${digits(high)})`);
    const { zero, not_a_number: nan } = content.apart;
    return (list.length ? `${list.join("; ")}.` : "No chosen weight has a relative error other than 0.") + (zero ? ` ${counted(zero, "weight")} of the whole run with rel_err = 0 are not drawn.` : "") + (nan ? ` ${counted(nan, "weight")} of the whole run are not a number.` : "");
  }

  // The weights of a cell that are drawn, of so many in all.
  function weights(found, total) {
    const beyond = found.filter((row) => row.verdict === "mismatch"), far = beyond.reduce((a, b) => (a && a.abs_err / a.bound >= b.abs_err / b.bound ? a : b), null);
    const some = total > found.length, begin = some ? `The ${found.length} of ${total.toLocaleString("en")} weights furthest beyond their bound: ` : "";
    if (!beyond.length) return `${begin}${some ? "no" : "No"} difference of ${counted(found.length, "weight")} is larger than its bound.${unjudged(found)}`;
    return `${begin}${beyond.length} of ${counted(found.length, "weight")} differ by more than a correct gradient can; furthest beyond its bound ${far.weight}: difference ${far.abs_err === null ? "not a number" : digits(far.abs_err)}, bound ${far.bound === null ? "none" : digits(far.bound)}.${unjudged(found)}`;
  }

  // How many weights were not judged and why, the most frequent reason first; how many are exempt.
  function unjudged(found) {
    const open = found.filter(({ verdict }) => verdict !== "match" && verdict !== "mismatch"), judging = open.filter(({ reason }) => reason !== "exempt"), exempt = open.length - judging.length;
    const counts = new Map();
    judging.forEach(({ reason }) => counts.set(reason || "no reason stored", (counts.get(reason || "no reason stored") || 0) + 1));
    const list = [...counts].sort((a, b) => b[1] - a[1]).map(([reason, n]) => `${reason} ${n}`).join(", ");
    return (list ? ` ${counted(judging.length, "weight")} ${content.words["not judged"]} (${list}).` : "") + (exempt ? ` ${exempt} exempt.` : "");
  }

  return { rules, v_curve: curves, histogram, weights };
})();
