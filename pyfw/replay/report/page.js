// The page: theme, tooltips, the toolbar and legend of each plot, and sections that open when linked to.

const tip = document.getElementById("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(x + 14, 8), innerWidth - width - 8);
  const top = y + 18 + height > innerHeight ? y - height - 14 : y + 18;
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.max(top, 4))}px)`;
}

function hideTip() {
  tip.hidden = true;
}

// A focused batch keeps its tooltip: focusing it may have scrolled the page.
addEventListener("scroll", () => {
  if (document.activeElement.matches("[data-tip]")) showBatch(document.activeElement);
  else hideTip();
}, { passive: true, capture: true });

function showBatch(batch) {
  const area = batch.getBoundingClientRect();
  showTip(batch.getAttribute("aria-label").replaceAll("; ", "\n"), area.left, area.bottom - 10);
}

function button(text, label, action) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", textContent: text, title: label });
  element.setAttribute("aria-label", label);
  element.addEventListener("click", action);
  return element;
}

function toolbar(plot) {
  const bar = document.createElement("div");
  bar.className = "toolbar";
  const axis = document.createElement("span");
  const modes = [["time", "Time"], ["order", "Order"]].map(([mode, name]) =>
    button(name, `X axis: ${mode}`, () => {
      plot.mode = mode;
      plot.reset();
      markPressed();
    }));
  const markPressed = () => modes.forEach((element, i) => element.setAttribute("aria-pressed", String((i === 0) === (plot.mode === "time"))));
  markPressed();
  axis.append(...modes);
  const reset = button("Reset", "Show everything", () => plot.reset());
  bar.append(axis, button("+", "Zoom in", () => plot.zoom(0.7)), button("−", "Zoom out", () => plot.zoom(1 / 0.7)), reset);
  const panels = plot.panels.filter((panel) => plot.exceptions(panel).length);
  if (panels.length) {
    let current = panels[0];
    bar.append(button("Next out of order", "Select the next point out of order", () => {
      const points = plot.exceptions(current);
      if (current.halo === points[points.length - 1]) current = panels[(panels.indexOf(current) + 1) % panels.length];
      selectNext(plot, current, 1);
    }));
  }
  return bar;
}

/** Returns the legend, with only the kinds that occur. */
function legend(plot) {
  const list = document.createElement("ul");
  list.className = "key";
  for (const kind of [SENT, IN_ORDER, EARLY, LATE, DUPLICATE, LOST]) {
    if (!plot.panels.some((panel) => panel.byKind[kind].length)) continue;
    const bar = kind === LOST ? "" : `<path class="path-${css(kind)}" d="M8 1V15"/>`;
    const sign = kind > IN_ORDER ? glyph(kind, 8, 8) : "";
    list.insertAdjacentHTML("beforeend", `<li><svg viewBox="0 0 16 16" aria-hidden="true">${bar}${sign}</svg>${kind === IN_ORDER ? "arrived in order" : KINDS[kind]}</li>`);
  }
  const hint = matchMedia("(pointer: coarse)").matches ? "Pinch to zoom, tap for details."
    : "Drag a box to zoom, Shift-drag to pan. After a click the wheel zooms. Esc resets, n selects the next point out of order.";
  list.insertAdjacentHTML("beforeend", `<li class="hint">${hint}</li>`);
  return list;
}

const figures = document.querySelectorAll("figure.plot");
JSON.parse(document.getElementById("plots").textContent).forEach((data, i) => {
  const plot = new Plot(figures[i], data);
  figures[i].prepend(toolbar(plot), legend(plot));
  for (const panel of plot.panels) {
    attachInteraction(plot, panel);
    // Also redraws when the section opens, as a closed one has no width.
    new ResizeObserver(() => plot.drawPanel(panel)).observe(panel.canvas);
  }
});

for (const batch of document.querySelectorAll("[data-tip]")) {
  const show = () => showBatch(batch);
  batch.addEventListener("pointerenter", show);
  batch.addEventListener("focus", show);
  batch.addEventListener("pointerleave", hideTip);
  batch.addEventListener("blur", hideTip);
}

function openLinked() {
  const section = location.hash && document.getElementById(location.hash.slice(1));
  if (section && "open" in section) section.open = true;
}
addEventListener("hashchange", openLinked);
openLinked();

const theme = document.getElementById("theme");
const THEMES = ["system", "light", "dark"];
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = `Theme: ${name}`;
  theme.onclick = () => setTheme(THEMES[(THEMES.indexOf(name) + 1) % THEMES.length]);
}
theme.hidden = false;
setTheme("system");
