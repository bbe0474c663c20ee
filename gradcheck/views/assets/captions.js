// What a chart of the chosen cells shows, as a caption says it.  The same as views/charts/captions.py.
const captions = (() => {
  const { charts: base, sentences, each, curve, beyond } = content.captions, names = (found) => found.map(({ name }) => name), titles = (found) => found.map(({ title }) => title);

  const SHOWN = {
    detection(mask, data) {
      const [correct, planted, unknown] = cube.kinds(mask), said = [planted && "planted", correct && "correct", unknown && "unknown"];
      return { said, panels: titles(data.facets), together: cube.together(mask, ["bug", "eps", ...names(data.facets)]) };
    },
    v_curve(mask, points) {
      const own = cube.ofCurves(mask), apart = cube.curveFacets(mask).map(({ key }) => key), alone = content.cube.medians.bounds_alone;
      const said = [alone && "bounds_alone", !alone && cube.present("eps", own).length >= curve && "minimum", points.some((row) => row.eps === null) && "auto", ...beyond.map((sign) => points.some((row) => row.beyond === sign) && sign)];
      return { said, panels: titles(apart), together: cube.together(own, ["scheme", "eps", ...names(apart)]) };
    },
    rules: (mask) => ({ said: [], panels: [], together: cube.together(mask, []) }),
  };

  // What a chart shows and how it is to be read.  data: what it was drawn of.
  function describing(name, mask, data) {
    const { said, panels, together } = (SHOWN[name] || (() => ({ said: [], panels: [], together: [] })))(mask, data);
    return [base[name], ...said.filter(Boolean).map((one) => sentences[one]), panels.length ? `Panels by ${panels.join(", ")}.` : "", together.length ? `${each[name]} takes all values of ${together.join(", ")} together.` : ""].filter(Boolean).join(" ");
  }

  // Of what a chart is made.  chosen: the filter in words.
  const source = (computed, chosen) => `${counted(computed, "cell")} of ${content.name}${chosen ? ` (${chosen})` : ""}${content.tools ? `; ${content.tools}` : ""}.`;

  return { describing, source };
})();
