// The review page: filters, a grid that holds only the cards in view, a viewer with the reader's own grade.
// Everything from data.js is shown by textContent; nothing is parsed as HTML.
"use strict";

const DATA = window.REVIEW;
const GRADES = DATA.gradeNames.map((_, grade) => grade);
const STATUS = { scored: "graded", ungradable: "ungradable", not_fundus: "not a fundus", failed: "no picture" };
const GAP_PX = 12, CAPTION_PX = 84, CARD_PX = 190, NARROW_CARD_PX = 150, MARGIN_ROWS = 2, MAX_ZOOM = 8, PAN_PX = 80;

const $ = (id) => document.getElementById(id);
const viewer = $("viewer"), stage = $("stage"), grid = $("grid");
const readings = new Readings(DATA, (why) => notify(`${why} Export your readings before you close the page, and import them next time.`));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function announce(text) {
  $(viewer.open ? "message" : "announce").textContent = text;
}

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

// ---- a photograph in words ----

const showsNames = () => DATA.names && $("names").checked;
const nameOf = (item) => (showsNames() ? item.id : `No. ${item.number}`);
const percent = (share) => (share === undefined ? "–" : `${Math.round(100 * share)} %`);
const answer = (reading) => (reading.ungradable ? "u" : reading.grade ?? "…");
const isGraded = (item) => states(item).includes("done");

function states(item) {
  const reading = readings.of(item);
  if (!reading) return ["open"];
  const found = reading.comment ? ["commented"] : [];
  if (reading.ungradable) return [...found, "done", "ungradable"];
  if (reading.grade === null) return [...found, "open"];
  return [...found, "done", item.grade === undefined ? "new" : item.grade === reading.grade ? "agrees" : "differs"];
}

function gradeBadge(grade) {
  return make("span", { className: `badge grade${grade}`, textContent: grade, title: DATA.gradeNames[grade] });
}

function track(share) {
  const bar = make("i");
  bar.style.width = percent(share).replace(" ", "");
  return make("span", { className: "track" }, bar);
}

// ---- filters ----

const BANDS = [["0", "0–25 %"], ["1", "25–50 %"], ["2", "50–75 %"], ["3", "75–100 %"], ["none", "unknown"]];
const bandOf = (value) => (value === undefined ? "none" : String(Math.min(3, Math.floor(4 * value))));
const SITES = [...new Set(DATA.items.map((item) => item.site ?? ""))].sort();
const READING_STATES = [
  ["open", "not graded yet"], ["done", "graded"], ["agrees", "as the program"], ["differs", "other than the program"],
  ["new", "where the program has none"], ["ungradable", "ungradable"], ["commented", "with a comment"],
];
const FILTERS = {
  status: { label: "Status", options: Object.entries(STATUS), of: (item) => [item.status] },
  grade: {
    label: "Program's grade",
    options: [...GRADES.map((grade) => [String(grade), `${grade} ${DATA.gradeNames[grade]}`]), ["none", "no grade"]],
    of: (item) => [String(item.grade ?? "none")],
  },
  person: { label: "Needs a person", options: [["yes", "yes"], ["no", "no"]], of: (item) => [item.needsHuman ? "yes" : "no"] },
  quality: { label: "Quality", options: BANDS, of: (item) => [bandOf(item.quality)] },
  uncertainty: { label: "Uncertainty", options: BANDS, of: (item) => [bandOf(item.uncertainty)] },
  site: { label: "Site", options: SITES.map((site) => [`=${site}`, site || "unknown"]), of: (item) => [`=${item.site ?? ""}`] },
  review: { label: "Your reading", options: READING_STATES, of: states },
};
let shown = DATA.items, current = 0;

function buildFilters() {
  for (const [name, { label, options }] of Object.entries(FILTERS)) {
    const choices = [["", "all"], ...options].map(([value, textContent]) => make("option", { value, textContent }));
    const select = make("select", { id: name, onchange: applyFilters }, ...choices);
    $("filters").append(make("div", { className: "filter" }, make("label", { htmlFor: name, textContent: label }), select));
  }
}

