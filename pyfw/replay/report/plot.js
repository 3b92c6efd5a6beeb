// A time–sequence plot: one SVG per rule, all with the same view.
// A point is [time in ns, position, length, kind, index among the sent or the arrived].

const SENT = 0, IN_ORDER = 1, EARLY = 2, LATE = 3, DUPLICATE = 4, LOST = 5;
const KINDS = ["sent", "in order", "early", "late", "duplicate", "lost"];
const MARGIN = { right: 12, top: 8, bottom: 36 };
const HOVER_PX = 28;

class Plot {
  constructor(figure, data) {
    this.figure = figure;
    this.tcp = data.tcp;
    this.panels = data.panels.map((panel, i) => this.linkPoints(panel, figure.querySelectorAll(".canvas")[i]));
    this.mode = this.timesAreDistinct() ? "time" : "order";
    this.full = { time: this.extent(0), order: this.extent(4) };
    this.reset();
  }

  /** Links each arrival to its sent point, and finds lost segments. */
  linkPoints(panel, canvas) {
    const sent = new Map();
    for (const point of panel.points.filter((p) => p[3] === SENT)) {
      const key = `${point[1]} ${point[2]}`;
      if (!sent.has(key)) sent.set(key, []);
      sent.get(key).push({ point, arrivals: [] });
    }
    const origin = new Map();
    for (const point of panel.points.filter((p) => p[3] !== SENT)) {
      const same = sent.get(`${point[1]} ${point[2]}`);
      if (!same) continue;
      const from = same.find((s) => s.arrivals.length === 0 && point[3] !== DUPLICATE) || same[same.length - 1];
      from.arrivals.push(point);
      origin.set(point, from);
    }
    const byKind = KINDS.map((_, kind) => panel.points.filter((p) => p[3] === kind));
    for (const from of [...sent.values()].flat()) {
      origin.set(from.point, from);
      if (!from.arrivals.length && panel.whole) byKind[LOST].push(from.point);
    }
    return { ...panel, canvas, origin, byKind, arrived: panel.points.filter((p) => p[3] !== SENT), halo: null };
  }

  /** Returns whether arrival times differ enough to show the order. */
  timesAreDistinct() {
    return this.panels.every(({ arrived }) => new Set(arrived.map((p) => p[0])).size * 2 > arrived.length);
  }

  extent(column) {
    const points = this.panels.flatMap((panel) => panel.points);
    const xs = points.map((p) => p[column]), ys = points.map((p) => p[1]), tops = points.map((p) => p[1] + this.height(p));
    const min = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
    const max = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
    const pad = (low, high, unit) => {
      const by = Math.max((high - low) * 0.04, unit);
      return [low - by, high + by];
    };
    if (!points.length) return { x: [0, 1], y: [0, 1] };
    return { x: pad(min(xs), max(xs), column ? 0.5 : 1e3), y: pad(min(ys), max(tops), 0.5) };
  }

  height(point) {
    return this.tcp ? point[2] : 0.8;
  }

  reset() {
    const { x, y } = this.full[this.mode];
    this.view = { x: [...x], y: [...y] };
    this.draw();
  }

  /** Shows a range, within the full extent and not below the smallest useful size. */
  show(x, y) {
    const full = this.full[this.mode];
    const clamp = ([low, high], [min, max], smallest) => {
      const size = Math.min(Math.max(high - low, smallest), max - min);
      const start = Math.min(Math.max((low + high - size) / 2, min), max - size);
      return [start, start + size];
    };
    this.view = {
      x: clamp(x, full.x, this.mode === "time" ? 100 : 1),
      y: clamp(y, full.y, this.tcp ? 10 : 1),
    };
    this.draw();
  }

  /** Zooms about a point, given as fractions of the panel's width and height. */
  zoom(factor, atX = 0.5, atY = 0.5) {
    const about = ([low, high], at) => {
      const centre = low + (high - low) * at;
      return [centre - (centre - low) * factor, centre + (high - centre) * factor];
    };
    this.show(about(this.view.x, atX), about(this.view.y, 1 - atY));
  }

