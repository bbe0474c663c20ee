// What an address asks for, in the words of the page or in those of a run, and what of it was not understood.
const address = (() => {
  const { keys } = cube, FEW = 6, SHOWN = 5, LONG = 60;
  const short = (text) => (text.length > LONG ? `${text.slice(0, LONG - 1)}…` : text);
  const same = (number) => (text) => text.trim() !== "" && Number(text) === number;

  // The place of a value that is written as the page has it, as a run has it, or as the same number in another form.
  function placeOf(key, text) {
    const exact = key.values.indexOf(text);
    if (exact >= 0) return exact;
    if (Object.hasOwn(key.typed, text)) return key.typed[text];
    const number = text.trim() === "" ? NaN : Number(text);
    if (Number.isNaN(number)) return -1;
    const at = key.values.findIndex(same(number)), typed = Object.keys(key.typed).find(same(number));
    return at >= 0 || typed === undefined ? at : key.typed[typed];
  }

  // A value as it can be typed: as a run has it, where the page has words for it.
  function typable(key, place) {
    const text = key.values[place], typed = Number.isNaN(Number(text)) ? Object.keys(key.typed).find((one) => key.typed[one] === place) : undefined;
    return typed ?? text;
  }

  // isCell: whether a cell is on the page; has: whether it has the values of a filter and of a square.
  function read(hash, isCell, has) {
    const found = { filter: {}, square: null, cell: null, unknown: [] }, given = new Map();
    for (const [name, value] of new URLSearchParams(hash)) {
      if (!name && !value) continue;
      const at = name.startsWith("at."), wanted = at ? name.slice(3) : name;
      const key = keys.find((one) => one.name === wanted || one.title === wanted);
      const once = `${at ? "at." : ""}${key ? key.name : wanted}`;
      if (given.has(once)) found.unknown.push(`${short(given.get(once))} (${once} is given again: the last one holds)`);
      given.set(once, `${name}=${value}`);
      if (name === "cell") {
        if (isCell(value)) found.cell = value;
        else found.unknown.push(`${short(`cell=${value}`)} (no such cell on this page)`);
        continue;
      }
      // a plus in an address is a blank, and people type 1e+0
      const code = key ? Math.max(placeOf(key, value), placeOf(key, value.replaceAll(" ", "+"))) : -1;
      if (code < 0) {
        const there = key ? key.values.map((_, i) => `'${typable(key, i)}'`) : keys.filter((one) => one.swept).map((one) => `'${one.title}'`);
        const known = there.slice(0, FEW).join(", ") + (there.length > FEW ? ", …" : "");
        found.unknown.push(`${short(value ? `${name}=${value}` : name)} (${key ? "" : "no such key; "}${known ? `there ${there.length === 1 ? "is" : "are"} ${known}` : "no key was swept"})`);
      } else if (at) found.square = { ...found.square, [key.name]: code };
      else if (key.swept) found.filter[key.name] = code;
    }
    if (found.cell !== null && !has(found.cell, found.filter, found.square)) {
      found.unknown.push(`${short(`cell=${found.cell}`)} (this cell has other values than those chosen)`);
      found.cell = null;
    }
    return found;
  }

  const says = (unknown) => (unknown.length ? `Not understood in the address: ${unknown.slice(0, SHOWN).join("; ")}${unknown.length > SHOWN ? `; and ${unknown.length - SHOWN} more` : ""}.` : "");

  return { read, says };
})();
