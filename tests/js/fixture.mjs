// What tests/vaebook/test_explorers.py writes for these tests: packed networks, inputs, and what torch makes of them.

import { readFileSync } from "node:fs";

const { EXPLORERS_FIXTURE } = process.env;
export const fixture = EXPLORERS_FIXTURE ? JSON.parse(readFileSync(EXPLORERS_FIXTURE, "utf8")) : null;

/** Bytes as ipywidgets hands them over: a view that does not start where its buffer does. */
export function viewOf(base64) {
  const bytes = Buffer.from(base64, "base64");
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  return new DataView(shifted.buffer, 3);
}

/** The largest distance between two lists of numbers. */
export function largestError(found, expected) {
  return found.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i])), 0);
}
