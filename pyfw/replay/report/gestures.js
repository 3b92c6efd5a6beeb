// Hands on a plot. In: pointer, wheel and keys. Out: calls of the plot's show, zoom, pan and select.
// The page scrolls as ever: the wheel zooms only where the plot has the focus, or with Ctrl held.

function handle(plot, panel) {
  const { canvas } = panel;
  const pointers = new Map();
  let box = null;

  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  };
  const part = ([x, y]) => [(x - panel.left) / panel.inner.w, (y - MARGIN.top) / panel.inner.h];
  const hover = (event) => {
    const [x, y] = place(event);
    const point = plot.nearest(panel, x, y);
    plot.select(panel, point);
    if (point) showTip(plot.facts(panel, point), event.clientX, event.clientY);
    else hideTip();
  };

  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    plot.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.005), ...part(place(event)));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    const touch = event.pointerType === "touch";
    box = pointers.size === 1 && !touch && !event.shiftKey ? place(event) : null;
    if (touch) hover(event);
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return hover(event);
    const now = place(event);
    if (pointers.size === 2) pinch(plot, panel, pointers, event.pointerId, now, part);
    else if (box) drawBox(panel, box, now);
    else if (plot.zoomed) plot.pan((before[0] - now[0]) / panel.inner.w, (now[1] - before[1]) / panel.inner.h);
    if (!box) pointers.set(event.pointerId, now);
    return undefined;
  });

  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const end = place(event);
    if (box && event.type === "pointerup" && Math.hypot(end[0] - box[0], end[1] - box[1]) > 8) showBox(plot, part(box), part(end));
    else if (box) plot.ring(panel, panel.halo);
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
  canvas.addEventListener("keydown", (event) => key(plot, panel, event));
}

function pinch(plot, panel, pointers, moved, now, part) {
  const [other] = [...pointers].filter(([id]) => id !== moved).map(([, at]) => at);
  const before = pointers.get(moved);
  const spread = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 20);
  plot.zoom(spread(before, other) / spread(now, other), ...part([(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]));
}

function drawBox(panel, [ax, ay], [bx, by]) {
  const over = panel.canvas.querySelector(".over");
  over.innerHTML = `<rect class="box" x="${Math.min(ax, bx)}" y="${Math.min(ay, by)}" width="${Math.abs(ax - bx)}" height="${Math.abs(ay - by)}"/>`;
}

/** A box that is hardly high zooms along the axis that it spans. */
function showBox(plot, [ax, ay], [bx, by]) {
  const span = ([low, high], a, b) => {
    const from = Math.min(a, b), to = Math.max(a, b);
    return to - from < 0.03 ? [low, high] : [low + (high - low) * from, low + (high - low) * to];
  };
  plot.show(span(plot.view.x, ax, bx), span(plot.view.y, 1 - ay, 1 - by));
}

function key(plot, panel, event) {
  const actions = {
    "+": () => plot.zoom(0.7), "=": () => plot.zoom(0.7), "-": () => plot.zoom(1 / 0.7),
    ArrowLeft: () => plot.pan(-0.15, 0), ArrowRight: () => plot.pan(0.15, 0),
    ArrowUp: () => plot.pan(0, 0.15), ArrowDown: () => plot.pan(0, -0.15),
    Escape: () => plot.reset(), 0: () => plot.reset(),
    n: () => next(plot, panel, 1), p: () => next(plot, panel, -1),
  };
  const arrow = event.key.startsWith("Arrow");
  if (!actions[event.key] || event.ctrlKey || event.metaKey || (arrow && !plot.zoomed)) return;
  event.preventDefault();
  actions[event.key]();
}

/** Goes to the next point out of order, moving the view where it must. */
function next(plot, panel, by) {
  const points = plot.exceptions(panel);
  if (!points.length) return;
  const at = points.indexOf(panel.halo);
  const point = points[at < 0 ? (by > 0 ? 0 : points.length - 1) : (at + by + points.length) % points.length];
  const seen = ([low, high], value) => {
    const half = (high - low) / 2;
    return value >= low && value <= high ? [low, high] : [value - half, value + half];
  };
  plot.show(seen(plot.view.x, point[plot.mode === "time" ? 0 : 4]), seen(plot.view.y, point[1]));
  plot.select(panel, point);
  const area = panel.canvas.getBoundingClientRect();
  showTip(plot.facts(panel, point), area.left + plot.x(panel, point), area.top + plot.y(panel, point));
}
