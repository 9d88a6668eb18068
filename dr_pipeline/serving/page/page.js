"use strict";
// Sends photographs one after the other and shows each row. Names stay here: the server does not need them.

const GRADES = ["No DR", "Mild NPDR", "Moderate NPDR", "Severe NPDR", "Proliferative DR"];
const STATUS = { ungradable: "Ungradable", not_fundus: "Not a fundus photograph", failed: "Cannot be read" };
const byId = (id) => document.getElementById(id);
let last = [];

async function start() {
  const health = await (await fetch("health")).json();
  byId("bundle").textContent = health.bundle_id;
}

async function gradeAll(files) {
  last = [...files];
  for (const [number, file] of last.entries()) {
    byId("progress").textContent = `Grading ${number + 1} of ${last.length}: ${file.name}`;
    const answer = await send(file);
    if (answer.http === 401) return askForToken();
    show(file, answer);
  }
  byId("progress").textContent = last.length === 1 ? "1 photograph is done." : `${last.length} photographs are done.`;
}

async function send(file) {
  const known = file.type.startsWith("image/") || file.type === "application/dicom";
  const headers = { "Content-Type": known ? file.type : "application/octet-stream" };
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  try {
    const response = await fetch("v1/score", { method: "POST", body: file, headers });
    const { error, todo, ...row } = await response.json();
    return { http: response.status, row: "sha256" in row ? row : null, error, todo };
  } catch {
    return { http: 0, row: null, error: "the server does not answer", todo: "see whether it runs" };
  }
}

function askForToken() {
  byId("token-row").hidden = false;
  byId("token").focus();
  byId("progress").textContent = "This server needs a token.";
}

function show(file, answer) {
  const card = byId("result").content.cloneNode(true);
  const find = (selector) => card.querySelector(selector);
  find("h2").textContent = file.name;
  const picture = find("img");
  picture.addEventListener("load", () => {
    picture.hidden = false;
    picture.parentElement.classList.add("pictured");
    URL.revokeObjectURL(picture.src);
  });
  picture.addEventListener("error", () => URL.revokeObjectURL(picture.src)); // a format that browsers do not show
  picture.alt = `The photograph ${file.name}`;
  picture.src = URL.createObjectURL(file);
  fill(find, answer);
  byId("results").prepend(card);
}

function fill(find, { http, row, error, todo }) {
  find(".answer").textContent = !row ? `Refused (${http || "no answer"})`
    : row.grade === null ? STATUS[row.status] : `Grade ${row.grade}: ${GRADES[row.grade]}`;
  find(".reason").textContent = error ? sentence(`${error}. To do: ${todo}.`) : row.reason;
  if (!row) return find("details").remove();
  if (row.grade !== null) fillTable(find("table"), row);
  const facts = find("dl");
  if (row.grade !== null) {
    fact(facts, "Referable", `${yes(row.referable)} (probability ${percent(row.referable_probability)})`);
    fact(facts, "Threatens vision", yes(row.vision_threatening));
  }
  if (row.quality !== null) fact(facts, "Image quality", `${row.quality.toFixed(2)} of 1`);
  const person = fact(facts, "Needs a person", row.needs_human ? "yes: a person must look at this photograph" : "no");
  if (row.needs_human) person.className = "person";
  find("pre").textContent = JSON.stringify(row, null, 2);
}

function fillTable(table, row) {
  table.hidden = false;
  GRADES.forEach((name, grade) => {
    const line = table.tBodies[0].insertRow();
    if (grade === row.grade) line.className = "chosen";
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = `${grade} ${name}`;
    const cell = document.createElement("td"), bar = document.createElement("span"), part = document.createElement("i");
    bar.className = "bar";
    part.style.width = `${100 * row[`p${grade}`]}%`;
    bar.append(part);
    cell.append(bar, percent(row[`p${grade}`]));
    line.append(head, cell);
  });
}

function fact(list, name, value) {
  const term = document.createElement("dt"), description = document.createElement("dd");
  term.textContent = name;
  description.textContent = value;
  list.append(term, description);
  return description;
}

const yes = (value) => (value ? "yes" : "no");
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

byId("files").addEventListener("change", () => gradeAll(byId("files").files));
byId("form").addEventListener("submit", (event) => { event.preventDefault(); gradeAll(last); });
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
}
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files.length) gradeAll(event.dataTransfer.files);
});
start();