  /** Pans by fractions of the visible range. */
  pan(byX, byY) {
    const moved = ([low, high], by) => [low + (high - low) * by, high + (high - low) * by];
    this.show(moved(this.view.x, byX), moved(this.view.y, byY));
  }

  get isZoomed() {
    const { x, y } = this.full[this.mode];
    return this.view.x[1] - this.view.x[0] < (x[1] - x[0]) * 0.999 || this.view.y[1] - this.view.y[0] < (y[1] - y[0]) * 0.999;
  }

  draw() {
    for (const panel of this.panels) this.drawPanel(panel);
  }

  drawPanel(panel) {
    const width = panel.canvas.clientWidth, height = panel.canvas.clientHeight;
    if (!width || !height) return;
    const left = this.left();
    const inner = { w: width - left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const [x0, x1] = this.view.x, [y0, y1] = this.view.y;
    const X = (value) => left + ((value - x0) / (x1 - x0)) * inner.w;
    const Y = (value) => MARGIN.top + (1 - (value - y0) / (y1 - y0)) * inner.h;
    Object.assign(panel, { X, Y, left, inner });
    panel.canvas.innerHTML =
      `<svg viewBox="0 0 ${width} ${height}" aria-hidden="true">` +
      this.axes(panel, width, height) +
      `<svg x="${left}" y="${MARGIN.top}" width="${inner.w}" height="${inner.h}" viewBox="${left} ${MARGIN.top} ${inner.w} ${inner.h}">` +
      this.marks(panel) +
      `<g class="over"></g></svg></svg>`;
    if (panel.halo) this.drawHalo(panel, panel.halo);
  }

  /** Returns the left margin: the width of the longest number on the y axis. */
  left() {
    return 20 + 6.4 * number(Math.ceil(this.full.order.y[1])).length;
  }

  axes(panel, width, height) {
    const { X, Y, left, inner } = panel;
    const across = ticks(...this.view.x, inner.w / (this.mode === "time" ? 80 : 46), this.mode === "order");
    const up = ticks(...this.view.y, inner.h / 44, true);
    const unit = timeUnit(across.step * 2);
    const right = left + inner.w, bottom = MARGIN.top + inner.h;
    let lines = "", texts = "";
    for (const value of across.values.filter((v) => this.mode === "time" || v >= 0)) {
      const x = X(value).toFixed(1);
      const label = this.mode === "time" ? number(value / unit[0], 6) : number(value + 1);
      lines += `M${x} ${MARGIN.top}V${bottom}`;
      texts += `<text x="${x}" y="${bottom + 14}" text-anchor="middle">${label}</text>`;
    }
    for (const value of up.values) {
      const y = Y(value).toFixed(1);
      lines += `M${left} ${y}H${right}`;
      texts += `<text x="${left - 6}" y="${+y + 4}" text-anchor="end">${number(value)}</text>`;
    }
    const title = this.mode === "time" ? `time, ${unit[1]}` : "order of sending and arrival";
    return `<path class="grid" d="${lines}"/><path class="frame" d="M${left} ${MARGIN.top}V${bottom}H${right}"/>${texts}` +
      `<text x="${left + inner.w / 2}" y="${height - 4}" text-anchor="middle">${title}</text>`;
  }

  /** Returns the bars, the line that joins arrivals, and the glyphs of points out of order. */
  marks(panel) {
    const bars = (kind) => `<path class="path-${css(kind)}" d="${panel.byKind[kind].map((p) => this.bar(panel, p)).join("")}"/>`;
    const join = panel.arrived.map((p) => `${this.x(panel, p).toFixed(1)} ${this.y(panel, p).toFixed(1)}`).join("L");
    return bars(SENT) + (join ? `<path class="path-join" d="M${join}"/>` : "") +
      [IN_ORDER, EARLY, LATE, DUPLICATE].map(bars).join("") +
      [LOST, DUPLICATE, EARLY, LATE].map((kind) => `<g data-kind="${css(kind)}">${panel.byKind[kind].map((p) =>
        glyph(kind, this.x(panel, p), this.y(panel, p))).join("")}</g>`).join("");
  }

  bar(panel, point) {
    const x = this.x(panel, point).toFixed(1);
    const bottom = panel.Y(point[1]), top = panel.Y(point[1] + this.height(point));
    const gap = bottom - top > 6 ? 0.75 : 0;
    return `M${x} ${(bottom - gap).toFixed(1)}V${Math.min(top + gap, bottom - gap - 1).toFixed(1)}`;
  }

  x(panel, point) {
    return panel.X(point[this.mode === "time" ? 0 : 4]);
  }

  y(panel, point) {
    return panel.Y(point[1] + this.height(point) / 2);
  }

  /** Returns the point nearest to a position; at equal distance an arrival before a sent point. */
  nearest(panel, x, y) {
    let best = null, bestDistance = HOVER_PX;
    for (const point of panel.points) {
      const half = (this.height(point) / 2 / (this.view.y[1] - this.view.y[0])) * panel.inner.h;
      const distance = Math.hypot(this.x(panel, point) - x, Math.max(Math.abs(this.y(panel, point) - y) - half, 0)) + (point[3] === SENT ? 0.5 : 0);
      if (distance < bestDistance) [best, bestDistance] = [point, distance];
    }
    return best;
  }

  /** Highlights a segment under every rule. */
  select(panel, point) {
    for (const other of this.panels) {
      other.halo = !point ? null : other === panel ? point
        : other.arrived.find((p) => p[1] === point[1] && p[2] === point[2]) || null;
      this.drawHalo(other, other.halo);
    }
  }

  drawHalo(panel, point) {
    const over = panel.canvas.querySelector(".over");
    if (!over) return;
    over.innerHTML = point ? `<circle class="halo" r="10" cx="${this.x(panel, point).toFixed(1)}" cy="${this.y(panel, point).toFixed(1)}"/>` : "";
  }

  /** Describes a point in lines for its tooltip. */
  describe(panel, point) {
    const from = panel.origin.get(point);
    const arrival = point[3] === SENT ? from && from.arrivals[0] : point;
    const kind = point[3] === SENT ? (arrival ? `sent; arrived ${KINDS[arrival[3]]}` : panel.whole ? "sent; lost" : "sent") : `arrived ${KINDS[point[3]]}`;
    const range = this.tcp ? `${number(point[1])}–${number(point[1] + point[2])}, ${number(point[2])} B` : `${number(point[1])}, ${number(point[2])} B`;
    const lines = [`${panel.rule}: ${kind}`, `${this.tcp ? "bytes" : "packet"} ${range}`];
    if (from) lines.push(`sent ${ordinal(from.point[4] + 1)}, at ${time(from.point[0])}`);
    if (arrival) {
      const delay = from ? `, after ${time(arrival[0] - from.point[0])}` : "";
      lines.push(`arrived ${ordinal(arrival[4] + 1)}, at ${time(arrival[0])}${delay}`);
    }
    if (arrival && arrival[3] === LATE && panel.whole) {
      const sentIndex = (p) => (panel.origin.has(p) ? panel.origin.get(p).point[4] : -1);
      const before = panel.arrived.filter((p) => p[4] < arrival[4] && sentIndex(p) > sentIndex(arrival)).length;
      lines.push(`overtaken by ${number(before)}`);
    }
    return lines.join("\n");
  }

  /** Returns the points out of order, in order of arrival. */
  exceptions(panel) {
    return [...panel.byKind[EARLY], ...panel.byKind[LATE], ...panel.byKind[DUPLICATE]].sort((a, b) => a[4] - b[4]);
  }
}

function css(kind) {
  return KINDS[kind].replace(" ", "-");
}

function ordinal(n) {
  const tail = n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th";
  return `${number(n)}${tail}`;
}

/** Glyphs differ in shape: up for early, down for late, a cross for duplicate, a ring for lost. */
function glyph(kind, x, y) {
  const at = (path) => `<path class="glyph-${css(kind)}" transform="translate(${x.toFixed(1)} ${y.toFixed(1)})" d="${path}"/>`;
  if (kind === EARLY) return at("M0-6L6 5H-6Z");
  if (kind === LATE) return at("M0 6L6-5H-6Z");
  if (kind === DUPLICATE) return at("M-5-5L5 5M5-5L-5 5");
  return at("M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z");
}
