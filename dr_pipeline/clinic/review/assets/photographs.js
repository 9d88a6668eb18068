// The data, its photographs in words, and what the other files build elements with. Everything from data.js is shown
// by textContent; nothing is parsed as HTML.
"use strict";

const DATA = window.REVIEW;
const GRADES = DATA.gradeNames.map((_, grade) => grade);
const STATUS = { scored: "graded", ungradable: "ungradable", not_fundus: "not a fundus", failed: "no picture" };

const $ = (id) => document.getElementById(id);
const readings = new Readings(DATA, (why) =>
  notify(`${why} Export your readings before you close the page, and import them next time.`),
);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function announce(text) {
  $($("viewer").open ? "message" : "announce").textContent = text;
}

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

const showsNames = () => DATA.names && $("names").checked;
const nameOf = (item) => (showsNames() ? item.id : `No. ${item.number}`);
const percent = (share) => (share === undefined ? "–" : `${Math.round(100 * share)} %`);
const answer = (reading) => (reading.ungradable ? "u" : (reading.grade ?? "…"));
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