function matches(item, wanted, text) {
  if (!wanted.every(([name, value]) => FILTERS[name].of(item).includes(value))) return false;
  const texts = [`no. ${item.number}`, item.id, item.path, item.reason, readings.of(item)?.comment, showsNames() ? item.patient : ""];
  return !text || texts.join("\n").toLowerCase().includes(text);
}

function applyFilters() {
  const wanted = Object.keys(FILTERS).map((name) => [name, $(name).value]).filter(([, value]) => value);
  const text = $("search").value.trim().toLowerCase();
  shown = DATA.items.filter((item) => matches(item, wanted, text));
  current = 0;
  $("count").textContent = `${shown.length} of ${DATA.items.length} photographs, ${shown.filter(isGraded).length} of them graded by you`;
  $("start").disabled = !shown.length;
  updateSummary();
  redraw();
}

function resetFilters() {
  for (const name of [...Object.keys(FILTERS), "search"]) $(name).value = "";
  applyFilters();
}

// ---- summary: each number is a filter ----

function chooser(className, name, value, ...children) {
  const choose = () => { $(name).value = $(name).value === value ? "" : value; applyFilters(); };
  const button = make("button", { className, onclick: choose }, ...children);
  Object.assign(button.dataset, { filter: name, value });
  return button;
}

const countOf = (name, value) => DATA.items.filter((item) => FILTERS[name].of(item).includes(value)).length;

function buildSummary() {
  const tiles = [["person", "yes", "need a person"], ...Object.entries(STATUS).map((status) => ["status", ...status]), ["review", "done", "graded by you"]];
  for (const [name, value, label] of tiles) {
    $("tiles").append(chooser("tile", name, value, make("b", { textContent: countOf(name, value) }), make("span", { textContent: label })));
  }
  for (const grade of GRADES) {
    const number = countOf("grade", String(grade)), amount = make("span", { className: "amount" }, gradeBadge(grade), make("b", { textContent: number }));
    const name = make("span", { className: "name", textContent: DATA.gradeNames[grade] });
    const button = chooser("bar-of program", "grade", String(grade), amount, name, track(number / DATA.items.length));
    button.setAttribute("aria-label", `${grade} ${DATA.gradeNames[grade]}: ${number}`);
    $("grades").append(button);
  }
  $("groups").append(...DATA.groups.map((textContent) => make("li", { textContent })));
  $("provenance").textContent = `${DATA.items.length} photographs · bundle ${DATA.bundles.join(", ")} · made ${DATA.made} · batch ${DATA.batch}`;
}

function updateSummary() {
  for (const button of document.querySelectorAll("[data-filter]")) {
    const { filter, value } = button.dataset;
    button.setAttribute("aria-pressed", String($(filter).value === value));
    if (filter === "review") button.firstChild.textContent = countOf(filter, value);
  }
}

// ---- the grid: rows in view and a few around them; padding stands for the others ----

const cards = new Map();
let columns = 1, rowPx = 1;

function redraw() {
  grid.replaceChildren();
  cards.clear();
  draw();
}

function draw() {
  const width = grid.clientWidth, least = width < 500 ? NARROW_CARD_PX : CARD_PX;
  columns = Math.max(1, Math.floor((width + GAP_PX) / (least + GAP_PX)));
  rowPx = (width + GAP_PX) / columns + CAPTION_PX;
  const rows = Math.ceil(shown.length / columns), top = grid.getBoundingClientRect().top;
  const firstRow = Math.max(0, Math.min(Math.floor(-top / rowPx) - MARGIN_ROWS, rows - 1));
  const endRow = Math.max(firstRow, Math.min(rows, Math.ceil((innerHeight - top) / rowPx) + MARGIN_ROWS));
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  grid.style.gridAutoRows = `${rowPx - GAP_PX}px`;
  grid.style.paddingTop = `${firstRow * rowPx}px`;
  grid.style.paddingBottom = `${(rows - endRow) * rowPx}px`;
  const first = firstRow * columns, end = Math.min(shown.length, endRow * columns);
  for (const [index, element] of cards) if (index < first || index >= end) { element.remove(); cards.delete(index); }
  for (let index = end - 1; index >= first; index--) {
    if (!cards.has(index)) cards.set(index, grid.insertBefore(card(index), cards.get(index + 1) ?? null));
  }
}

