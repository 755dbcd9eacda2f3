"use strict";
// The status page: one request every 10 s, everything drawn from its answer. Text enters the page as text, never as HTML.

const EVERY_MS = 10_000;
let last = null;

const $ = (id) => document.getElementById(id);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => (isNumber(value) ? value.toLocaleString("en") : "–");
const percent = (value) => (isNumber(value) ? `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 0 : 1)} %` : "–");
const short = (value) => (!isNumber(value) ? "–" : value >= 1000 ? whole(Math.round(value)) : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const moment = (text) => (text ? new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "–");

// An interval as Postgres writes it.
const duration = (text) => (text ?? "").replace(/^(\d\d):(\d\d):\d\d$/, (_, h, m) => (+h ? `${+h} h${+m ? ` ${+m} min` : ""}` : `${+m} min`));

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function draw(name, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Is ML helping?

const SCORES = { served: "served", ml: "ML alone", rule: "rule", first_passage: "first passage", blended: "blend", base_rate: "base rate" };
const signed = (value) => (!isNumber(value) ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(4)}`);
const between = (low, high) => (isNumber(low) && isNumber(high) ? `[${signed(low)}, ${signed(high)}]` : "no interval yet");

function helping(found, health) {
  const asked = found.differences.find((d) => d.score === "served" && d.baseline === found.against);
  const other = { rule: "the rule", base_rate: "the base rate" }[found.against];
  const size = asked ? `Brier score ${signed(asked.difference)} ${between(asked.low, asked.high)}` : "";
  const answers = {
    better: [`Yes. What applications read is better than ${other}.`, "good"],
    worse: [`No. What applications read is worse than ${other}.`, "bad"],
    unknown: [found.rows ? "Not known yet: no difference is certain." : "Not known yet: no row that the model has not seen has an outcome.", ""],
  };
  const [text, tone] = !health.champion ? ["There is no model yet: confidence is the rule's.", "warn"]
    : !health.ml_enabled ? ["ML is switched off: confidence is the rule's.", "warn"] : answers[found.answer];
  $("answer").textContent = text;
  $("answer").className = `answer ${tone}`;
  const rows = found.rows ? `${size}, on ${whole(found.rows)} ${found.source === "live" ? "live" : "backfilled"} rows in ${whole(asked?.blocks)} blocks of ${asked?.block_days} days.` : "";
  const seen = found.seen_in_training ? ` ${whole(found.seen_in_training)} labelled rows do not count: the model may have learned from them.` : "";
  $("answer-note").textContent = rows + seen;
  const { blended, ruled, fallbacks } = found.decided ?? {};
  const all = blended + ruled + fallbacks;
  const { settings } = found;
  const list = [
    ["Blended, last 7 days", percent(all ? blended / all : null), all ? `of ${whole(all)} rows` : "no rows", all && !blended ? "warn" : ""],
    ["Weights", `${+settings.ml_weight.toFixed(2)} and ${+settings.rule_weight.toFixed(2)}`, `ML and rule, ${settings.weights}`, ""],
    ["Threshold", String(settings.threshold), "least certainty that is blended", ""],
    ["Base rate", percent(found.base_rate), "of outcomes are positive", ""],
  ];
  $("helping-tiles").replaceChildren(...list.map(([label, value, note, kind]) =>
    node("div", {}, node("dt", {}, label), node("dd", { class: kind }, value, " ", node("small", {}, note)))));
  $("evidence").hidden = !found.scores.length;
  if (!found.scores.length) return;
  bars("scores", found.scores.map((s) => ({ name: SCORES[s.score], value: s.brier, kind: s.score === "served" ? "" : "other", title: `${whole(s.n)} rows` })));
  ranges("differences", found.differences.map((d) => ({ ...d, name: `${SCORES[d.score]} − ${SCORES[d.baseline]}` })));
  $("types-note").textContent = found.types.length ? `served − ${SCORES[found.against]}, left of 0 is better` : "";
  ranges("types", found.types.map((d) => ({ ...d, name: d.pattern_type })));
  months(found.months);
}

const ROW = 24, NAME = 156;

// One row an entry; the picture grows with them.
function rowed(id, label, entries, right) {
  const width = Math.max($(id).clientWidth, 260), height = Math.max(entries.length, 3) * ROW + BOTTOM;
  const svg = draw("svg", { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}`, height, class: "rowed" });
  entries.forEach((entry, i) => {
    const name = entry.name.length > 24 ? `${entry.name.slice(0, 23)}…` : entry.name;
    const text = draw("text", { x: NAME - 8, y: i * ROW + 16, "text-anchor": "end", class: "name" }, name);
    text.append(draw("title", {}, entry.name));
    svg.append(text);
  });
  return { svg, height, left: NAME, width: width - right };
}

