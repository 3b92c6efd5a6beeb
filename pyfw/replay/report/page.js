// The page itself: theme, tips, tools and keys of each plot, sections that open when they are linked to.

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

// What has the focus keeps its tip: the focus itself may have scrolled the page.
addEventListener("scroll", () => {
  if (document.activeElement.matches("[data-tip]")) showBatch(document.activeElement);
  else hideTip();
}, { passive: true, capture: true });

function showBatch(batch) {
  const area = batch.getBoundingClientRect();
  showTip(batch.getAttribute("aria-label").replaceAll("; ", "\n"), area.left, area.bottom - 10);
}

function button(text, label, action) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, title: label });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

function tools(plot) {
  const bar = document.createElement("div");
  bar.className = "bar-of-tools";
  const axis = document.createElement("span");
  const modes = [["time", "Time"], ["order", "Order"]].map(([mode, name]) =>
    button(name, `Across: ${mode === "time" ? "time" : "order"}`, () => {
      plot.mode = mode;
      plot.reset();
      press();
    }));
  const press = () => modes.forEach((made, i) => made.setAttribute("aria-pressed", String((i === 0) === (plot.mode === "time"))));
  press();
  axis.append(...modes);
  const reset = button("Reset", "Show everything", () => plot.reset());
  bar.append(axis, button("+", "Zoom in", () => plot.zoom(0.7)), button("−", "Zoom out", () => plot.zoom(1 / 0.7)), reset);
  const odd = plot.panels.filter((panel) => plot.exceptions(panel).length);
  if (odd.length) {
    let turn = odd[0];
    bar.append(button("Next out of order", "Go to the next point out of order", () => {
      const points = plot.exceptions(turn);
      if (turn.halo === points[points.length - 1]) turn = odd[(odd.indexOf(turn) + 1) % odd.length];
      next(plot, turn, 1);
    }));
  }
  return bar;
}

/** Only the kinds that occur. */
function legend(plot) {
  const list = document.createElement("ul");
  list.className = "key";
  for (const kind of [SENT, IN_ORDER, EARLY, LATE, DUPLICATE, LOST]) {
    if (!plot.panels.some((panel) => panel.byKind[kind].length)) continue;
    const bar = kind === LOST ? "" : `<path class="path-${css(kind)}" d="M8 1V15"/>`;
    const sign = kind > IN_ORDER ? glyph(kind, 8, 8) : "";
    list.insertAdjacentHTML("beforeend", `<li><svg viewBox="0 0 16 16" aria-hidden="true">${bar}${sign}</svg>${kind === IN_ORDER ? "arrived in order" : KINDS[kind]}</li>`);
  }
  const hint = matchMedia("(pointer: coarse)").matches ? "pinch to zoom, tap for facts"
    : "drag a box to zoom, Shift-drag to move; after a click the wheel zooms; Esc resets, n finds the next out of order";
  list.insertAdjacentHTML("beforeend", `<li class="hint">${hint}</li>`);
  return list;
}

const figures = document.querySelectorAll("figure.plot");
JSON.parse(document.getElementById("plots").textContent).forEach((data, i) => {
  const plot = new Plot(figures[i], data);
  figures[i].prepend(tools(plot), legend(plot));
  for (const panel of plot.panels) {
    handle(plot, panel);
    // Also when its section opens: until then it has no width.
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
