"use strict";
// One file, because the page holds it as one inline script whose hash the page's policy allows.
// The page of an experiment: draws, filters and sorts the facts in #facts. It uses no library and fetches nothing. Text
// from files only becomes text nodes.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const { cells, groups, metrics } = facts;
  const NONE = "–", COLOURS = 7, DASHES = ["", "7 3", "2 3"];
  const seeds = distinct(cells.map(cell => cell.seed)).filter(seed => seed !== null).sort((a, b) => a - b);
  const chosen = { text: "", data: "", model: "", state: "", group: null, metric: "", curve: "", figure: "" };
  const sorted = {}; // by table: the column that sorts it, and the direction

  groups.forEach((group, i) => Object.assign(group, { i, own: group.own || "" }));
  cells.forEach((cell, i) => {
    const group = groups[cell.group];
    const words = [cell.name, group.label, cell.model, cell.encoder, cell.data, `s${cell.seed}`, cell.protocol, cell.task,
      cell.state, cell.why, cell.device, ...cell.marks, ...group.remarks];
    Object.assign(cell, { i, own: group.own, words: words.join(" ").toLowerCase() });
  });

  // ---- elements

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(9).filter(child => child !== null && child !== undefined && child !== false && child !== ""));
    return node;
  }
  function h(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }
  function s(tag, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }
  function distinct(values) {
    return [...new Set(values)];
  }
  function is(value) {
    return typeof value === "number" && Number.isFinite(value);
  }
  function four(value) {
    return is(value) ? value.toFixed(4) : "";
  }
  function spoken(metric) {
    return metrics[metric] || metric.replaceAll("_", " ");
  }
  function seedName(cell) {
    return cell.seed === null ? cell.name : `seed ${cell.seed}`;
  }
  function look(seed) { // a seed has one colour on the whole page, and a dash if there are more seeds than colours
    const i = Math.max(0, seeds.indexOf(seed));
    return { colour: `c${i % COLOURS}`, dash: DASHES[Math.floor(i / COLOURS) % DASHES.length] };
  }
  const several = distinct(cells.map(cell => cell.data)).length > 1;
  function named(group) {
    return several && group.data ? `${group.label}, ${group.data}` : group.label;
  }
  function link(href, ...children) {
    return h("a", { href }, ...children);
  }

  // ---- what is shown

  function shown() {
    const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = cells.filter(cell =>
      (!chosen.data || cell.data === chosen.data) && (!chosen.model || cell.model === chosen.model) &&
      (!chosen.state || cell.state === chosen.state) && (chosen.group === null || cell.group === chosen.group) &&
      words.every(word => cell.words.includes(word)));
    const there = new Set(found.map(cell => cell.group));
    return { cells: found, groups: groups.filter(group => there.has(group.i)) };
  }
  function metricOf(cellOrGroup) {
    return chosen.metric || cellOrGroup.own;
  }
  function scoreOf(group) {
    return group.scores[metricOf(group)] || {};
  }
  function metricName() {
    const own = distinct(groups.map(group => group.own).filter(Boolean));
    return chosen.metric ? spoken(chosen.metric) : own.length === 1 ? spoken(own[0]) : "score";
  }
  function best(a, b) { // by data set, then the best mean first (the lowest for errors); groups without a mean last
    const [x, y] = [a, b].map(group => scoreOf(group).mean * (metricOf(group).endsWith("_uv") ? -1 : 1));
    return !a.data - !b.data || a.data.localeCompare(b.data) || is(y) - is(x) || (is(x) ? y - x : 0) || a.i - b.i;
  }

  // ---- tables

  const collator = new Intl.Collator("en", { numeric: true });
  function empty(value) {
    return value === null || value === undefined || value === "" || Number.isNaN(value);
  }
  function order(way) { // missing values come last in both directions
    return ([a], [b]) => empty(a) || empty(b) ? empty(a) - empty(b)
      : way * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  }
  // a column: its name, the value that sorts it, and what it shows if that is not the value
  function table(id, about, columns, rows, all) {
    const there = columns.filter(column => column.always || all.some(row => !empty(column.value(row))));
    // a value that is the same in every row stands above the table
    const same = there.filter(column => column.once && all.length > 1 && distinct(all.map(column.value)).length === 1);
    const used = there.filter(column => !same.includes(column));
    const body = h("tbody");
    const heads = used.map(column => h("th", { scope: "col", class: column.number ? "n" : null, title: column.title },
      h("button", { type: "button", onclick: () => sort(column.name) }, column.name)));
    function sort(name) {
      const now = sorted[id];
      sorted[id] = { name, way: now && now.name === name ? -now.way : 1 };
      draw();
    }
    function draw() {
      const { name, way } = sorted[id] || {};
      const by = used.find(column => column.name === name);
      used.forEach((column, i) => heads[i].setAttribute("aria-sort", column !== by ? "none" : way > 0 ? "ascending" : "descending"));
      const lines = by ? rows.map(row => [by.value(row), row]).sort(order(way)).map(([, row]) => row) : rows;
      body.replaceChildren(...lines.map(row => h("tr", {}, used.map((column, i) => {
        const value = column.value(row);
        const content = empty(value) && !column.always ? NONE : column.show ? column.show(row) : String(value ?? NONE);
        const kind = [column.number ? "n" : "", column.kind || ""].join(" ").trim() || null;
        const node = h(i ? "td" : "th", { class: kind, scope: i ? null : "row" }, content);
        if (column.paint && !empty(value)) column.paint(node, value);
        return node;
      }))));
    }
    draw();
    return [same.length > 0 && h("p", { class: "note" }, `The same in all rows: ${same.map(column => `${column.name} ${column.words ? column.words(all[0]) : column.value(all[0])}`).join("; ")}.`),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": about },
        h("table", { id }, h("thead", {}, h("tr", {}, heads)), body))];
  }

  function groupTable(found) {
    const published = group => group.published[metricOf(group)];
    const name = metricName(), mixed = name === "score";
    const columns = [
      { name: "group", always: true, kind: "label", value: group => group.label,
        show: group => [group.label, " ", badges(group.marks), only(group),
          group.gone.length > 0 && h("span", { class: "sub mark" }, `without a score: ${group.gone.join(", ")}`),
          group.absent.length > 0 && h("span", { class: "sub" }, `no run of seed ${group.absent.join(", ")}; other groups have one`)] },
      { name: "data", once: true, value: group => group.data },
      { name: "seeds", number: true, always: true, value: group => group.seeds.length, title: "runs with a score",
        show: group => h("span", { title: group.seeds.join(", ") }, String(group.seeds.length)) },
      { name, number: true, title: "test score: mean ± standard deviation over seeds", value: group => scoreOf(group).mean,
        show: group => [scoreOf(group).text, mixed ? h("span", { class: "sub" }, spoken(metricOf(group))) : ""] },
      { name: "95 % over subjects", number: true, title: "over test subjects and seeds", value: group => scoreOf(group).ends?.[0],
        show: group => scoreOf(group).interval },
      { name: "lowest … highest subject", number: true, title: "scores of the subjects' own windows, means over seeds", value: group => parseFloat(scoreOf(group).spread?.slice(1)),
        show: group => scoreOf(group).spread },
      { name: "test subjects", number: true, value: group => Object.keys(group.subjects).length || null },
      { name: "paper", number: true, value: group => published(group)?.mean,
        show: group => [published(group).text, h("span", { class: "sub", title: published(group).source }, published(group).title)] },
      { name: "ours minus paper", number: true, value: group => published(group)?.less, show: group => published(group).difference },
      { name: "comparable", kind: "words", value: group => published(group)?.comparable,
        show: group => h("span", { class: published(group).comparable.startsWith("no") ? "mark" : null }, published(group).comparable) },
      { name: "trainable", number: true, value: group => group.trainable, show: group => group.trainable.toLocaleString("en") },
    ];
    return [table("groups", "Groups", columns, [...found].sort(best), groups), notes(found.filter(group => group.seeds.length))];
  }
  function notes(found) { // sentences that hold for every group, then those of each group
    const sentences = group => [...group.marks, ...group.remarks];
    const shared = found.length > 1 ? sentences(found[0]).filter(sentence => found.every(group => sentences(group).includes(sentence))) : [];
    const lines = [["all", shared], ...found.map(group => [named(group), sentences(group).filter(sentence => !shared.includes(sentence))])];
    return h("ul", { class: "note" }, lines.filter(([, words]) => words.length).map(([label, words]) => h("li", {}, h("b", {}, `${label}: `), words.join("; "))));
  }
  function badges(marks) {
    return marks.map(mark => [h("span", { class: "badge", title: mark }, mark.split(/[:(,]/)[0].trim()), " "]);
  }
  function only(group) {
    return chosen.group === null && groups.length > 1 &&
      h("button", { type: "button", class: "link", onclick: () => choose({ group: group.i }), "aria-label": `only ${named(group)}` }, "only this");
  }

  function cellTable(found) {
    const mixed = distinct(cells.map(cell => cell.own).filter(Boolean)).length > 1 && !chosen.metric;
    const monitors = distinct(cells.map(cell => cell.monitor).filter(Boolean));
    const interval = cell => cell.interval[metricOf(cell)];
    const pair = (name, key, title) => ({ name, title, number: true, value: cell => cell[key]?.[0], show: cell => cell[key][1] });
    const columns = [
      { name: "run", value: cell => cell.hash, show: cell => h("a", { href: cell.href, title: cell.name }, cell.hash) },
      { name: "model", value: cell => cell.model },
      { name: "encoder", value: cell => cell.encoder },
      { name: "data", once: true, value: cell => cell.data },
      { name: "seed", number: true, value: cell => cell.seed },
      { name: "state", kind: "words", value: cell => cell.state, show: cell => [state(cell), cell.why && h("span", { class: "sub" }, cell.why)] },
      { name: "epoch", number: true, title: "the epoch whose weights were kept, counted from 1", value: cell => cell.epoch },
      { name: monitors.length === 1 ? `validation ${spoken(monitors[0])}` : "validation", number: true, title: "the metric that chose the weights", value: cell => cell.validation,
        show: cell => [four(cell.validation), monitors.length > 1 && h("span", { class: "sub" }, spoken(cell.monitor))] },
      ...Object.entries(metrics).map(([key, name]) => ({ name: `test ${name}`, number: true, value: cell => cell.test[key], show: cell => four(cell.test[key]), once: facts.levels.includes(key), words: cell => four(cell.test[key]) })),
      { name: mixed ? "95 % over subjects" : `95 % of ${metricName()}`, number: true, title: "over test subjects", value: cell => interval(cell)?.[0],
        show: cell => [`[${interval(cell).map(end => end.toFixed(2)).join(", ")}]`, mixed && h("span", { class: "sub" }, spoken(metricOf(cell)))] },
      { name: "trainable", number: true, value: cell => cell.trainable, show: cell => cell.trainable.toLocaleString("en") },
      pair("wall time", "wall"),
      { name: "memory, GB", number: true, title: "the peak of the process", value: cell => cell.memory, show: cell => cell.memory.toFixed(2) },
      { name: "GPU memory, GB", number: true, value: cell => cell.gpu_memory, show: cell => cell.gpu_memory.toFixed(2) },
      { name: "GPU hours", number: true, value: cell => cell.gpu_hours, show: cell => cell.gpu_hours.toFixed(2) },
      pair("energy", "energy", "energy of the GPUs, by their own counters"),
      pair("FLOPs", "flops", "forward pass of one window"),
      { name: "device", once: true, value: cell => cell.device },
      { name: "task", once: true, value: cell => cell.task },
      { name: "protocol", once: true, value: cell => cell.protocol },
      { name: "reservations", kind: "words", once: true, value: cell => cell.marks.join("; "), show: cell => badges(cell.marks) },
    ];
    return table("runs", "Runs", columns, [...found].sort(unfinishedFirst), cells);
  }
  function unfinishedFirst(a, b) { // finished runs follow group by group, in the order of the groups
    return (a.state === "done") - (b.state === "done") || (a.group !== b.group && best(groups[a.group], groups[b.group])) || a.seed - b.seed;
  }
  function state(cell) {
    const far = cell.progress && cell.state !== "done" ? `, step ${cell.progress[0]} of ${cell.progress[1]}` : "";
    return h("span", { class: `state ${cell.state}` }, cell.state + far);
  }

  // ---- axes

  function ticks(low, high, n) {
    const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * power).find(one => one >= rough * (1 - 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(10)));
    return found;
  }
  function around(values, least = 1e-6) { // ends of an axis
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) if (is(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low > high) return null;
    const room = Math.max((high - low) * 0.05, least, Math.abs(high) * 1e-3);
    return [low - room, high + room];
  }
  function scale([low, high], start, stop) {
    return value => Number((start + (value - low) / (high - low) * (stop - start)).toFixed(1));
  }

  // ---- learning curves

  function curveNames() {
    const names = distinct(cells.flatMap(cell => Object.keys(cell.curve))).filter(name => name !== "epoch");
    const own = distinct(cells.map(cell => `val/${cell.monitor}`)).filter(name => names.includes(name) && name !== "val/loss");
    const rest = names.filter(name => !own.includes(name) && !["train/loss", "val/loss"].includes(name)).sort();
    return [...own, ...(names.some(name => name.endsWith("/loss")) ? ["loss"] : []), ...rest];
  }
  function curveName(name) {
    const [split, metric] = name.split("/");
    return name === "loss" ? "loss: training dashed, validation solid" : !metric ? name
      : `${split === "val" ? "validation" : split === "train" ? "training" : split} ${spoken(metric)}`;
  }
  function linesOf(cell, name) { // [values, dashed]
    const pairs = name === "loss" ? [[cell.curve["train/loss"], true], [cell.curve["val/loss"], false]] : [[cell.curve[name], false]];
    return pairs.filter(([values]) => values && values.some(is));
  }
  function curves(found) {
    const name = chosen.curve, without = [];
    const drawn = found.groups.map(group => {
      const members = found.cells.filter(cell => cell.group === group.i);
      const lines = members.filter(cell => linesOf(cell, name).length);
      if (!lines.length) without.push(group);
      return { group, lines, members };
    }).filter(one => one.lines.length);
    const ends = {}; // one axis for all panels of a data set; losses of two models differ in size, so each group has its own
    for (const { group, lines } of drawn) (ends[name === "loss" ? group.i : group.data] ||= []).push(...lines.flatMap(cell => linesOf(cell, name).flatMap(([values]) => values)));
    const panels = drawn.map(one => panel(one, name, around(ends[name === "loss" ? one.group.i : one.group.data])));
    return [
      keys(found.cells),
      panels.length ? h("div", { class: "panels", id: "curves" }, panels) : h("p", { class: "note" }, "None of the runs shown has this curve."),
      without.length > 0 && panels.length > 0 && h("p", { class: "note" }, `Without this curve (fitted in one step, or still in the first epoch): ${without.map(named).join("; ")}.`),
    ];
  }
  function panel({ group, lines, members }, name, ends) {
    const W = 340, H = 186, left = 46, right = 14, top = 8, bottom = 24;
    const last = Math.max(1, ...lines.flatMap(cell => cell.curve.epoch.filter(is)));
    const x = scale([Math.min(1, last - 1), last], left, W - right), y = scale(ends, H - bottom, top);
    const axes = ticks(...ends, 6).map(v => [s("path", { class: "grid", d: `M${left} ${y(v)}H${W - right}` }), s("text", { class: "r dim", x: left - 5, y: y(v) + 4 }, Number(v.toPrecision(4)))]);
    const below = ticks(1, Math.max(2, last), 5).filter(v => Number.isInteger(v) && v <= last).map(v => s("text", { class: "m dim", x: x(v), y: H - 8 }, v));
    const each = lines.map(cell => {
      const { colour, dash } = look(cell.seed), at = cell.curve.epoch;
      const said = `${seedName(cell)}: ${cell.state}${cell.epoch ? `, kept epoch ${cell.epoch}` : ""}${cell.why ? `; ${cell.why}` : ""}`;
      const paths = linesOf(cell, name).map(([values, dashed]) => {
        const kept = values.findLastIndex((v, i) => is(v) && at[i] === cell.epoch), end = values.findLastIndex(is);
        return [
          s("path", { class: `curve${dashed ? " dashed" : ""}`, "stroke-dasharray": dashed ? null : dash, d: path(values, at, x, y), "data-run": cell.name }),
          kept >= 0 && !dashed && s("circle", { class: "dot", r: 3.5, cx: x(at[kept]), cy: y(values[kept]) }),
          cell.state !== "done" && s("circle", { class: "open", r: 4, cx: x(at[end]), cy: y(values[end]) }),
          kept < 0 && values.filter(is).length === 1 && s("circle", { class: "dot", r: 2.5, cx: x(at[end]), cy: y(values[end]) }),
        ];
      });
      return s("g", { class: colour }, s("title", {}, said), paths);
    });
    const odd = members.filter(cell => cell.state !== "done");
    const about = `${curveName(name)} of ${group.label} by epoch: ${lines.map(cell => `${seedName(cell)} ends at ${linesOf(cell, name).map(([values]) => values.findLast(is)).join(" and ")}`).join(", ")}`;
    return h("div", { class: "panel" },
      h("h3", {}, group.label, " ", h("span", { class: "dim" }, several && group.data)),
      s("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": about }, axes, below, s("text", { class: "r dim", x: left - 10, y: H - 8 }, "epoch"), each),
      odd.length > 0 && h("p", { class: "note small" }, odd.map((cell, i) => [i ? "; " : "", `${seedName(cell)}: `, state(cell)])));
  }
  function path(values, at, x, y) { // a gap where there is no value
    let d = "", pen = false;
    values.forEach((value, i) => {
      pen = is(value) && is(at[i]) ? (d += `${pen ? "L" : "M"}${x(at[i])} ${y(value)}`, true) : false;
    });
    return d;
  }
  function keys(found) {
    const used = seeds.filter(seed => found.some(cell => cell.seed === seed));
    return used.length > 0 && h("div", { class: "keys", "aria-label": "colours of seeds" }, used.map(seed => {
      const { colour, dash } = look(seed);
      return h("span", {}, s("svg", { class: colour, viewBox: "0 0 34 12", "aria-hidden": "true" },
        s("path", { class: "line", "stroke-dasharray": dash, d: "M1 6H33" })), `seed ${seed}`);
    }));
  }

  // ---- scores as dots on an axis: seeds with intervals, or subjects

  const DOTS = 700;
  function forest(rows, ends, chance) { // a row: name, dots [value, class, title], mean, ends, paper, text
    const x = scale(ends, 12, DOTS - 12), H = 26, mid = H / 2;
    const grid = () => ticks(...ends, 6).map(v => s("path", { class: "grid", d: `M${x(v)} 0V${H}` }));
    return h("div", { class: "forest" }, rows.map(row => [
      h("div", { class: "name" }, row.name),
      s("svg", { viewBox: `0 0 ${DOTS} ${H}`, role: "img", "aria-label": `${row.about}: ${row.text}` }, grid(),
        row.ends && s("path", { class: "ends", d: `M${x(row.ends[0])} ${mid - 5}v10M${x(row.ends[0])} ${mid}H${x(row.ends[1])}M${x(row.ends[1])} ${mid - 5}v10` }, s("title", {}, row.text)),
        row.dots.filter(([value]) => is(value)).map(([value, colour, said]) => s("g", { class: colour }, s("circle", { r: 4.5, cx: x(value), cy: mid }, s("title", {}, said)))),
        is(row.mean) && s("path", { class: "mean", d: `M${x(row.mean)} ${mid - 9}v18` }, s("title", {}, row.text)),
        is(row.paper) && s("path", { class: `paper${row.apart ? " apart" : ""}`, d: `M${x(row.paper)} ${mid - 7}l6 7l-6 7l-6 -7z` }, s("title", {}, row.said))),
      h("div", { class: "value" }, row.text),
    ]), h("div"), s("svg", { viewBox: `0 0 ${DOTS} 18`, "aria-hidden": "true" }, ticks(...ends, 6).map(v => s("text", { class: "m dim", x: x(v), y: 12 }, v))), h("div"));
  }
  function byData(found) { // groups of one data set, protocol and metric share an axis
    const kinds = new Map();
    for (const group of [...found].sort(best)) {
      const key = [group.data, metricOf(group), group.protocol].join("\n");
      if (is(scoreOf(group).mean)) kinds.set(key, [...(kinds.get(key) || []), group]);
    }
    return [...kinds.values()];
  }
  function heading([group]) {
    return h("h3", {}, `${spoken(metricOf(group))}: ${group.title} (data=${group.data}), protocol ${group.protocol}`);
  }
  function withoutScore(found) {
    const none = found.filter(group => !is(scoreOf(group).mean));
    return none.length > 0 && h("p", { class: "note" }, `Without this score: ${none.map(group => `${named(group)}${group.gone.length ? ` (${group.gone.join(", ")})` : ""}`).join("; ")}.`);
  }
  function bySeed(found) {
    return [keys(found.cells), byData(found.groups).map(alike => {
      const rows = alike.map(group => {
        const metric = metricOf(group), { mean, ends, text, interval } = group.scores[metric], paper = group.published[metric];
        const counted = cells.filter(cell => cell.group === group.i && is(cell.test[metric]) && group.seeds.includes(cell.seed));
        return {
          name: [group.label, group.gone.length > 0 && h("span", { class: "sub dim small" }, ` ${group.gone.join(", ")}`)], about: group.label, mean, ends,
          dots: counted.map(cell => [cell.test[metric], look(cell.seed).colour, `${seedName(cell)}: ${four(cell.test[metric])}`]),
          text: `${text} ${interval}`, paper: paper?.mean, apart: paper?.comparable.startsWith("no"),
          said: paper && `${paper.title}: ${paper.text}; comparable: ${paper.comparable}`,
        };
      });
      const all = rows.flatMap(row => [...row.dots.map(([value]) => value), row.mean, ...(row.ends || []), row.paper]);
      return [heading(alike), forest(rows, around(all, 0.01))];
    }), withoutScore(found.groups)];
  }

  // ---- subjects

  const COLUMNS = 30; // the most test subjects that fit in a table
  function bySubject(found) {
    return byData(found.groups).map((alike, i) => {
      const metric = metricOf(alike[0]), names = distinct(alike.flatMap(group => Object.keys(group.subjects))).sort(collator.compare);
      const value = (group, name) => group.subjects[name]?.[metric] ?? null;
      const all = alike.flatMap(group => names.map(name => value(group, name))), ends = around(all, 0.01);
      if (!ends) return [heading(alike), h("p", { class: "note" }, "No test subject has a score by itself.")];
      if (names.length > COLUMNS) {
        return [heading(alike), forest(alike.map(group => ({
          name: group.label, about: group.label, text: scoreOf(group).spread,
          dots: names.map(name => [value(group, name), "c0", `${name}: ${four(value(group, name))}`]),
        })), ends)];
      }
      const paint = (node, v) => node.style.setProperty("background", `color-mix(in srgb, var(--c0) ${Math.round(5 + 50 * (v - ends[0]) / (ends[1] - ends[0]))}%, transparent)`);
      const columns = [{ name: "group", kind: "label", value: group => group.label },
        ...names.map(name => ({ name, number: true, paint, value: group => value(group, name), show: group => value(group, name).toFixed(3) }))];
      return [heading(alike), table(`subjects${i}`, "Test subjects", columns, alike, alike)];
    });
  }

  // ---- figures

  const images = new Map(); // kept, so that a browser decodes each image once
  function figures(found) {
    const held = [...found.cells].sort(unfinishedFirst).flatMap(cell => cell.figures.filter(one => one.name === chosen.figure).map(one => ({ cell, one })));
    const inside = held.filter(({ one }) => one.src), outside = held.filter(({ one }) => !one.src);
    return [
      h("div", { class: "panels narrow", id: "gallery" }, inside.map(({ cell, one }) => {
        const title = `${named(groups[cell.group])}, ${seedName(cell)}`;
        if (!images.has(one)) images.set(one, h("img", { src: one.src, loading: "lazy", alt: `${one.name.replaceAll("_", " ")} of ${title}` }));
        return h("figure", {}, link(one.href, images.get(one)), h("figcaption", {}, one.said ? `${title}; ${one.said}` : title));
      })),
      outside.length > 0 && h("p", { class: "note" }, `Figures outside the page, which holds ${facts.room.MB} MB of figures and none above ${facts.room.kB} kB: `, outside.map(({ cell, one }, i) => [i ? ", " : "", link(one.href, `${named(groups[cell.group])}, ${seedName(cell)}`), one.said && ` (${one.said})`]), "."),
    ];
  }

  // ---- the page

  function choice(name, label, options) { // options: [value, words]
    const node = h("select", { name, onchange: event => choose({ [name]: event.target.value }) }, options.map(([value, words]) => h("option", { value }, words)));
    return h("label", { class: "choice" }, label, node);
  }
  function every(key) {
    const values = distinct(cells.map(cell => cell[key])).filter(Boolean).sort(collator.compare);
    return [["", `all (${values.length})`], ...values.map(value => [value, `${value} (${cells.filter(cell => cell[key] === value).length})`])];
  }
  const own = distinct(groups.map(group => group.own).filter(Boolean));
  const measures = Object.entries(metrics).map(([key, name]) => [key, name]);
  if (own.length === 1) chosen.metric = own[0];
  else measures.unshift(["", "each one's own"]);
  const lines = curveNames(), drawings = distinct(cells.flatMap(cell => cell.figures.map(one => one.name))).sort();
  chosen.curve = lines[0] || "";
  chosen.figure = drawings.includes("confusion_matrix") ? "confusion_matrix" : drawings[0] || "";

  const count = h("output", { "aria-live": "polite" }), part = {};
  const sections = [
    ["groups-of", "Groups", "One row for runs that differ only in their seed."],
    ["all-runs", "Runs", "One row a run; the name of a run links to its folder."],
    ["curves-of", "Learning curves", "One line a seed. Filled dot: the epoch whose weights were kept. Open dot: the last epoch of an unfinished run."],
    ["by-seed", "By seed, with intervals", "Dots: seeds. Upright line: their mean. Whiskers: 95 % interval over test subjects and seeds. Diamond: the paper's score, dotted if the two must not be compared."],
    ["by-subject", "Test subjects", "The score of each subject's windows alone, as a mean over seeds."],
    ["figures-of", "Figures", ""],
  ].filter(([id]) => (id !== "figures-of" || drawings.length) && (id !== "curves-of" || lines.length));
  const search = h("input", { type: "search", name: "text", placeholder: "any words", oninput: event => choose({ text: event.target.value }) });
  const bar = h("div", { class: "bar", role: "search", "aria-label": "Filters" },
    h("label", {}, "words", search),
    choice("data", "data", every("data")), choice("model", "model", every("model")), choice("state", "state", every("state")),
    measures.length > 0 && choice("metric", "test score", measures),
    count, h("nav", { "aria-label": "Sections" }, sections.map(([id, name]) => link(`#${id}`, name))));
  const main = document.querySelector("main");
  main.append(bar, ...sections.map(([id, name, about]) => {
    part[id] = h("div");
    const choices = id === "curves-of" ? choice("curve", "of", lines.map(one => [one, curveName(one)]))
      : id === "figures-of" ? choice("figure", "figure", drawings.map(one => [one, one.replaceAll("_", " ")])) : "";
    return h("section", { "aria-labelledby": id }, h("h2", { id }, name), about && h("p", { class: "note" }, about), choices, part[id]);
  }), h("p", { class: "note" }, `Scores: ${facts.legend}. FLOPs: a forward pass of one window through the trained model. Wall time: of the process that finished the run.`));
  for (const name of ["metric", "curve", "figure"]) {
    const node = main.querySelector(`select[name=${name}]`);
    if (node) node.value = chosen[name];
  }

  function choose(changes) {
    Object.assign(chosen, changes);
    draw();
  }
  let drawn = "";
  function draw() {
    const found = shown(), group = groups[chosen.group];
    const now = JSON.stringify([found.cells.map(cell => cell.i), { ...chosen, text: "" }]);
    if (now === drawn) return; // the letters typed since then change nothing
    drawn = now;
    count.replaceChildren(`${found.cells.length} of ${cells.length} runs, ${found.groups.length} of ${groups.length} groups `,
      ...(group ? [h("button", { type: "button", onclick: () => choose({ group: null }) }, `only ${named(group)} ✕`)] : []));
    const put = { "groups-of": () => groupTable(found.groups), "all-runs": () => cellTable(found.cells), "curves-of": () => curves(found),
      "by-seed": () => bySeed(found), "by-subject": () => bySubject(found), "figures-of": () => figures(found) };
    for (const [id, node] of Object.entries(part)) node.replaceChildren(...[put[id]()].flat(9).filter(Boolean));
  }
  draw();
})();