function bars(id, entries) {
  const { svg, left, width } = rowed(id, `Brier scores: ${entries.map((e) => `${e.name} ${e.value.toFixed(4)}`).join(", ")}.`, entries, 56);
  const most = Math.max(...entries.map((e) => e.value));
  entries.forEach((entry, i) => {
    const long = Math.max(1, (entry.value / most) * (width - left));
    const bar = draw("rect", { class: `bar ${entry.kind}`, x: left, y: i * ROW + 5, width: long, height: ROW - 10, rx: 2 });
    bar.append(draw("title", {}, entry.title));
    svg.append(bar, draw("text", { x: left + long + 6, y: i * ROW + 16 }, entry.value.toFixed(4)));
  });
  $(id).replaceChildren(svg);
}

function ranges(id, entries) {
  if (!entries.length) return empty(id, "No row with both has an outcome yet.");
  const { svg, height, left, width } = rowed(id, `${entries.map((e) => `${e.name} ${signed(e.difference)} ${between(e.low, e.high)}`).join("; ")}.`, entries, 22);
  const values = entries.flatMap((e) => [e.low, e.high, e.difference]).filter(isNumber);
  const most = nice(Math.max(1e-4, ...values.map(Math.abs)));
  const x = (value) => left + ((value + most) / (2 * most)) * (width - left);
  for (const tick of [-most, -most / 2, 0, most / 2, most]) {
    svg.append(draw("line", { class: tick ? "grid" : "base", x1: x(tick), x2: x(tick), y1: 0, y2: height - BOTTOM }));
    svg.append(draw("text", { x: x(tick), y: height - 6, "text-anchor": "middle" }, tick ? `${tick < 0 ? "−" : "+"}${axis(Math.abs(tick))}` : "0"));
  }
  entries.forEach((entry, i) => {
    const tone = entry.high < 0 ? "good" : entry.low > 0 ? "bad" : "";
    const y = i * ROW + 12;
    if (isNumber(entry.low)) svg.append(draw("line", { class: `range ${tone}`, x1: x(entry.low), x2: x(entry.high), y1: y, y2: y }));
    const dot = draw("circle", { class: `dot ${tone}`, cx: x(entry.difference), cy: y, r: 5 });
    dot.append(draw("title", {}, `${signed(entry.difference)} ${between(entry.low, entry.high)}, ${whole(entry.n)} rows`));
    svg.append(dot);
  });
  $(id).replaceChildren(svg);
}

function months(list) {
  const id = "months";
  if (list.length < 2) return empty(id, "One month so far.");
  const series = [["served", ""], ["rule", "p99"], ["first_passage", "quiet"]];
  const at = list.map((m) => Date.parse(m.month));
  const values = list.flatMap((m) => series.map(([name]) => m[name])).filter(isNumber);
  const { svg, width, y } = frame(id, `Brier score by month, ${list[0].month.slice(0, 7)} to ${list.at(-1).month.slice(0, 7)}.`, linear(nice(Math.max(...values))));
  const x = (time) => LEFT + ((time - at[0]) / (at.at(-1) - at[0])) * (width - LEFT - RIGHT);
  for (const [name, kind] of series) {
    const points = list.map((m, i) => [x(at[i]), m[name]]).filter(([, value]) => isNumber(value));
    if (points.length > 1) svg.append(draw("path", { class: `line ${kind}`, d: `M${points.map(([a, b]) => `${a.toFixed(1)},${y(b).toFixed(1)}`).join("L")}` }));
  }
  list.forEach((m, i) => {
    const spot = draw("rect", { x: x(at[i]) - 4, y: TOP, width: 8, height: HEIGHT - TOP - BOTTOM, fill: "transparent" });
    spot.append(draw("title", {}, `${m.month.slice(0, 7)}: served ${m.served?.toFixed(4) ?? "–"}, rule ${m.rule?.toFixed(4) ?? "–"}, first passage ${m.first_passage?.toFixed(4) ?? "–"}, ${whole(m.n)} rows`));
    svg.append(spot);
  });
  for (const [time, anchor] of [[at[0], "start"], [at.at(-1), "end"]]) {
    svg.append(draw("text", { x: x(time), y: HEIGHT - 5, "text-anchor": anchor }, new Date(time).toLocaleDateString("en-GB", { timeZone: "UTC", month: "short", year: "numeric" })));
  }
  $(id).replaceChildren(svg);
}

