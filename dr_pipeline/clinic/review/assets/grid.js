// The grid holds the rows in view and a few around them; padding stands for the others.
"use strict";

const GAP_PX = 12; // as --gap in review.css
const CAPTION_PX = 84;
const CARD_PX = 190;
const NARROW_CARD_PX = 150;
const MARGIN_ROWS = 2;
const grid = $("grid");
const cards = new Map();
let columns = 1,
  rowPx = 1;

function redraw() {
  grid.replaceChildren();
  cards.clear();
  draw();
}

function draw() {
  const width = grid.clientWidth,
    least = width < 500 ? NARROW_CARD_PX : CARD_PX;
  columns = Math.max(1, Math.floor((width + GAP_PX) / (least + GAP_PX)));
  rowPx = (width + GAP_PX) / columns + CAPTION_PX;
  const rows = Math.ceil(shown.length / columns),
    top = grid.getBoundingClientRect().top;
  const firstRow = Math.max(0, Math.min(Math.floor(-top / rowPx) - MARGIN_ROWS, rows - 1));
  const endRow = Math.max(firstRow, Math.min(rows, Math.ceil((innerHeight - top) / rowPx) + MARGIN_ROWS));
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  grid.style.gridAutoRows = `${rowPx - GAP_PX}px`;
  grid.style.paddingTop = `${firstRow * rowPx}px`;
  grid.style.paddingBottom = `${(rows - endRow) * rowPx}px`;
  const first = firstRow * columns,
    end = Math.min(shown.length, endRow * columns);
  for (const [index, element] of cards)
    if (index < first || index >= end) {
      element.remove();
      cards.delete(index);
    }
  for (let index = end - 1; index >= first; index--) {
    if (!cards.has(index)) cards.set(index, grid.insertBefore(card(index), cards.get(index + 1) ?? null));
  }
}

function card(index) {
  const item = shown[index],
    reading = readings.of(item),
    status = item.grade === undefined;
  const picture = item.thumbnail
    ? make("img", { src: item.thumbnail, alt: "" })
    : make("span", { className: "none", textContent: item.missing });
  const read = reading ? make("span", { className: "read", textContent: `yours: ${answer(reading)}` }) : null;
  const badge = status
    ? make("span", { className: "badge plain", textContent: STATUS[item.status] })
    : gradeBadge(item.grade);
  const person =
    item.needsHuman && !status ? make("span", { className: "badge person program", textContent: "person" }) : null;
  badge.classList.add("program");
  const facts = [item.eye, showsNames() ? item.patient : "", item.site, status ? item.reason : ""]
    .filter(Boolean)
    .join(" · ");
  const button = make(
    "button",
    { className: "card", tabIndex: index === current ? 0 : -1, onclick: () => openViewer(index) },
    make("span", { className: "frame" }, picture, read),
    make(
      "span",
      { className: "text" },
      make(
        "span",
        { className: "line" },
        badge,
        person,
        make("span", { className: "name", textContent: nameOf(item) }),
      ),
      make("span", {
        className: "quiet program",
        textContent: status ? `quality ${percent(item.quality)}` : `uncertainty ${percent(item.uncertainty)}`,
      }),
      make("span", { className: "quiet", textContent: facts }),
    ),
  );
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
  const steps = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
    Home: -shown.length,
    End: shown.length,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  focusCard(current + steps[event.key]);
}
