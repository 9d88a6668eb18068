// One picture at a time, with zoom and pan by wheel, pointer, touch and the caller's keys.
"use strict";

const MAX_ZOOM = 8;

class PictureView {
  // stage: the element that holds the picture; zoomed: called with the scale, screen pixels per pixel of the picture.
  constructor(stage, zoomed) {
    this.stage = stage;
    this.zoomed = zoomed;
    this.isLoaded = false;
    this.fitScale = 1;
    this.place = { scale: 1, x: 0, y: 0 }; // of the picture's corner on the stage
    this.pointers = new Map();
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.ondblclick = (event) => this.zoom(2, this.onStage(event));
    stage.onpointerdown = (event) => this.pointerDown(event);
    stage.onpointermove = (event) => this.pointerMoved(event);
    stage.onpointerup = stage.onpointercancel = (event) => this.pointers.delete(event.pointerId);
  }

  // Shows a picture, or text where there is no address, and over it another of the same frame, if there is one. The
  // elements are new each time: an old one would show the photograph before until the next is loaded.
  show(address, alt, text, over) {
    this.isLoaded = false;
    this.pointers.clear();
    const image = Object.assign(document.createElement("img"), { alt, draggable: false });
    this.image = image;
    this.over = null;
    if (!address) return this.showText(text);
    image.onload = () => {
      if (image !== this.image) return; // another photograph is shown by now
      this.isLoaded = true;
      if (over) this.cover(over);
      this.fit();
    };
    image.onerror = () => {
      if (image === this.image) this.showText("The picture's file is missing from this folder.");
    };
    image.src = address;
    this.stage.replaceChildren(image);
  }

  // Lays a picture over the one that is shown, as large as it is.
  cover(address) {
    this.over = Object.assign(document.createElement("img"), { className: "lesions program", alt: "", src: address });
    this.over.style.width = `${this.image.naturalWidth}px`;
    this.over.style.height = `${this.image.naturalHeight}px`;
    this.stage.append(this.over);
  }

  showText(text) {
    this.stage.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
  }

  fit() {
    if (!this.isLoaded) return;
    const { clientWidth, clientHeight } = this.stage;
    this.fitScale = Math.min(clientWidth / this.image.naturalWidth, clientHeight / this.image.naturalHeight);
    this.setPlace(this.fitScale, 0, 0);
  }

  // Enlarges by a factor; what is at the point stays there.
  zoom(factor, point = { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 }) {
    if (!this.isLoaded) return;
    const scale = Math.max(Math.min(this.fitScale, 1), Math.min(this.place.scale * factor, MAX_ZOOM));
    const ratio = scale / this.place.scale;
    this.setPlace(scale, point.x - (point.x - this.place.x) * ratio, point.y - (point.y - this.place.y) * ratio);
  }

  actualSize() {
    this.zoom(1 / this.place.scale);
  }

  pan(x, y) {
    if (this.isLoaded) this.setPlace(this.place.scale, this.place.x + x, this.place.y + y);
  }

  // A picture smaller than the stage stays in its middle, a larger one covers it.
  setPlace(scale, x, y) {
    const within = (offset, side, room) =>
      side <= room ? (room - side) / 2 : Math.min(0, Math.max(room - side, offset));
    this.place = {
      scale,
      x: within(x, this.image.naturalWidth * scale, this.stage.clientWidth),
      y: within(y, this.image.naturalHeight * scale, this.stage.clientHeight),
    };
    const transform = `translate(${this.place.x}px, ${this.place.y}px) scale(${scale})`;
    this.image.style.transform = transform;
    if (this.over) this.over.style.transform = transform;
    this.zoomed(scale);
  }

  onStage(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.onStage(event));
  }

  pointerDown(event) {
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.onStage(event));
  }

  // One pointer moves the picture, two change its size.
  pointerMoved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.onStage(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    const distance = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    if (other) this.zoom(distance(now) / distance(before), other);
    else this.pan(now.x - before.x, now.y - before.y);
    this.pointers.set(event.pointerId, now);
  }
}