// Service

function tiles(health, limits) {
  const age = isNumber(health.oldest_age_ms) ? `oldest ${short(health.oldest_age_ms / 1000)} s` : "";
  const below = (share, warning, critical) => (!isNumber(share) ? "" : share < critical ? "bad" : share < warning ? "warn" : "good");
  const rest = (share) => (isNumber(share) ? 1 - share : null);
  const list = [
    ["Insert to score, p50", "latency_p50_ms", short(health.latency_p50_ms), `ms, p99 ${short(health.latency_p99_ms)}`, ""],
    ["Within service level", "within_sla", percent(health.within_sla), `of ${health.sla_ms} ms`, below(health.within_sla, limits.sla_warning, limits.sla_critical)],
    ["Waiting", "queue_depth", whole(health.queue_depth), age, ""],
    ["Fallbacks", "fallback_rate", percent(health.fallback_rate), "", below(rest(health.fallback_rate), 1 - limits.fallback_warning, 1 - limits.fallback_critical)],
    ["Errors", "error_rate", percent(health.error_rate), "", below(rest(health.error_rate), 1 - limits.error_warning, 1 - limits.error_critical)],
    ["Bars from memory", "cache_hit_rate", percent(health.cache_hit_rate), "", below(health.cache_hit_rate, limits.cache_warning, limits.cache_critical)],
    ["ML", "ml_enabled", health.ml_enabled ? "enabled" : "disabled", "", health.ml_enabled ? "good" : "warn"],
    ["Champion", "champion", health.champion ?? "none", "", health.model_loaded ? "" : "bad"],
    ["Workers", "workers_alive", whole(health.workers_alive), `${whole(health.workers_serving)} serving`, health.workers_alive ? "" : "bad"],
    ["Rows", "rows", whole(health.rows), "", ""],
    ["Dead letters", "dead_letters", whole(health.dead_letters), "", health.dead_letters ? "warn" : ""],
    ["Drift baseline", "baseline_set", health.baseline_set ? "set" : "not set", "", health.baseline_set ? "" : "warn"],
  ];
  $("measured").textContent = `over the last ${duration(health.measured_over)}`;
  $("tiles").replaceChildren(...list.map(([label, field, value, note, tone]) => {
    const shown = node("dd", { "data-field": field, class: `${tone}${value.length > 11 ? " long" : ""}` }, value);
    if (note) shown.append(" ", node("small", {}, note));
    return node("div", {}, node("dt", {}, label), shown);
  }));
}

const TOGETHER = 3; // more alerts of one type and level than this are one line, which opens
const opened = new Set();

function alerts(list) {
  $("alert-count").textContent = list.length ? String(list.length) : "";
  if (!list.length) return $("alerts").replaceChildren(node("li", { class: "none" }, "Nothing needs anybody."));
  const sorts = new Map();
  for (const alert of list) {
    const sort = `${alert.level} ${alert.type}`;
    sorts.set(sort, [...(sorts.get(sort) ?? []), alert]);
  }
  $("alerts").replaceChildren(...[...sorts].flatMap(([sort, same]) => {
    if (same.length <= TOGETHER) return same.map((alert) => node("li", { class: alert.level, "data-type": alert.type }, ...headed(alert), alert.message, since(alert)));
    const names = same.slice(0, 4).map((alert) => alert.subject).join(", ");
    const details = node("details", opened.has(sort) ? { open: "" } : {},
      node("summary", {}, ...headed(same[0]), `${same.length} of them: ${names} ${same.length > 4 ? "…" : ""}`),
      node("ul", {}, ...same.map((alert) => node("li", {}, alert.message, since(alert)))));
    // What was opened stays open over a refresh.
    details.addEventListener("toggle", () => opened[details.open ? "add" : "delete"](sort));
    return [node("li", { class: same[0].level, "data-type": same[0].type, "data-count": same.length }, details)];
  }));
}

const headed = (alert) => [node("span", { class: "level" }, alert.level), node("b", {}, alert.type.replaceAll("_", " "))];

function since(alert) {
  const known = alert.acknowledged_at ? `, known to ${alert.acknowledged_by}: ${alert.acknowledged_because}` : "";
  // One that no worker has written down yet stands, since nobody knows when.
  return alert.since ? node("span", { class: "muted" }, `since ${moment(alert.since)}${known}`) : "";
}

