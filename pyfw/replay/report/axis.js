// Numbers on axes. In: a range and how many ticks fit. Out: round ticks and their text.

/** Round values within [low, high]: steps of 1, 2 or 5 times a power of ten. */
function ticks(low, high, fit, whole) {
  const raw = (high - low) / Math.max(fit, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) found.push(n * step + 0);
  return { step, values: found };
}

const TIME_UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];

/** The largest unit that is not above a time. */
function timeUnit(ns) {
  return TIME_UNITS.find(([size]) => ns >= size * 0.9999) || TIME_UNITS[3];
}

function time(ns, [size, name] = timeUnit(Math.abs(ns) || 1e9)) {
  return `${number(ns / size, 3)} ${name}`;
}

function number(value, digits = 0) {
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
