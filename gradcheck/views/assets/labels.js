// Where the names of dots stand on a plane: beside their dots, over nothing else.  The same as views/charts/labels.py.
const labels = (() => {
  const LETTER = 6.9, LINE = 12.5, DOT = 7, DISTANCES = [10, 18, 28, 40, 54, 70, 88, 108, 130, 160], COVERED = 1000, CROSSED = 150, ROUNDS = 3;
  const SIDES = [[1, 0], [-1, 0], [1, 1], [-1, 1], [1, -1], [-1, -1], [0.4, 1], [-0.4, 1], [0.4, -1], [-0.4, -1]];
  const longest = (lines) => Math.max(...lines.map((line) => line.length)) * LETTER;

  function linesOf(names, room) {
    const lines = [];
    names.forEach((name, i) => {
      const word = i < names.length - 1 ? `${name},` : name;
      if (lines.length && (lines.at(-1).length + 1 + word.length) * LETTER <= room) lines[lines.length - 1] += ` ${word}`;
      else lines.push(word);
    });
    return lines;
  }

  function boxOf({ lines, x, y, left }) {
    const wide = longest(lines), high = lines.length * LINE, start = left ? x - wide : x;
    return [start, y - high / 2, start + wide, y + high / 2];
  }

  const count = (list, test) => list.reduce((n, one) => n + (test(one) ? 1 : 0), 0);
  const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
  const side = (line, x, y) => (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0]);
  const cross = (a, b) => side(a, b[0], b[1]) * side(a, b[2], b[3]) < 0 && side(b, a[0], a[1]) * side(b, a[2], a[3]) < 0;

  function through(line, box) {
    if (Math.max(line[0], line[2]) < box[0] || Math.min(line[0], line[2]) > box[2] || Math.max(line[1], line[3]) < box[1] || Math.min(line[1], line[3]) > box[3]) return false;
    const within = (x, y) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
    if (within(line[0], line[1]) || within(line[2], line[3])) return false;
    const corners = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]];
    return corners.some((corner, k) => cross(line, [...corner, ...corners[(k + 1) % 4]]));
  }

  function place([x, y, names], boxes, lines, width, height) {
    const wide = longest(names), high = names.length * LINE;
    let best = null, least = Infinity;
    for (const distance of DISTANCES) {
      for (const [across, down] of SIDES) {
        const left = across < 0;
        const edge = left ? Math.max(x + across * distance, wide) : Math.min(x + across * distance, width - wide);
        const middle = Math.min(Math.max(y + down * distance, high / 2), height - high / 2);
        const beside = down === 0 && distance === DISTANCES[0] && Math.abs(edge - x) >= DOT;
        const label = { lines: names, x: edge, y: middle, left, far: !beside }, own = boxOf(label), line = [x, y, edge, middle];
        const covered = count(boxes, (box) => meet(own, box)) + (own[0] < 0 || own[2] > width ? 1 : 0);
        let cost = Math.hypot(edge - x, middle - y) + COVERED * covered;
        if (cost >= least) continue;
        const crossed = beside ? 0 : count(lines, (one) => cross(line, one)) + count(boxes, (box) => through(line, box));
        cost += CROSSED * (crossed + count(lines, (one) => through(one, own)));
        if (cost < least) [best, least] = [label, cost];
      }
    }
    return best;
  }

  // A label for each dot [x, y, lines] of a plane of so many pixels; the upper dots choose first.
  function placed(dots, width, height) {
    const points = dots.map(([x, y]) => [x - DOT, y - DOT, x + DOT, y + DOT]), found = [];
    const order = dots.map((_, k) => k).sort((a, b) => dots[a][1] - dots[b][1] || dots[a][0] - dots[b][0] || a - b);
    for (let round = 0; round < ROUNDS; round++) {
      for (const i of order) {
        const others = order.filter((k) => k !== i && found[k]);
        const lines = others.filter((k) => found[k].far).map((k) => [dots[k][0], dots[k][1], found[k].x, found[k].y]);
        found[i] = place(dots[i], [...points, ...others.map((k) => boxOf(found[k]))], lines, width, height);
      }
    }
    return found;
  }

  const LOW = -0.04, SPAN = 1.08, HIGH = 1.34, ROOM = 0.25, NARROW = 110, MANY = 4, OURS = "gradcheck"; // as in views/charts/rules.py

  const said = (one) => `${counted(one.false_alarms, "false alarm")} in ${one.correct.toLocaleString("en")}; of ${counted(one.planted, "planted bug")} ${one.caught.toLocaleString("en")} caught, ${one.cannot_be_told.toLocaleString("en")} cannot be told, ${one.missed.toLocaleString("en")} missed`;

  // The dots of the rules on a plane of so many pixels, and the lines of their names; rules that agree share a dot.
  function parts(rows, width, height) {
    const groups = new Map(), found = [];
    const order = [...rows].sort((a, b) => (a.rule !== OURS) - (b.rule !== OURS) || (a.rule < b.rule ? -1 : 1));
    order.forEach((row) => { const key = `${row.alarms} ${row.found}`; groups.set(key, [...(groups.get(key) || []), row]); });
    const each = [...groups.values()], names = each.map((own) => own.map(({ rule }) => rule));
    const dots = each.map(([{ alarms, found: caught }], i) => [((alarms - LOW) / SPAN) * width, ((LOW + HIGH - caught) / HIGH) * height, linesOf(names[i], Math.max(NARROW, (names[i].length > MANY ? 2 : 1) * ROOM * width))]);
    placed(dots, width, height).forEach((label, i) => {
      const [first] = each[i], x = (label.x / width) * SPAN + LOW, y = LOW + HIGH - (label.y / height) * HIGH;
      const common = { row: first.row, column: first.column, ours: names[i].includes(OURS) };
      found.push({ ...common, part: "dot", rules: names[i].join(", "), alarms: first.alarms, found: first.found, says: said(first), x, y, far: label.far });
      label.lines.forEach((text, k) => found.push({ ...common, part: "name", x, y: y - (((k - (label.lines.length - 1) / 2) * LINE) / height) * HIGH, text, left: label.left }));
    });
    return found;
  }

  return { parts };
})();
