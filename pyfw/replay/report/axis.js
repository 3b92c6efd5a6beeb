// Ticks and numbers on axes.

/** Returns round values within [low, high], about `count`: steps of 1, 2 or 5 times a power of ten. */
function ticks(low, high, count, isInteger) {
  const raw = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  if (isInteger) step = Math.max(1, Math.round(step));
  const values = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) values.push(n * step + 0);
  return { step, values };
}

const TIME_UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];

/** Returns the largest unit that does not exceed a time. */
function timeUnit(ns) {
  return TIME_UNITS.find(([size]) => ns >= size * 0.9999) || TIME_UNITS[3];
}

function time(ns, [size, name] = timeUnit(Math.abs(ns) || 1e9)) {
  return `${number(ns / size, 3)} ${name}`;
}

function number(value, digits = 0) {
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
