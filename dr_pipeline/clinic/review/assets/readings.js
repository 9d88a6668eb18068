// The readings of a batch: kept in localStorage, one entry per photograph and reader, so that two windows of the page
// cannot overwrite each other; written and read as the table of dr_pipeline/tables/review_readings.py.
"use strict";

// A spreadsheet runs a cell that begins so as a formula: it gets an apostrophe in front.
const FORMULA = /^[=+\-@\t\r]/;

class Readings {
  // data: window.REVIEW; warn: called with a sentence where the browser does not keep a reading.
  constructor(data, warn) {
    this.data = data;
    this.warn = warn;
    this.prefix = `dr-review/${data.batch}/`;
    this.byReader = new Map(); // reader → number of the photograph → { grade, ungradable, comment, masked, at }
    this.history = [];
    this.reader = "";
    this.unkept = false;
    this.byNumber = new Map(data.items.map((item) => [item.number, item]));
    this.byId = new Map(data.items.map((item) => [item.id, item]));
  }

  load() {
    try {
      localStorage.setItem(`${this.prefix}test`, "");
      localStorage.removeItem(`${this.prefix}test`);
      for (const key of Object.keys(localStorage)) this.takeEntry(key, localStorage.getItem(key));
      this.reader = localStorage.getItem(`${this.prefix}reader`) ?? "";
    } catch {
      this.warn("This browser keeps nothing for a page from disk.");
    }
  }

  // An entry of localStorage as it is now, also where another window of the page changed it; null: removed.
  takeEntry(key, text) {
    const [name, number] = key.startsWith(this.prefix) ? key.slice(this.prefix.length).split("/") : [];
    if (number === undefined) return; // another batch, or the reader's name
    const own = this.ownOf(decodeURIComponent(name));
    if (text === null) own.delete(Number(number));
    else own.set(Number(number), JSON.parse(text));
  }

  ownOf(reader) {
    if (!this.byReader.has(reader)) this.byReader.set(reader, new Map());
    return this.byReader.get(reader);
  }

  of(item) {
    return this.ownOf(this.reader).get(item.number);
  }

  setReader(reader) {
    this.reader = reader.trim();
    this.store(`${this.prefix}reader`, this.reader);
  }

  change(item, changes) {
    const before = this.of(item);
    const after = {
      grade: null,
      ungradable: false,
      comment: "",
      masked: false,
      ...before,
      ...changes,
      at: new Date().toISOString(),
    };
    const isEmpty = after.grade === null && !after.ungradable && !after.comment;
    this.history.push({ reader: this.reader, number: item.number, before });
    this.keep(this.reader, item.number, isEmpty ? undefined : after);
  }

  // Takes back the last change; returns the photograph's number, undefined where there is no change.
  undo() {
    const last = this.history.pop();
    if (last) this.keep(last.reader, last.number, last.before);
    return last?.number;
  }

  clear() {
    for (const [reader, own] of this.byReader)
      for (const number of [...own.keys()]) this.keep(reader, number, undefined);
    this.history.length = 0;
    this.unkept = false;
  }

  keep(reader, number, reading) {
    if (reading) this.ownOf(reader).set(number, reading);
    else this.ownOf(reader).delete(number);
    this.store(`${this.prefix}${encodeURIComponent(reader)}/${number}`, reading && JSON.stringify(reading));
  }

  store(key, text) {
    try {
      if (text === undefined) localStorage.removeItem(key);
      else localStorage.setItem(key, text);
    } catch {
      this.unkept = true;
      this.warn("This browser could not keep your last change.");
    }
  }

  rows() {
    const rows = [];
    for (const [grader, own] of this.byReader) {
      for (const [number, reading] of [...own].sort(([a], [b]) => a - b)) {
        const item = this.byNumber.get(number);
        rows.push({
          schema_version: this.data.version,
          batch: this.data.batch,
          number,
          image: item.path,
          image_id: item.id,
          sha256: item.sha256,
          patient: item.patient,
          eye: item.eye,
          visit: item.visit,
          site: item.site,
          camera: item.camera,
          predicted_grade: item.grade,
          grader: safeCell(grader),
          grade: reading.grade,
          comment: safeCell(reading.comment),
          ungradable: Number(reading.ungradable),
          masked: Number(reading.masked),
          read_at: reading.at,
        });
      }
    }
    return rows;
  }

  toCsv() {
    const cells = this.rows().map((row) => this.data.columns.map((column) => quotedCell(String(row[column] ?? ""))));
    return [this.data.columns, ...cells].map((row) => `${row.join(",")}\n`).join("");
  }

  // Takes the readings of an export; of two readings of one reader the later stays.
  takeCsv(text) {
    const counts = { taken: 0, older: 0, refused: 0 };
    for (const row of parseCsv(text)) {
      const item =
        row.image_id && this.data.names ? this.byId.get(row.image_id) : this.byNumber.get(Number(row.number));
      const reader = plainCell(row.grader ?? "").trim(),
        isGrade = /^[0-4]$/.test(row.grade),
        isUngradable = row.ungradable === "1";
      const isReading =
        reader && (isGrade ? !isUngradable : row.grade === "") && !Number.isNaN(Date.parse(row.read_at));
      if (!isReading || !item || (item.sha256 ?? "") !== row.sha256) counts.refused++;
      else if (Date.parse(this.ownOf(reader).get(item.number)?.at) >= Date.parse(row.read_at)) counts.older++;
      else {
        const grade = isGrade ? Number(row.grade) : null,
          masked = row.masked === "1";
        this.keep(reader, item.number, {
          grade,
          ungradable: isUngradable,
          comment: plainCell(row.comment ?? ""),
          masked,
          at: row.read_at,
        });
        counts.taken++;
      }
    }
    return counts;
  }
}

const safeCell = (text) => (FORMULA.test(text) ? `'${text}` : text);
const plainCell = (text) => (text.startsWith("'") && FORMULA.test(text.slice(1)) ? text.slice(1) : text);
const quotedCell = (text) => (/[",;\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// Rows of a CSV as objects by column, also where a spreadsheet saved it again with another sign between the cells.
function parseCsv(text) {
  const plain = text.replace(/^\ufeff/, ""),
    header = plain.split("\n", 1)[0];
  const separator = [",", ";", "\t"].find((sign) => header.includes(sign)) ?? ",";
  const rows = [[""]];
  let inQuotes = false;
  for (let at = 0; at < plain.length; at++) {
    const sign = plain[at],
      row = rows.at(-1);
    if (inQuotes && sign === '"' && plain[at + 1] === '"') row[row.length - 1] += plain[++at];
    else if (sign === '"') inQuotes = !inQuotes;
    else if (!inQuotes && sign === separator) row.push("");
    else if (!inQuotes && sign === "\n") rows.push([""]);
    else if (inQuotes || sign !== "\r") row[row.length - 1] += sign;
  }
  const [columns, ...body] = rows;
  const whole = body.filter((row) => row.length === columns.length && row.some(Boolean));
  return whole.map((row) => Object.fromEntries(row.map((cell, at) => [columns[at], cell])));
}
