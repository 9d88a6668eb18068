// Filters, and the summary, each number of which is a filter.
"use strict";

const BANDS = [
  ["0", "0–25 %"],
  ["1", "25–50 %"],
  ["2", "50–75 %"],
  ["3", "75–100 %"],
  ["none", "unknown"],
];
const bandOf = (value) => (value === undefined ? "none" : String(Math.min(3, Math.floor(4 * value))));
const SITES = [...new Set(DATA.items.map((item) => item.site ?? ""))].sort();
const READING_STATES = [
  ["open", "not graded yet"],
  ["done", "graded"],
  ["agrees", "as the program"],
  ["differs", "other than the program"],
  ["new", "where the program has none"],
  ["ungradable", "ungradable"],
  ["commented", "with a comment"],
];
const FILTERS = {
  status: { label: "Status", options: Object.entries(STATUS), of: (item) => [item.status] },
  grade: {
    label: "Program's grade",
    options: [...GRADES.map((grade) => [String(grade), `${grade} ${DATA.gradeNames[grade]}`]), ["none", "no grade"]],
    of: (item) => [String(item.grade ?? "none")],
  },
  person: {
    label: "Needs a person",
    options: [
      ["yes", "yes"],
      ["no", "no"],
    ],
    of: (item) => [item.needsHuman ? "yes" : "no"],
  },
  quality: { label: "Quality", options: BANDS, of: (item) => [bandOf(item.quality)] },
  uncertainty: { label: "Uncertainty", options: BANDS, of: (item) => [bandOf(item.uncertainty)] },
  site: {
    label: "Site",
    options: SITES.map((site) => [`=${site}`, site || "unknown"]),
    of: (item) => [`=${item.site ?? ""}`],
  },
  review: { label: "Your reading", options: READING_STATES, of: states },
};
let shown = DATA.items,
  current = 0;

function buildFilters() {
  for (const [name, { label, options }] of Object.entries(FILTERS)) {
    const choices = [["", "all"], ...options].map(([value, textContent]) => make("option", { value, textContent }));
    const select = make("select", { id: name, onchange: applyFilters }, ...choices);
    $("filters").append(
      make("div", { className: "filter" }, make("label", { htmlFor: name, textContent: label }), select),
    );
  }
}

function matches(item, wanted, text) {
  if (!wanted.every(([name, value]) => FILTERS[name].of(item).includes(value))) return false;
  const texts = [
    `no. ${item.number}`,
    item.id,
    item.path,
    item.reason,
    readings.of(item)?.comment,
    showsNames() ? item.patient : "",
  ];
  return !text || texts.join("\n").toLowerCase().includes(text);
}

function applyFilters() {
  const wanted = Object.keys(FILTERS)
    .map((name) => [name, $(name).value])
    .filter(([, value]) => value);
  const text = $("search").value.trim().toLowerCase();
  shown = DATA.items.filter((item) => matches(item, wanted, text));
  current = 0;
  $("count").textContent =
    `${shown.length} of ${DATA.items.length} photographs, ${shown.filter(isGraded).length} of them graded by you`;
  $("start").disabled = !shown.length;
  updateSummary();
  redraw();
}

function resetFilters() {
  for (const name of [...Object.keys(FILTERS), "search"]) $(name).value = "";
  applyFilters();
}

function chooser(className, name, value, ...children) {
  const choose = () => {
    $(name).value = $(name).value === value ? "" : value;
    applyFilters();
  };
  const button = make("button", { className, onclick: choose }, ...children);
  Object.assign(button.dataset, { filter: name, value });
  return button;
}

const countOf = (name, value) => DATA.items.filter((item) => FILTERS[name].of(item).includes(value)).length;

function buildSummary() {
  const tiles = [
    ["person", "yes", "need a person"],
    ...Object.entries(STATUS).map((status) => ["status", ...status]),
    ["review", "done", "graded by you"],
  ];
  for (const [name, value, label] of tiles) {
    $("tiles").append(
      chooser(
        "tile",
        name,
        value,
        make("b", { textContent: countOf(name, value) }),
        make("span", { textContent: label }),
      ),
    );
  }
  for (const grade of GRADES) {
    const number = countOf("grade", String(grade)),
      amount = make("span", { className: "amount" }, gradeBadge(grade), make("b", { textContent: number }));
    const name = make("span", { className: "name", textContent: DATA.gradeNames[grade] });
    const button = chooser("bar-of program", "grade", String(grade), amount, name, track(number / DATA.items.length));
    button.setAttribute("aria-label", `${grade} ${DATA.gradeNames[grade]}: ${number}`);
    $("grades").append(button);
  }
  $("groups").append(...DATA.groups.map((textContent) => make("li", { textContent })));
  const made = `made ${DATA.made.slice(0, 16).replace("T", " ")} UTC`;
  const bundles = `bundle ${DATA.bundles.join(", ")}`;
  $("provenance").textContent = `${DATA.items.length} photographs · ${bundles} · ${made} · batch ${DATA.batch}`;
}

function updateSummary() {
  for (const button of document.querySelectorAll("[data-filter]")) {
    const { filter, value } = button.dataset;
    button.setAttribute("aria-pressed", String($(filter).value === value));
    if (filter === "review") button.firstChild.textContent = countOf(filter, value);
  }
}