function card(index) {
  const item = shown[index], reading = readings.of(item), status = item.grade === undefined;
  const picture = item.thumbnail ? make("img", { src: item.thumbnail, alt: "" }) : make("span", { className: "none", textContent: item.missing });
  const read = reading ? make("span", { className: "read", textContent: `yours: ${answer(reading)}` }) : null;
  const badge = status ? make("span", { className: "badge plain", textContent: STATUS[item.status] }) : gradeBadge(item.grade);
  const person = item.needsHuman && !status ? make("span", { className: "badge person program", textContent: "person" }) : null;
  badge.classList.add("program");
  const facts = [item.eye, showsNames() ? item.patient : "", item.site, status ? item.reason : ""].filter(Boolean).join(" · ");
  const button = make("button", { className: "card", tabIndex: index === current ? 0 : -1, onclick: () => openViewer(index) },
    make("span", { className: "frame" }, picture, read),
    make("span", { className: "text" },
      make("span", { className: "line" }, badge, person, make("span", { className: "name", textContent: nameOf(item) })),
      make("span", { className: "quiet program", textContent: `uncertain ${percent(item.uncertainty)} · quality ${percent(item.quality)}` }),
      make("span", { className: "quiet", textContent: facts })));
  const entry = make("li", {}, button);
  entry.setAttribute("aria-setsize", shown.length);
  entry.setAttribute("aria-posinset", index + 1);
  return entry;
}

function focusCard(index) {
  cards.get(current)?.firstChild.setAttribute("tabindex", -1);
  current = Math.max(0, Math.min(index, shown.length - 1));
  if (!cards.has(current)) {
    scrollTo(0, grid.getBoundingClientRect().top + scrollY + Math.floor(current / columns) * rowPx - innerHeight / 3);
    draw();
  }
  cards.get(current)?.firstChild.setAttribute("tabindex", 0);
  cards.get(current)?.firstChild.focus();
}

function gridKeys(event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -shown.length, End: shown.length };
  if (!(event.key in steps)) return;
  event.preventDefault();
  focusCard(current + steps[event.key]);
}

// ---- the viewer: picture ----

const pointers = new Map();
let picture = null, isLoaded = false, fitScale = 1, place = { scale: 1, x: 0, y: 0 };

// A new element for each photograph: an old one would show the one before until the next is loaded.
function showPicture(item) {
  isLoaded = false;
  pointers.clear();
  picture = item.full ? make("img", { alt: `Photograph ${item.number}`, draggable: false }) : null;
  stage.replaceChildren(picture ?? make("p", { textContent: item.missing }));
  if (!picture) return;
  picture.onload = () => { isLoaded = true; fit(); };
  picture.onerror = () => stage.replaceChildren(make("p", { textContent: "The picture's file is missing from this folder." }));
  picture.src = item.full;
}

function setPlace(scale, x, y) {
  const within = (offset, side, room) => (side <= room ? (room - side) / 2 : Math.min(0, Math.max(room - side, offset)));
  const width = picture.naturalWidth * scale, height = picture.naturalHeight * scale;
  place = { scale, x: within(x, width, stage.clientWidth), y: within(y, height, stage.clientHeight) };
  picture.style.transform = `translate(${place.x}px, ${place.y}px) scale(${scale})`;
  $("zoom").textContent = percent(scale);
}

function fit() {
  if (!isLoaded) return;
  fitScale = Math.min(stage.clientWidth / picture.naturalWidth, stage.clientHeight / picture.naturalHeight);
  setPlace(fitScale, 0, 0);
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!isLoaded) return;
  const scale = Math.max(Math.min(fitScale, 1), Math.min(place.scale * factor, MAX_ZOOM)), ratio = scale / place.scale;
  setPlace(scale, x - (x - place.x) * ratio, y - (y - place.y) * ratio);
}

function pan(x, y) {
  if (isLoaded) setPlace(place.scale, place.x + x, place.y + y);
}

function onStage(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function pointerDown(event) {
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, onStage(event));
}

function pointerMoved(event) {
  const before = pointers.get(event.pointerId), now = onStage(event);
  if (!before) return;
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  const distance = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
  if (other) zoom(distance(now) / distance(before), other.x, other.y);
  else pan(now.x - before.x, now.y - before.y);
  pointers.set(event.pointerId, now);
}

