// Export and import, and the start of the page.
"use strict";

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
  const [file] = $("import").files;
  if (!file) return;
  const { taken, older, refused } = readings.takeCsv(await file.text());
  $("import").value = "";
  applyFilters();
  notify(
    `${taken} readings imported; ${older} left out, since the page has them or later ones; ` +
      `${refused} refused: not a reading of a photograph of this batch.`,
  );
}

function clearReadings() {
  if (
    !confirm(
      "Remove all readings of this batch, of every reader, from this browser? Export them first if they are needed.",
    )
  )
    return;
  readings.clear();
  applyFilters();
  notify("All readings of this batch were removed from this browser.");
}

function otherWindow(event) {
  if (event.key) readings.takeEntry(event.key, event.newValue);
  if (!viewer.open) applyFilters();
  else if (document.activeElement !== $("comment")) showReading(shown[current]);
}

function start() {
  buildFilters();
  buildSummary();
  for (const key of [...GRADES.map(String), "u"]) {
    const badge = key === "u" ? make("span", { className: "badge plain", textContent: "u" }) : gradeBadge(Number(key));
    const button = make(
      "button",
      { onclick: () => grade(key) },
      badge,
      key === "u" ? "Ungradable" : DATA.gradeNames[Number(key)],
    );
    button.dataset.key = key;
    $("own").append(button);
  }
  const clicks = {
    export: exportReadings,
    clear: clearReadings,
    reset: resetFilters,
    start: () => openViewer(0),
    close: () => viewer.close(),
    undo,
    fit: KEYS.f,
    previous: () => turn(-1),
    next: () => turn(1),
    "zoom-in": KEYS["+"],
    "zoom-out": KEYS["-"],
    actual: KEYS.a,
    "red-free": toggleRedFree,
  };
  for (const [id, action] of Object.entries(clicks)) $(id).onclick = action;
  for (const id of ["reader", "ask-reader"]) $(id).onchange = setReader;
  $("search").oninput = applyFilters;
  $("names").onchange = applyFilters;
  $("names-switch").hidden = !DATA.names;
  $("mask").onchange = () => document.body.classList.toggle("masked", $("mask").checked);
  $("comment").onchange = keepComment;
  $("brightness").oninput = () => stage.style.setProperty("--brightness", `${$("brightness").value}%`);
  $("lesions").oninput = () => setLesions($("lesions").value);
  $("import").onchange = importReadings;
  grid.onkeydown = gridKeys;
  Object.assign(viewer, { onkeydown: viewerKeys, onclose: viewerClosed });
  addEventListener("scroll", draw, { passive: true });
  addEventListener("resize", () => {
    draw();
    picture.fit();
  });
  addEventListener("storage", otherWindow);
  addEventListener("beforeunload", (event) => {
    if (readings.unkept) event.preventDefault();
  });
  readings.load();
  $("reader").value = readings.reader;
  applyFilters();
}

start();