// Plots

const HEIGHT = 170, LEFT = 38, RIGHT = 10, TOP = 8, BOTTOM = 22;

function frame(id, label, { place, ticks }) {
  const width = Math.max($(id).clientWidth, 220);
  const svg = draw("svg", { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${HEIGHT}` });
  const y = (value) => HEIGHT - BOTTOM - place(value) * (HEIGHT - TOP - BOTTOM);
  for (const value of ticks) {
    svg.append(draw("line", { class: place(value) ? "grid" : "base", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, axis(value)));
  }
  return { svg, width, y };
}

const linear = (maximum) => ({ place: (value) => value / maximum, ticks: [0, maximum / 2, maximum] });

// For what spans orders of magnitude: rows that waited through a stop must not flatten all the others.
function logarithmic(values) {
  const low = Math.floor(Math.log10(Math.min(...values))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const steps = Math.ceil((high - low) / 4);
  const ticks = [];
  for (let power = low; power <= high; power += steps) ticks.push(10 ** power);
  return { place: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low), ticks };
}

function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

const axis = (value) => (value >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(+value.toPrecision(3)));

function empty(id, text) {
  $(id).replaceChildren(node("p", { class: "empty" }, text));
}

function overTime(id, label, grain, history, series, { line, unit = "", scale = (values) => linear(nice(Math.max(0, ...values))) } = {}) {
  if (!history.length) return empty(id, "No rows yet.");
  const step = grain === "minute" ? 60_000 : 3_600_000;
  const until = Math.max(Date.now(), ...history.map((row) => Date.parse(row.bucket)));
  // No longer than there are rows, but not so short that a minute fills it.
  const oldest = Math.min(...history.map((row) => Date.parse(row.bucket)));
  const since = Math.max(until - (grain === "minute" ? 180 : 168) * step, Math.min(oldest, until - 15 * step));
  const rows = history.filter((row) => Date.parse(row.bucket) >= since);
  const values = [line, ...rows.flatMap((row) => series.map(([, value]) => value(row)))].filter(isNumber);
  const newest = rows.length ? series.map(([name, value]) => `${name} ${short(value(rows.at(-1)))}${unit}`).join(", ") : "none";
  const { svg, width, y } = frame(id, `${label}. Newest: ${newest}.`, scale(values));
  const x = (row) => LEFT + ((Date.parse(row.bucket) - since) / (until - since)) * (width - LEFT - RIGHT);
  for (const part of [0, 1 / 3, 2 / 3, 1]) {
    const at = new Date(since + part * (until - since));
    const text = until - since < 48 * 3_600_000 ? at.toLocaleTimeString("en-GB", { timeStyle: "short" }) : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    svg.append(draw("text", { x: LEFT + part * (width - LEFT - RIGHT), y: HEIGHT - 5, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" }, text));
  }
  if (line) svg.append(draw("line", { class: "sla-line", x1: LEFT, x2: width - RIGHT, y1: y(line), y2: y(line) }));
  for (const [name, value, kind] of series) {
    let run = [];
    const flush = () => {
      if (run.length > 1) svg.append(draw("path", { class: `line ${kind}`, d: `M${run.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L")}` }));
      else if (run.length) svg.append(draw("circle", { class: `dot ${kind}`, cx: run[0][0], cy: run[0][1], r: 3 }));
      run = [];
    };
    rows.forEach((row, i) => {
      // A minute without rows is a gap, not a line across it.
      if (!isNumber(value(row)) || (i && Date.parse(row.bucket) - Date.parse(rows[i - 1].bucket) > 1.5 * step)) flush();
      if (isNumber(value(row))) run.push([x(row), y(value(row))]);
    });
    flush();
    for (const row of rows) {
      if (!isNumber(value(row))) continue;
      const spot = draw("circle", { cx: x(row), cy: y(value(row)), r: 6, fill: "transparent" });
      spot.append(draw("title", {}, `${moment(row.bucket)}: ${name} ${short(value(row))}${unit}`));
      svg.append(spot);
    }
  }
  $(id).replaceChildren(svg);
}

function confidences(found) {
  const counts = found?.counts ?? [], total = counts.reduce((sum, n) => sum + n, 0);
  if (!total) return empty("confidences", "No scores in the last 7 days.");
  // Bins are of unequal width, so that each holds a like share of the training rows: twenty of equal width show better.
  const bars = new Array(20).fill(0), bounds = [0, ...(found.edges ?? []), 1];
  counts.forEach((n, i) => {
    const low = bounds[i] ?? 0, high = bounds[i + 1] ?? 1;
    for (let b = 0; b < 20; b += 1) {
      const inside = Math.min(high, (b + 1) / 20) - Math.max(low, b / 20);
      if (high > low ? inside > 0 : b === Math.min(19, Math.floor(low * 20))) bars[b] += n * (high > low ? inside / (high - low) : 1);
    }
  });
  const { svg, width, y } = frame("confidences", `Histogram of ${whole(total)} confidences.`, linear(nice(Math.max(...bars))));
  const step = (width - LEFT - RIGHT) / 20;
  bars.forEach((n, i) => {
    const bar = draw("rect", { class: "bar", x: LEFT + i * step + 1, width: Math.max(step - 2, 1), y: y(n), height: y(0) - y(n), rx: 2 });
    bar.append(draw("title", {}, `${(i / 20).toFixed(2)} to ${((i + 1) / 20).toFixed(2)}: about ${whole(Math.round(n))} rows`));
    svg.append(bar);
  });
  unitAxis(svg, width);
  $("confidences").replaceChildren(svg);
}

function unitAxis(svg, width) {
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("text", { x: LEFT + value * (width - LEFT - RIGHT), y: HEIGHT - 5, "text-anchor": value === 0 ? "start" : value === 1 ? "end" : "middle" }, String(value)));
  }
}