// ---- the viewer: result and reading ----

function openViewer(index) {
  current = index;
  if (!viewer.open) viewer.showModal();
  show();
  stage.focus();
}

function show() {
  const item = shown[current], following = shown[current + 1];
  announce("");
  $("viewer-title").textContent = nameOf(item);
  $("position").textContent = `${current + 1} of ${shown.length}`;
  $("previous").disabled = current === 0;
  $("next").disabled = !following;
  showPicture(item);
  showResult(item);
  showReading(item);
  if (following?.full) new Image().src = following.full;
}

function showResult(item) {
  const shares = (item.probabilities ?? []).flatMap((share, grade) => [gradeBadge(grade), track(share), make("span", { textContent: percent(share) })]);
  const grade = item.grade === undefined ? STATUS[item.status] : `grade ${item.grade}, ${DATA.gradeNames[item.grade]}`;
  const referral = item.grade === undefined ? "" : item.referable ? "referable" : "not referable";
  const conclusion = [grade, referral, item.visionThreatening ? "vision-threatening" : ""].filter(Boolean).join("; ");
  $("probabilities").replaceChildren(make("p", { className: "conclusion", textContent: conclusion }), ...shares);
  const program = [["Why here", DATA.groups[item.group]], ["Uncertainty", percent(item.uncertainty)], ["Quality", percent(item.quality)], ["Reason", item.reason]];
  const names = showsNames() ? [["Patient", item.patient], ["Visit", item.visit], ["File", item.path]] : [];
  const facts = [["Eye", item.eye ?? "unknown"], ["Site", item.site], ...names];
  const pairs = (list, className) => list.filter(([, text]) => text).flatMap(
    ([label, textContent]) => [make("dt", { textContent: label, className }), make("dd", { textContent, className })]);
  $("facts").replaceChildren(...pairs(program, "program"), ...pairs(facts, ""));
}

function showReading(item) {
  const reading = readings.of(item);
  for (const button of $("own").children) {
    const { key } = button.dataset;
    button.setAttribute("aria-pressed", String(Boolean(reading) && String(answer(reading)) === key));
  }
  $("ask").hidden = Boolean(readings.reader);
  $("comment").disabled = !readings.reader;
  $("comment").value = reading?.comment ?? "";
  $("undo").disabled = !readings.history.length;
}

function turn(step) {
  keepComment();
  if (!shown[current + step]) return announce(step > 0 ? "This was the last photograph." : "This is the first photograph.");
  current += step;
  show();
}

function grade(key) {
  const item = shown[current], isUngradable = key === "u";
  if (!readings.reader) {
    announce("Write your initials or code first: the export names the reader of each grade.");
    return $("ask-reader").focus();
  }
  if (!isUngradable && !item.full) return announce("There is no picture to grade; u marks it as ungradable.");
  if (!isUngradable && !isLoaded) return announce("The picture is not shown yet.");
  keepComment();
  readings.change(item, { grade: isUngradable ? null : Number(key), ungradable: isUngradable, masked: $("mask").checked });
  showReading(item);
  if ($("advance").checked && shown[current + 1]) turn(1);
  announce(`${nameOf(item)}: ${isUngradable ? "ungradable" : `grade ${key}`}`);
}

function keepComment() {
  const item = shown[current], comment = $("comment").value.trim();
  if (item && readings.reader && comment !== (readings.of(item)?.comment ?? "")) readings.change(item, { comment });
}

function undo() {
  const number = readings.undo(), index = shown.findIndex((item) => item.number === number);
  if (number === undefined) return announce("There is nothing to undo.");
  if (index >= 0) current = index;
  show();
  announce(`Taken back: No. ${number}`);
}

function setReader(event) {
  readings.setReader(event.target.value);
  $("reader").value = $("ask-reader").value = readings.reader;
  if (!viewer.open) return applyFilters();
  showReading(shown[current]);
  if (readings.reader) stage.focus();
}

function toggleRedFree() {
  $("red-free").setAttribute("aria-pressed", String(stage.classList.toggle("red-free")));
}

