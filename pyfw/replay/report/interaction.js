// Pointer, wheel and keyboard interaction of a plot.
// The wheel zooms only if the plot has the focus or Ctrl is held; otherwise the page scrolls.

function attachInteraction(plot, panel) {
  const { canvas } = panel;
  const pointers = new Map();
  let box = null;

  const position = (event) => {
    const area = canvas.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  };
  const fraction = ([x, y]) => [(x - panel.left) / panel.inner.w, (y - MARGIN.top) / panel.inner.h];
  const hover = (event) => {
    const [x, y] = position(event);
    const point = plot.nearest(panel, x, y);
    plot.select(panel, point);
    if (point) showTip(plot.describe(panel, point), event.clientX, event.clientY);
    else hideTip();
  };

  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    plot.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.005), ...fraction(position(event)));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, position(event));
    const touch = event.pointerType === "touch";
    box = pointers.size === 1 && !touch && !event.shiftKey ? position(event) : null;
    if (touch) hover(event);
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return hover(event);
    const now = position(event);
    if (pointers.size === 2) pinch(plot, panel, pointers, event.pointerId, now, fraction);
    else if (box) drawBox(panel, box, now);
    else if (plot.isZoomed) plot.pan((before[0] - now[0]) / panel.inner.w, (now[1] - before[1]) / panel.inner.h);
    if (!box) pointers.set(event.pointerId, now);
    return undefined;
  });

  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const end = position(event);
    if (box && event.type === "pointerup" && Math.hypot(end[0] - box[0], end[1] - box[1]) > 8) zoomToBox(plot, fraction(box), fraction(end));
    else if (box) plot.drawHalo(panel, panel.halo);
    box = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "touch") return;
    plot.select(panel, null);
    hideTip();
  });
  canvas.addEventListener("dblclick", () => plot.reset());
  canvas.addEventListener("keydown", (event) => handleKey(plot, panel, event));
}

function pinch(plot, panel, pointers, moved, now, fraction) {
  const [other] = [...pointers].filter(([id]) => id !== moved).map(([, at]) => at);
  const before = pointers.get(moved);
  const spread = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 20);
  plot.zoom(spread(before, other) / spread(now, other), ...fraction([(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]));
}

function drawBox(panel, [ax, ay], [bx, by]) {
  const over = panel.canvas.querySelector(".over");
  over.innerHTML = `<rect class="box" x="${Math.min(ax, bx)}" y="${Math.min(ay, by)}" width="${Math.abs(ax - bx)}" height="${Math.abs(ay - by)}"/>`;
}

/** Zooms to a box; a box that is flat in one direction leaves that axis unchanged. */
function zoomToBox(plot, [ax, ay], [bx, by]) {
  const span = ([low, high], a, b) => {
    const from = Math.min(a, b), to = Math.max(a, b);
    return to - from < 0.03 ? [low, high] : [low + (high - low) * from, low + (high - low) * to];
  };
  plot.show(span(plot.view.x, ax, bx), span(plot.view.y, 1 - ay, 1 - by));
}

function handleKey(plot, panel, event) {
  const actions = {
    "+": () => plot.zoom(0.7), "=": () => plot.zoom(0.7), "-": () => plot.zoom(1 / 0.7),
    ArrowLeft: () => plot.pan(-0.15, 0), ArrowRight: () => plot.pan(0.15, 0),
    ArrowUp: () => plot.pan(0, 0.15), ArrowDown: () => plot.pan(0, -0.15),
    Escape: () => plot.reset(), 0: () => plot.reset(),
    n: () => selectNext(plot, panel, 1), p: () => selectNext(plot, panel, -1),
  };
  const isArrow = event.key.startsWith("Arrow");
  if (!actions[event.key] || event.ctrlKey || event.metaKey || (isArrow && !plot.isZoomed)) return;
  event.preventDefault();
  actions[event.key]();
}

/** Selects the next point out of order, and moves the view if the point is outside. */
function selectNext(plot, panel, step) {
  const points = plot.exceptions(panel);
  if (!points.length) return;
  const at = points.indexOf(panel.halo);
  const point = points[at < 0 ? (step > 0 ? 0 : points.length - 1) : (at + step + points.length) % points.length];
  const include = ([low, high], value) => {
    const half = (high - low) / 2;
    return value >= low && value <= high ? [low, high] : [value - half, value + half];
  };
  plot.show(include(plot.view.x, point[plot.mode === "time" ? 0 : 4]), include(plot.view.y, point[1]));
  plot.select(panel, point);
  const area = panel.canvas.getBoundingClientRect();
  showTip(plot.describe(panel, point), area.left + plot.x(panel, point), area.top + plot.y(panel, point));
}
