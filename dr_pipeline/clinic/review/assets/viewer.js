// The viewer: one photograph with the program's result and the reader's own grade.
"use strict";

const PAN_PX = 80;
const viewer = $("viewer");
const stage = $("stage");
const picture = new PictureView(stage, (scale) => {
  $("zoom").textContent = percent(scale);
});

function openViewer(index) {
  current = index;
  if (!viewer.open) viewer.showModal();
  show();
  stage.focus();
}

function show() {
  const item = shown[current],
    following = shown[current + 1];
  announce("");
  $("viewer-title").textContent = nameOf(item);
  $("position").textContent = `${current + 1} of ${shown.length}`;
  $("previous").disabled = current === 0;
  $("next").disabled = !following;
  picture.show(item.full, `Photograph ${item.number}`, item.missing, item.lesions);
  showResult(item);
  showLesions(item);
  showReading(item);
  if (following?.full) new Image().src = following.full;
}

function showResult(item) {
  const shares = (item.probabilities ?? []).flatMap((share, grade) => [
    gradeBadge(grade),
    track(share),
    make("span", { textContent: percent(share) }),
  ]);
  const grade = item.grade === undefined ? STATUS[item.status] : `grade ${item.grade}, ${DATA.gradeNames[item.grade]}`;
  const referral = item.grade === undefined ? "" : item.referable ? "referable" : "not referable";
  const conclusion = [grade, referral, item.visionThreatening ? "vision-threatening" : ""].filter(Boolean).join("; ");
  $("probabilities").replaceChildren(make("p", { className: "conclusion", textContent: conclusion }), ...shares);
  const program = [
    ["Why here", DATA.groups[item.group]],
    ["Uncertainty", percent(item.uncertainty)],
    ["Quality", percent(item.quality)],
    ["Reason", item.reason],
  ];
  const names = showsNames()
    ? [
        ["Patient", item.patient],
        ["Visit", item.visit],
        ["File", item.path],
      ]
    : [];
  const facts = [["Eye", item.eye ?? "unknown"], ["Site", item.site], ["Camera", item.camera], ...names];
  const pairs = (list, className) =>
    list
      .filter(([, text]) => text)
      .flatMap(([label, textContent]) => [
        make("dt", { textContent: label, className }),
        make("dd", { textContent, className }),
      ]);
  $("facts").replaceChildren(...pairs(program, "program"), ...pairs(facts, ""));
}

// The legend of what lies over the picture, the second opinion that follows from its numbers, and what limits both.
function showLesions(item) {
  $("lesions-switch").hidden = !item.lesions;
  const kinds = (item.lesionCounts ?? []).flatMap(([name, colour, number]) => {
    const swatch = make("i", { ariaHidden: "true" });
    swatch.style.background = colour;
    return [swatch, make("span", { textContent: name }), make("span", { textContent: number })];
  });
  const texts = (item.lesionFacts ?? []).map(([label, text]) => `${label}: ${text}`);
  $("lesion-counts").replaceChildren(...kinds, ...texts.map((textContent) => make("p", { textContent })));
}

// The opacity in percent; the key l hides the lesions and shows them again as they were.
let lesionsBefore = 60;
function setLesions(value) {
  $("lesions").value = value;
  stage.style.setProperty("--lesions", $("lesions").value / 100);
}
function toggleLesions() {
  const value = Number($("lesions").value);
  if (value) lesionsBefore = value;
  setLesions(value ? 0 : lesionsBefore);
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
  if (!shown[current + step])
    return announce(step > 0 ? "This was the last photograph." : "This is the first photograph.");
  current += step;
  show();
}

function grade(key) {
  const item = shown[current],
    isUngradable = key === "u";
  if (!readings.reader) {
    announce("Write your initials or code first: the export names the reader of each grade.");
    return $("ask-reader").focus();
  }
  if (!isUngradable && !item.full) return announce("There is no picture to grade; u marks it as ungradable.");
  if (!isUngradable && !picture.isLoaded) return announce("The picture is not shown yet.");
  keepComment();
  readings.change(item, {
    grade: isUngradable ? null : Number(key),
    ungradable: isUngradable,
    masked: $("mask").checked,
  });
  showReading(item);
  if ($("advance").checked && shown[current + 1]) turn(1);
  announce(`${nameOf(item)}: ${isUngradable ? "ungradable" : `grade ${key}`}`);
}

function keepComment() {
  const item = shown[current],
    comment = $("comment").value.trim();
  if (item && readings.reader && comment !== (readings.of(item)?.comment ?? "")) readings.change(item, { comment });
}

function undo() {
  const number = readings.undo(),
    index = shown.findIndex((item) => item.number === number);
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
  n: () => turn(1),
  ArrowRight: () => turn(1),
  p: () => turn(-1),
  ArrowLeft: () => turn(-1),
  z: undo,
  u: () => grade("u"),
  c: () => $("comment").focus(),
  "+": () => picture.zoom(1.5),
  "=": () => picture.zoom(1.5),
  "-": () => picture.zoom(1 / 1.5),
  f: () => picture.fit(),
  a: () => picture.actualSize(),
  r: toggleRedFree,
  l: toggleLesions,
  "[": () => setLesions(Number($("lesions").value) - 10),
  "]": () => setLesions(Number($("lesions").value) + 10),
  ...Object.fromEntries(GRADES.map((number) => [String(number), () => grade(String(number))])),
};
const PAN_KEYS = { ArrowLeft: [PAN_PX, 0], ArrowRight: [-PAN_PX, 0], ArrowUp: [0, PAN_PX], ArrowDown: [0, -PAN_PX] };

function viewerKeys(event) {
  if (event.target.matches("textarea, input:not([type=checkbox])") || event.ctrlKey || event.altKey || event.metaKey)
    return;
  const move = event.shiftKey && PAN_KEYS[event.key],
    action = move ? () => picture.pan(...move) : KEYS[event.key];
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