const KEYS = {
  n: () => turn(1), ArrowRight: () => turn(1), p: () => turn(-1), ArrowLeft: () => turn(-1), z: undo, u: () => grade("u"), c: () => $("comment").focus(),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), f: fit, a: () => zoom(1 / place.scale), r: toggleRedFree,
  ...Object.fromEntries(GRADES.map((number) => [String(number), () => grade(String(number))])),
};
const PAN_KEYS = { ArrowLeft: [PAN_PX, 0], ArrowRight: [-PAN_PX, 0], ArrowUp: [0, PAN_PX], ArrowDown: [0, -PAN_PX] };

function viewerKeys(event) {
  if (event.target.matches("textarea, input:not([type=checkbox])") || event.ctrlKey || event.altKey || event.metaKey) return;
  const move = event.shiftKey && PAN_KEYS[event.key], action = move ? () => pan(...move) : KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || move) action(); // a key that is held down must not grade the photographs that follow
}

function viewerClosed() {
  const index = current;
  keepComment();
  applyFilters();
  focusCard(index);
}

// ---- export and import ----

function exportReadings() {
  const number = readings.rows().length;
  if (!number) return notify("There are no readings to export yet.");
  const href = URL.createObjectURL(new Blob(["\ufeff", readings.toCsv()], { type: "text/csv" }));
  make("a", { href, download: `readings-${DATA.batch}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
  readings.unkept = false;
  notify(`${number} readings exported.`);
}

async function importReadings() {
  const [file] = $("import").files, { taken, older, refused } = readings.takeCsv(await file.text());
  $("import").value = "";
  applyFilters();
  notify(`${taken} readings imported; ${older} left out, since the page has them or later ones; ${refused} refused: not a reading of a photograph of this batch.`);
}

function clearReadings() {
  if (!confirm("Remove all readings of this batch, of every reader, from this browser? Export them first if they are needed.")) return;
  readings.clear();
  applyFilters();
  notify("All readings of this batch were removed from this browser.");
}

// ---- start ----

function otherWindow(event) {
  if (event.key) readings.takeEntry(event.key, event.newValue);
  if (viewer.open) showReading(shown[current]);
  else applyFilters();
}

function start() {
  buildFilters();
  buildSummary();
  for (const key of [...GRADES.map(String), "u"]) {
    const badge = key === "u" ? make("span", { className: "badge plain", textContent: "u" }) : gradeBadge(Number(key));
    const button = make("button", { onclick: () => grade(key) }, badge, key === "u" ? "Ungradable" : DATA.gradeNames[Number(key)]);
    button.dataset.key = key;
    $("own").append(button);
  }
  const clicks = {
    export: exportReadings, clear: clearReadings, reset: resetFilters, start: () => openViewer(0), close: () => viewer.close(), undo, fit,
    previous: () => turn(-1), next: () => turn(1), "zoom-in": KEYS["+"], "zoom-out": KEYS["-"], actual: KEYS.a, "red-free": toggleRedFree,
  };
  for (const [id, action] of Object.entries(clicks)) $(id).onclick = action;
  for (const id of ["reader", "ask-reader"]) $(id).onchange = setReader;
  $("search").oninput = applyFilters;
  $("names").onchange = applyFilters;
  $("names-switch").hidden = !DATA.names;
  $("mask").onchange = () => document.body.classList.toggle("masked", $("mask").checked);
  $("comment").onchange = keepComment;
  $("brightness").oninput = () => stage.style.setProperty("--brightness", `${$("brightness").value}%`);
  $("import").onchange = importReadings;
  grid.onkeydown = gridKeys;
  Object.assign(viewer, { onkeydown: viewerKeys, onclose: viewerClosed });
  Object.assign(stage, { onpointerdown: pointerDown, onpointermove: pointerMoved });
  stage.onpointerup = stage.onpointercancel = (event) => pointers.delete(event.pointerId);
  stage.ondblclick = (event) => zoom(2, onStage(event).x, onStage(event).y);
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, onStage(event).x, onStage(event).y); }, { passive: false });
  addEventListener("scroll", draw, { passive: true });
  addEventListener("resize", () => { draw(); fit(); });
  addEventListener("storage", otherWindow);
  addEventListener("beforeunload", (event) => { if (readings.unkept) event.preventDefault(); });
  readings.load();
  $("reader").value = readings.reader;
  applyFilters();
}

start();
