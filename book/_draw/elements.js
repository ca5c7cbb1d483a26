/** Parts of the page that several modules make. */

/** Return a new element; `properties` are set as they are called in JavaScript, or in HTML. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Return a button that does `action`. */
export function button(label, action) {
  return element("button", { type: "button", onclick: action, className: "draw-button" }, label);
}

/** Return a probability as a whole number of per cent. */
export function percent(probability) {
  return `${Math.round(100 * probability)} %`;
}

/** Return a number with two digits behind the point, and a minus sign that is one. */
export function decimal(value) {
  return value.toFixed(2).replace("-", "\u2212");
}

/**
 * Let the arrow keys move over the pixels of a canvas's button, and a click choose one.
 *
 * `shape()` is `[maps, height, width]` or null, `at()` the chosen pixel, `choose(pixel)` takes one.
 */
export function pixelKeys(control, { shape, at, choose, find }) {
  control.addEventListener("click", (event) => {
    const box = control.firstElementChild.getBoundingClientRect();
    if (event.detail === 0 || !shape()) return; // the Enter key: it is handled below
    const pixel = find(
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    if (pixel) choose(pixel, "click");
  });
  control.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const isChoice = event.key === "Enter" || event.key === " ";
    if (!shape() || !(event.key in steps || isChoice)) return;
    event.preventDefault();
    const [maps, height, width] = shape();
    const { map, row, column } = at() ?? { map: 0, row: 0, column: 0 };
    if (isChoice) return choose({ map, row, column }, "key");
    const [down, right] = steps[event.key];
    if (height * width === 1) {
      return choose({ map: (map + right + down + maps) % maps, row, column }, "move");
    }
    // Over the edge of a map, the next one begins.
    const beyond = column + right < 0 ? -1 : column + right >= width ? 1 : 0;
    choose(
      {
        map: (map + beyond + maps) % maps,
        row: (row + down + height) % height,
        column: (column + right + width) % width,
      },
      "move",
    );
  });
}
