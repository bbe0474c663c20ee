// The charts that Vega draws: filled with the figures of the chosen cells, as wide as the page, saved for a paper.
const charts = (() => {
  const views = {}, figures = {}, dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const place = (name) => document.getElementById(`chart-${name}`);
  // All charts are as wide as the page.  Asking for a width lays out the page: it is kept until the page has another one.
  let known = 0;
  const width = () => known || (known = document.querySelector("main").clientWidth);
  const resized = () => { known = 0; };

  const LEGENDS = { v_curve: ["scheme", "what"], histogram: ["verdict"], weights: ["verdict"], rules: [] };

  // Every encoding of a chart whose legend names the values of one of these fields.
  function* legends(part, fields) {
    for (const inner of [...(part.layer || []), ...(part.vconcat || []), ...(part.spec ? [part.spec] : [])]) yield* legends(inner, fields);
    for (const channel of Object.values(part.encoding || {})) if (channel.scale && channel.scale.domain && fields.includes(channel.field)) yield channel;
  }

  // What the legends of a chart name: the values that are drawn, in the order of their scale.
  function named(name) {
    const found = {};
    for (const { field, scale } of legends(content.charts[name], LEGENDS[name])) found[`named_${field}`] ??= scale.domain.filter((one) => figures[name].some((row) => row[field] === one));
    return found;
  }

  // As many panels of curves beside each other as have room, and the width of each.
  function panels(width) {
    const wide = inside(width), columns = Math.max(1, Math.min(new Set(figures.v_curve.map((row) => row.column)).size, Math.floor(wide / 280)));
    return { columns, child_width: Math.floor((wide - 14 * (columns - 1)) / columns) };
  }

  // The signals of a chart that follow its figures: a change of them needs no new chart, which would take far longer.
  const signals = (name, width) => ({ ...named(name), ...(name === "v_curve" ? panels(width) : {}) });

  // The colours of a dark page in place of those of a light one.
  const coloured = (spec, look) => (look === "dark" ? JSON.parse(JSON.stringify(spec).replace(/#[0-9a-f]{6}\b/g, (colour) => content.dark[colour] || colour)) : spec);

  const inside = (width) => Math.max(190, width - 88);

  // A chart of this name for a width.
  function sized(name, width) {
    const spec = structuredClone(content.charts[name]), wide = inside(width);
    for (const channel of legends(spec, LEGENDS[name])) channel.legend = { ...channel.legend, values: { signal: `named_${channel.field}` } };
    const { child_width: of, ...some } = signals(name, width);
    spec.params = Object.entries(some).map(([signal, value]) => ({ name: signal, value }));
    if (name === "v_curve") {
      spec.columns = "columns";
      spec.spec.width = of;
    } else if (name === "weights") {
      (spec.vconcat || []).forEach((one) => { if (wide < 420) one.title = one.title.split("; "); });
      (spec.vconcat || []).forEach((one) => (one.layer ? [one, ...one.layer] : [one]).forEach((part) => { if (part.width !== undefined) part.width = wide; }));
    } else if (name === "histogram") spec.spec.width = wide;
    else [spec, ...(spec.layer || [])].forEach((part) => { if (part.width !== undefined) part.width = wide; });
    return spec;
  }

  // Legends stand above a chart, one below the other.
  const config = (name, width) => ({ ...content.themes[name], aria: false, legend: { ...content.themes[name].legend, orient: "top", columns: Math.max(2, Math.floor((width - 60) / 125)), layout: { top: { direction: "vertical", margin: 4 } } } });

  // logLevel: a layer without figures in this choice is no mistake
  // ast: no code is made from the expressions of a chart: the page's policy forbids it
  // patch: a number of columns may follow the figures in Vega, not in Vega-Lite
  const patch = (spec) => (spec.layout && spec.layout.columns === "columns" ? { ...spec, layout: { ...spec.layout, columns: { signal: "columns" } } } : spec);
  const options = (name, width) => ({ patch, ast: true, renderer: "svg", config: config(name, width), actions: false, logLevel: 1, tooltip: { theme: "custom" } });

  const shaped = (name, rows, spec) => (name === "rules" ? labels.parts(rows, spec.width, spec.height) : rows);
  const filled = (name, rows, spec) => ({ ...spec, datasets: { figures: shaped(name, rows, spec) } });

  async function embed(name) {
    const at = place(name), inner = at.firstElementChild || add(at, "div");
    if (views[name]) views[name].finalize();
    views[name] = null;
    if (!figures[name] || !figures[name].length) { inner.replaceChildren(); return; }
    const spec = sized(name, width());
    views[name] = (await vegaEmbed(inner, coloured(filled(name, figures[name], spec), theme()), options(theme(), width()))).view;
    views[name].size = spec;
    inner.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    at.dataset.drawn = theme();
  }

  // New figures in a chart.
  async function update(name, rows) {
    const before = figures[name], view = views[name];
    figures[name] = rows;
    place(name).closest("figure").hidden = !rows.length; // an empty chart is neither shown nor saved
    if (!view || !rows.length) {
      if (before || rows.length) await embed(name);
      return;
    }
    for (const [signal, value] of Object.entries(signals(name, width()))) view.signal(signal, value);
    await view.data("figures", shaped(name, rows, view.size)).resize().runAsync();
  }

  // The chart in the colours of paper, drawn aside.
  async function forPaper(name) {
    const aside = document.createElement("div");
    const spec = { ...filled(name, figures[name], sized(name, 760)), background: "#ffffff" };
    const { view } = await vegaEmbed(aside, spec, options("paper", 760));
    const svg = await view.toSVG();
    view.finalize();
    return svg;
  }

  async function png(svg) {
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    await image.decode();
    const canvas = document.createElement("canvas"), scale = 300 / 72;
    [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.drawImage(image, 0, 0);
    URL.revokeObjectURL(image.src);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  const described = (svg, caption) => svg.replace(/<svg[^>]*>/, (tag) => `${tag}<desc>${caption.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`)}</desc>`);

  return { update, embed, forPaper, png, described, theme, dark, width, resized };
})();
