// What tests/test_browser.py asks of a page. Each function returns a list: what is wrong with it.
window.faults = (() => {
  const name = (element) => {
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    return `${element.tagName.toLowerCase()}.${[...element.classList].join(".")} “${text}”`;
  };

  // The ground that an element is drawn on, itself included.
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
    return "";
  };

  // An element that is wider than the page; what scrolls by itself may be.
  const wide = () => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    const beyond = [...document.querySelectorAll(".bd-main *")].filter(
      (element) => element.getBoundingClientRect().right > root.clientWidth + 1
    );
    return [`the page is ${root.scrollWidth} pixels wide: ${beyond.slice(0, 1).map(name)}`];
  };

  // On paper nobody scrolls to what is cut off, and nobody opens what is folded.
  const cut = () => {
    const boxes = document.querySelectorAll(".bd-article pre, .bd-article table, .bd-article div");
    const hidden = [...boxes].filter(
      (box) =>
        box.scrollWidth > box.clientWidth + 1 &&
        box.clientWidth > 0 &&
        !box.closest("mjx-container") &&
        (getComputedStyle(box).overflowX !== "visible" ||
          box.getBoundingClientRect().left + box.scrollWidth > innerWidth)
    );
    const closed = [...document.querySelectorAll(".bd-article details > :not(summary)")].filter(
      (inside) => !inside.checkVisibility()
    );
    return [
      ...hidden.map((box) => `cut off on paper: ${name(box)}`),
      ...closed.map((inside) => `not on paper: ${name(inside)}`),
    ];
  };

  const images = () =>
    [...document.images].flatMap((image) => [
      ...(image.naturalWidth ? [] : [`not loaded: ${image.src}`]),
      ...(image.closest(".bd-article") && !image.alt.trim() ? [`says nothing: ${image.src}`] : []),
    ]);

  // axe takes minutes for thousands of coloured words of code and strokes of formulas, so it sees
  // each colour of code once, and no formula: MathJax draws those.
  const thin = () => {
    const seen = new Set();
    for (const pre of document.querySelectorAll(".highlight pre")) {
      const kept = [...pre.querySelectorAll("span[class]")].filter(
        (span) => !span.children.length && !seen.has(span.className) && seen.add(span.className)
      );
      pre.replaceChildren(...kept.flatMap((span) => [span, "\n"]), "code");
    }
    document.querySelectorAll("mjx-container").forEach((formula) => formula.replaceWith("x"));
    document.querySelectorAll("details").forEach((each) => (each.open = true));
  };

  // Leave one text of each look: of each colour, ground, size and weight.
  const thinner = () => {
    const looks = new Set();
    const others = [];
    for (const element of document.querySelectorAll("body *")) {
      const says = [...element.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
      if (!says || !element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const look = [style.color, style.fontSize, style.fontWeight, style.opacity, ground(element)];
      if (looks.has(look.join())) others.push(element);
      looks.add(look.join());
    }
    // From the inside out, so that what holds a text of another look stays.
    for (const element of others.reverse()) if (!element.children.length) element.remove();
  };

  // Without preload: false axe loads the style sheets again, one of them from a wrong address.
  const axeFindings = async (options) => {
    const { violations } = await axe.run({
      preload: false,
      resultTypes: ["violations"],
      ...options,
    });
    return violations.map(
      (each) => `${each.id} (${each.nodes.length}): ${each.nodes[0].html.slice(0, 160)}`
    );
  };

  const structure = () => axeFindings({ rules: { "color-contrast": { enabled: false } } });
  const contrast = () => axeFindings({ runOnly: ["color-contrast"] });

  return { wide, cut, images, thin, thinner, structure, contrast };
})();