function calibration(all, found) {
  const chosen = found.find((group) => groupKey(group) === $("group").value);
  const bins = chosen?.bins ?? all;
  if (!bins.length) return empty("calibration", "No unseen row of this champion has an outcome yet.");
  const rows = bins.reduce((sum, bin) => sum + bin.n, 0);
  const { svg, width, y } = frame("calibration", `Reliability of ${whole(rows)} labelled rows in ${bins.length} bins.`, linear(1));
  const x = (value) => LEFT + value * (width - LEFT - RIGHT);
  svg.append(draw("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
  for (const bin of bins) {
    const dot = draw("circle", { class: "dot", cx: x(bin.predicted), cy: y(bin.observed), r: 3 + 7 * Math.sqrt(bin.n / rows) });
    dot.append(draw("title", {}, `predicted ${bin.predicted.toFixed(3)}, observed ${bin.observed.toFixed(3)}, ${whole(bin.n)} rows`));
    svg.append(dot);
  }
  unitAxis(svg, width);
  $("calibration").replaceChildren(svg);
}

const groupKey = (group) => `${group.kind}: ${group.name}`;

// The choice outlives a refresh, and a group that is gone.
function choices(found) {
  const before = $("group").value;
  $("group").replaceChildren(node("option", { value: "" }, "all rows"),
    ...found.map((group) => node("option", { value: groupKey(group) }, groupKey(group))));
  $("group").value = found.some((group) => groupKey(group) === before) ? before : "";
}

// Tables

function groups(found) {
  if (!found.length) return empty("groups", "No unseen row of this champion has an outcome yet.");
  const row = (group) => {
    const off = group.predicted < group.low || group.predicted > group.high;
    return node("tr", { "data-group": groupKey(group) },
      node("th", { scope: "row" }, group.name), node("td", {}, group.kind), node("td", { class: "number" }, whole(group.n)),
      node("td", { class: `number ${off ? "off" : ""}` }, percent(group.predicted), off ? node("span", { class: "hidden" }, " (outside)") : ""),
      node("td", { class: "number" }, percent(group.observed)), node("td", { class: "number" }, `${percent(group.low)} to ${percent(group.high)}`));
  };
  const head = [["Group", ""], ["Kind", ""], ["Rows", "number"], ["Predicted", "number"], ["Observed", "number"], ["Interval", "number"]];
  $("groups").replaceChildren(node("table", {},
    node("thead", {}, node("tr", {}, ...head.map(([text, kind]) => node("th", { scope: "col", class: kind }, text)))),
    node("tbody", {}, ...found.map(row))));
}

function drift(found) {
  const features = found ?? [];
  $("drift-legend").hidden = !features.length;
  if (!features.length) return empty("drift", "No window with enough live rows and a baseline yet.");
  const days = [...new Set(features.flatMap((feature) => feature.windows.map((w) => w.start)))].sort();
  const hours = days.some((start) => new Date(start).getUTCHours());
  const day = (text) => new Date(text).toLocaleString("en-GB", { timeZone: "UTC", day: "numeric", month: "short", ...(hours ? { hour: "2-digit", minute: "2-digit" } : {}) });
  // Large by the settings' limits, and significant: the level is the view's. What is neither is told apart by chance alone.
  const heat = (w) => (!w.complete ? "running" : w.level === "critical" ? "h4" : w.level === "warning" ? "h3" : w.psi > w.psi_critical_value ? "h1" : "h0");
  const body = features.map((feature) => node("tr", {}, node("th", { scope: "row" }, feature.name), ...days.map((start) => {
    const window = feature.windows.find((w) => w.start === start);
    if (!window || !isNumber(window.psi)) return node("td", { class: "no" }, "–");
    const said = `${whole(window.n)} rows; chance explains ${short(window.psi_critical_value)}${window.complete ? "" : "; still running"}`;
    return node("td", { class: heat(window), title: said }, window.psi.toFixed(2), window.complete && window.level ? node("span", { class: "hidden" }, ` ${window.level}`) : "");
  })));
  $("drift").replaceChildren(node("table", { class: "heat" },
    node("thead", {}, node("tr", {}, node("th", { scope: "col" }, "Feature"), ...days.map((start) => node("th", { scope: "col" }, day(start))))),
    node("tbody", {}, ...body)));
  // On a narrow screen the newest are what somebody came for; where the reader scrolled to afterwards is theirs.
  const card = $("drift").parentElement;
  if (!card.dataset.scrolled) card.scrollLeft = card.scrollWidth;
  card.dataset.scrolled = "true";
}

function timeline(list) {
  if (!list.length) return empty("timeline", "No model has been promoted yet.");
  const head = ["Model", "Alias", "How", "From", "Until", "By", "Why"];
  $("timeline").replaceChildren(node("table", {},
    node("thead", {}, node("tr", {}, ...head.map((text) => node("th", { scope: "col" }, text)))),
    node("tbody", {}, ...list.map((row) => node("tr", { class: row.valid_to ? "" : "current" },
      node("th", { scope: "row", class: "wrap" }, row.version), node("td", {}, row.alias), node("td", {}, row.forced ? `${row.cause}, forced` : row.cause),
      node("td", {}, moment(row.valid_from)), node("td", {}, row.valid_to ? moment(row.valid_to) : "–"), node("td", {}, row.set_by),
      node("td", { class: "wrap" }, row.reason))))));
}

// All of it

function render() {
  if (!last) return;
  const grain = document.querySelector("input[name=grain]:checked").value;
  const history = grain === "minute" ? last.metrics.history : last.hours;
  const { health } = last;
  $("status").textContent = health.status;
  $("status").className = `pill ${health.status}`;
  document.title = `${health.status} · pattern scoring`;
  $("as-of").textContent = `as of ${new Date(health.as_of).toLocaleTimeString("en-GB", { timeZoneName: "short" })}`;
  $("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
  helping(last.helping, health);
  alerts(last.alerts);
  tiles(health, last.limits ?? {});
  $("throughput-note").textContent = grain === "minute" ? "" : "mean over each hour";
  overTime("throughput", "Rows a minute", grain, history, [["rows", (row) => row.rows / (grain === "minute" ? 1 : 60), ""]]);
  overTime("latency", "Milliseconds from insert to score", grain, history,
    [["p50", (row) => row.latency_p50_ms, ""], ["p99", (row) => row.latency_p99_ms, "p99"]], { line: health.sla_ms, unit: " ms", scale: logarithmic });
  overTime("fallbacks", "Share of rows that fell back, or failed", grain, history,
    [["fallbacks", (row) => 100 * row.fallback_rate, ""], ["errors", (row) => 100 * row.error_rate, "bad"]], { unit: " %" });
  confidences(last.confidences);
  choices(last.groups ?? []);
  calibration(last.calibration, last.groups ?? []);
  groups(last.groups ?? []);
  drift(last.drift);
  timeline(last.timeline);
  document.body.dataset.ready = "true";
}

async function refresh() {
  try {
    const answer = await fetch("api/ml/page", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error((await answer.json()).error ?? answer.statusText);
    last = await answer.json();
    $("offline").hidden = true;
    render();
  } catch (error) {
    $("offline").textContent = `No answer: ${error.message}. ${last ? "What is shown is older." : ""}`;
    $("offline").hidden = false;
  }
}

document.querySelectorAll("input[name=grain]").forEach((input) => input.addEventListener("change", render));
$("group").addEventListener("change", render);
window.addEventListener("resize", render);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, EVERY_MS);
refresh();
