"use strict";
// The page that asks: levels around the last bars, and what a worker says of them. Text enters the page as text, never as HTML.

const LEVELS = { target: "Target", entry: "Entry", stop: "Stop" };
const SHOWN_BARS = 80, AHEAD = 20, WAIT_MS = 120;
const state = { series: [], bars: [], levels: {}, answer: null, asking: null, scale: null, timer: 0 };

const $ = (id) => document.getElementById(id);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const percent = (value) => (isNumber(value) ? `${(100 * value).toFixed(1)} %` : "–");
const multiple = (value) => (isNumber(value) ? `${value > 5e-4 ? "+" : value < -5e-4 ? "−" : ""}${Math.abs(value).toFixed(3)}` : "–");
const price = (value) => String(+value.toPrecision(6));

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function draw(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function titled(made, text) {
  made.append(draw("title", {}, text));
  return made;
}

// Talking to the server

async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}`, "content-type": "application/json" } });
  const found = await answer.json();
  if (answer.status === 401) {
    $("key").hidden = false;
    $("token").focus();
    if (!sessionStorage.getItem("token")) throw new DOMException("no token yet", "AbortError");
  }
  if (!answer.ok) throw new Error(found.field ? `${found.field}: ${found.error}` : found.error ?? answer.statusText);
  return found;
}

function say(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

const attempt = (work) => work().catch((error) => { if (error.name !== "AbortError") say(error.message); });

async function start() {
  const found = await call("api/ml/series");
  $("key").hidden = true;
  say(found.series.length ? "" : "There are no bars yet.");
  state.series = found.series;
  $("types").replaceChildren(...found.pattern_types.map((value) => node("option", { value })));
  options("symbol", [...new Set(found.series.map(([symbol]) => symbol))]);
  chooseSymbol();
  if (found.series.length) await load();
}

const options = (id, values) => $(id).replaceChildren(...values.map((value) => node("option", { value }, value)));

function chooseSymbol() {
  options("timeframe", state.series.filter(([symbol]) => symbol === $("symbol").value).map(([, timeframe]) => timeframe));
}

async function load() {
  const query = new URLSearchParams({ symbol: $("symbol").value, timeframe: $("timeframe").value });
  state.bars = (await call(`api/ml/bars?${query}`)).slice(-SHOWN_BARS);
  const recent = state.bars.slice(-14), close = state.bars.at(-1)[4];
  const range = recent.reduce((sum, [, , high, low]) => sum + high - low, 0) / recent.length || close / 100;
  state.levels = { entry: close, target: close + 2 * range, stop: close - 2 * range };
  state.answer = null;
  levelsChanged();
}

function levelsChanged() {
  for (const name of Object.keys(LEVELS)) if (document.activeElement !== $(name)) $(name).value = price(state.levels[name]);
  chart();
  clearTimeout(state.timer);
  state.timer = setTimeout(() => attempt(ask), WAIT_MS);
}

// Only the newest question counts.
async function ask() {
  if (!$("choice").reportValidity()) return;
  state.asking?.abort();
  state.asking = new AbortController();
  $("surface").classList.add("waits");
  const { entry, target, stop } = state.levels;
  const pattern = { symbol: $("symbol").value, timeframe: $("timeframe").value, pattern_type: $("pattern-type").value, entry, target, stoploss: stop, direction: target >= entry ? 1 : -1 };
  const signal = state.asking.signal;
  const answer = await call("api/ml/surface", { method: "POST", body: JSON.stringify(pattern), signal });
  if (signal.aborted) return;
  state.answer = answer;
  say("");
  render();
}

// The answer

function render() {
  const found = state.answer;
  $("surface").classList.remove("waits");
  if (!found) return;
  const answered = found.reason === "answered", drawn = found.drawn ?? {}, sided = isNumber(drawn.p_target);
  $("model").textContent = found.model_version ? `${found.model_version}, ${found.horizon} bars ahead` : "";
  $("verdict").textContent = !answered ? `No answer: ${found.reason.replaceAll("_", " ")}`
    : !sided ? "Put target and stop on the two sides of the price"
      : found.best ? `Surely better: target ${price(found.best.target)}, stop ${price(found.best.stop)}` : "No pair is surely better";
  $("verdict").className = `answer ${!answered || !sided ? "warn" : found.best ? "good" : ""}`;
  $("why").textContent = answered ? `${found.why[0].toUpperCase()}${found.why.slice(1)}.` : found.error ?? "";
  const cost = found.cost_bps ? `multiples of the risk, after ${+found.cost_bps} basis points` : "multiples of the risk, before costs";
  const list = [
    ["Target first", "p_target", percent(drawn.p_target), "good"], ["Stop first", "p_stop", percent(drawn.p_stop), "bad"],
    ["Neither", "p_neither", percent(drawn.p_neither), ""], ["Expected value", "expected_value", multiple(drawn.expected_value), "", cost],
  ];
  $("tiles").replaceChildren(...list.map(([label, field, value, kind, note]) =>
    node("div", {}, node("dt", {}, label), node("dd", { class: kind, "data-field": field }, value, ...(note ? [node("small", {}, note)] : [])))));
  heat(found, answered);
  if (!state.scale) chart();
}

// The surface: a line a target, a column a stop, the nearest at the lower left.

const SIDE = 380, LEFT = 56, BOTTOM = 34;

function heat(found, answered) {
  if (!answered) return $("surface").replaceChildren(node("p", { class: "empty" }, "No surface."));
  const shown = document.querySelector("input[name=shown]:checked").value, table = found[shown];
  const rows = found.targets.length, columns = found.stops.length, wide = SIDE / columns, high = SIDE / rows;
  const most = Math.max(1e-9, ...table.flat().filter(isNumber).map(Math.abs));
  const svg = draw("svg", { viewBox: `0 0 ${LEFT + SIDE} ${SIDE + BOTTOM}`, role: "img", "aria-label": summary(found, shown) });
  svg.append(draw("rect", { class: "cells", x: LEFT, y: 0, width: SIDE, height: SIDE }));
  const place = (i, j) => ({ x: LEFT + j * wide, y: SIDE - (i + 1) * high, width: wide, height: high });
  found.targets.forEach((target, i) => found.stops.forEach((stop, j) => {
    const value = table[i][j];
    if (!isNumber(value)) return;
    const kind = shown === "p_target" ? "p" : value >= 0 ? "gain" : "loss", opacity = shown === "p_target" ? value : Math.abs(value) / most;
    const cell = draw("rect", { class: `cell ${kind}`, ...place(i, j), "fill-opacity": opacity.toFixed(3), "data-target": i, "data-stop": j });
    svg.append(titled(cell, `target ${price(target)}, stop ${price(stop)}: ${percent(found.p_target[i][j])}, value ${multiple(found.expected_value[i][j])}`));
    const box = place(i, j);
    if (found.outside?.[i][j]) svg.append(draw("line", { class: "far", x1: box.x, y1: box.y + high, x2: box.x + wide, y2: box.y }));
  }));
  const nearest = (list, value) => list.reduce((best, one, i) => (Math.abs(Math.log(one / value)) < Math.abs(Math.log(list[best] / value)) ? i : best), 0);
  for (const [pair, kind] of [[found.best, "best"], [found.drawn, ""]]) {
    if (!pair || !isNumber(pair.p_target)) continue;
    svg.append(draw("rect", { class: `mark ${kind}`, ...place(nearest(found.targets, pair.target), nearest(found.stops, pair.stop)) }));
  }
  for (const part of [0, 0.5, 1]) {
    const i = Math.round(part * (rows - 1)), j = Math.round(part * (columns - 1));
    svg.append(draw("text", { x: LEFT - 6, y: SIDE - (i + 0.5) * high + 4, "text-anchor": "end" }, price(+found.targets[i].toPrecision(4))));
    svg.append(draw("text", { x: LEFT + (j + 0.5) * wide, y: SIDE + 15, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" }, price(+found.stops[j].toPrecision(4))));
  }
  svg.append(draw("text", { x: LEFT + SIDE / 2, y: SIDE + 30, "text-anchor": "middle" }, "stop, farther to the right; target, farther upwards"));
  svg.addEventListener("click", (event) => {
    const { target: i, stop: j } = event.target.dataset;
    if (i === undefined) return;
    state.levels.target = found.targets[i];
    state.levels.stop = found.stops[j];
    levelsChanged();
  });
  $("surface").replaceChildren(svg);
  const beyond = found.outside === null ? "The model does not say on which pairs it was fitted." : found.outside.flat().some(Boolean) ? "Struck out: pairs unlike those that the model was fitted on." : "";
  $("surface-note").textContent = `${shown === "p_target" ? "Stronger: the target is likelier." : most < 5e-4 ? "Every pair is worth the same." : "Green gains, red loses; stronger is more."} ${beyond}`;
}

function summary(found, shown) {
  const values = found[shown].flat().filter(isNumber), write = shown === "p_target" ? percent : multiple;
  return `${shown === "p_target" ? "Probability of the target" : "Expected value"} for ${found.targets.length} targets and ${found.stops.length} stops, ${write(Math.min(...values))} to ${write(Math.max(...values))}.`;
}

// The chart

function chart() {
  if (!state.bars.length) return;
  const width = Math.max($("chart").clientWidth, 300), height = Math.max(414, $("surface").clientHeight), top = 12, bottom = 22, right = 74;
  const prices = [...state.bars.flatMap(([, , high, low]) => [high, low]), ...Object.values(state.levels)].filter(isNumber);
  const low = Math.min(...prices), room = (Math.max(...prices) - low || 1) * 1.08;
  // While a level is dragged, the scale stays under the finger.
  const { base, span } = state.scale ?? { base: low - room * 0.037, span: room };
  const y = (value) => height - bottom - ((value - base) / span) * (height - top - bottom);
  const step = (width - right) / (state.bars.length + AHEAD), end = state.bars.length * step;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": `${state.bars.length} bars of ${$("symbol").value}, last close ${price(state.bars.at(-1)[4])}` });
  svg.append(draw("rect", { class: "ahead", x: end, y: 0, width: width - right - end, height: height - bottom }));
  state.bars.forEach(([ts, open, high, lowest, close], i) => {
    const x = (i + 0.5) * step, kind = `candle ${close >= open ? "up" : "down"}`;
    svg.append(draw("line", { class: kind, x1: x, x2: x, y1: y(high), y2: y(lowest) }));
    svg.append(titled(draw("rect", { class: kind, x: x - step * 0.35, width: step * 0.7, y: y(Math.max(open, close)), height: Math.max(1, Math.abs(y(open) - y(close))) }), `${ts.slice(0, 16).replace("T", " ")}: ${[open, high, lowest, close].map(price).join(", ")}`));
  });
  for (const [i, anchor] of [[0, "start"], [state.bars.length - 1, "end"]]) {
    svg.append(draw("text", { x: (i + 0.5) * step, y: height - 6, "text-anchor": anchor }, state.bars[i][0].slice(0, 10)));
  }
  const focused = document.activeElement?.dataset?.level;
  for (const [name, label] of Object.entries(LEVELS)) svg.append(level(name, label, { y, width, base, span, pixels: height - top - bottom }));
  $("chart").replaceChildren(svg);
  if (focused) svg.querySelector(`[data-level=${focused}]`).focus();
}

function level(name, label, { y, width, base, span, pixels }) {
  const at = y(state.levels[name]);
  const made = draw("g", {
    class: `level ${name}`, "data-level": name, role: "slider", tabindex: 0, "aria-label": label, "aria-orientation": "vertical", "aria-valuenow": price(state.levels[name]),
    "aria-valuemin": price(Math.max(0, base)), "aria-valuemax": price(base + span), "aria-valuetext": `${label} ${price(state.levels[name])}`,
  }, draw("rect", { class: "grip", x: 0, y: at - 9, width, height: 18 }), draw("line", { x1: 0, x2: width - 72, y1: at, y2: at }),
  draw("rect", { class: "tag", x: width - 72, y: at - 10, width: 72, height: 20, rx: 5 }), draw("text", { x: width - 66, y: at + 4 }, `${label[0]} ${price(state.levels[name])}`));
  const move = (value) => {
    if (!(value > 0)) return;
    state.levels[name] = +value.toPrecision(6);
    levelsChanged();
  };
  made.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!steps) return;
    event.preventDefault();
    move(state.levels[name] + (steps * span) / 200);
  });
  made.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    made.focus();
    const from = event.clientY, before = state.levels[name];
    state.scale = { base, span };
    const follow = (moved) => move(before - ((moved.clientY - from) / pixels) * span);
    const ended = new AbortController(), { signal } = ended;
    const done = () => { ended.abort(); state.scale = null; chart(); };
    window.addEventListener("pointermove", follow, { signal });
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, done, { signal });
  });
  return made;
}

// What is chosen

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  attempt(start);
});
$("choice").addEventListener("submit", (event) => event.preventDefault());
$("symbol").addEventListener("change", () => { chooseSymbol(); attempt(load); });
$("timeframe").addEventListener("change", () => attempt(load));
$("pattern-type").addEventListener("change", () => attempt(ask));
for (const name of Object.keys(LEVELS)) {
  $(name).addEventListener("input", () => {
    const value = $(name).valueAsNumber;
    if (!(value > 0)) return;
    state.levels[name] = value;
    levelsChanged();
  });
}
document.querySelectorAll("input[name=shown]").forEach((input) => input.addEventListener("change", render));
window.addEventListener("resize", chart);
$("zone").textContent = "times are UTC as stored";
attempt(start);
