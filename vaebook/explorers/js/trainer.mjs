// The playground's engine: trains the VAE and reports on it. Runs in a worker, so that the page never waits for it.

import { normals } from "./network.mjs";
import { adam, backward, createSpace, createVae, decode, draw, encode, terms } from "./vae.mjs";

const HIDDEN = 64; // units of each hidden layer
const BATCH = 32; // images in a step
export const SAMPLES = 20; // pictures drawn from the prior
const IN_USE = 0.01; // a direction counts if the posterior means vary by more than this along it

/**
 * An engine for images (n, pixels) in [0, 1]. Called with settings { sigma, beta, step_size, latents, seed } and a number
 * of steps, it takes them and returns a report. Other latents or another seed start it anew.
 */
export function createTrainer({ images, pixels, examples }) {
  const count = images.length / pixels;
  const average = new Float32Array(pixels);
  for (let i = 0; i < images.length; i++) average[i % pixels] += images[i] / count;
  let state;

  function start({ latents, seed }) {
    const vae = createVae({ pixels, hidden: HIDDEN, latents, average }, seed);
    const fixed = normals(seed + 1); // the report's noise and samples stay the same: pictures change, but do not flicker
    state = {
      seed,
      vae,
      step: createSpace(vae, BATCH),
      all: createSpace(vae, count),
      next: 0,
      noise: normals(seed + 2),
    };
    state.allNoise = filled(count * latents, fixed);
    state.prior = filled(SAMPLES * latents, fixed);
    state.batchNoise = new Float32Array(BATCH * latents);
  }

  /** One step on the next images; they come shuffled, and go round. */
  function step(settings) {
    const { vae, step: space, batchNoise } = state;
    const x = images.subarray(state.next * pixels, (state.next + BATCH) * pixels);
    state.next = state.next + 2 * BATCH > count ? 0 : state.next + BATCH;
    for (let i = 0; i < batchNoise.length; i++) batchNoise[i] = state.noise();
    encode(vae, space, x, BATCH);
    draw(vae, space, batchNoise, BATCH);
    decode(vae, space, BATCH);
    backward(vae, space, x, batchNoise, BATCH, settings);
    adam(vae, settings.step_size, settings.sigma ** 2); // σ² times the bound has the same maximum, and slopes of a like size
  }

  /** What the page shows: the terms of the bound over all images, and pictures. */
  function report({ sigma }) {
    const { vae, all, allNoise, prior } = state;
    encode(vae, all, images, count);
    draw(vae, all, allNoise, count);
    decode(vae, all, count);
    const { reconstruction, kl } = terms(vae, all, images, count, sigma);
    const [means, logVars] = halves(all.q, count, vae.latents);
    for (const [i, index] of examples.entries()) copyRow(means, index, all.z, i, vae.latents);
    all.z.set(prior, examples.length * vae.latents);
    decode(vae, all, examples.length + SAMPLES);
    const pictures = all.mean.slice(0, (examples.length + SAMPLES) * pixels);
    const directions = eigenvalues(covariance(means, vae.latents)).filter((value) => value > IN_USE).length;
    return { step: vae.step, reconstruction, kl: Array.from(kl), directions, means, logVars, pictures };
  }

  return ({ settings, steps = 0, anew = false }) => {
    const other = state?.vae.latents !== settings.latents || state.seed !== settings.seed;
    const started = anew || other;
    if (started) start(settings);
    for (let i = 0; i < steps; i++) step(settings);
    return { started, ...report(settings) };
  };
}

const filled = (length, make) => Float32Array.from({ length }, make);

/** Rows of means and log-variances (n, 2 Z) as two arrays (n, Z). */
function halves(q, n, latents) {
  const parts = [new Float32Array(n * latents), new Float32Array(n * latents)];
  for (let i = 0; i < q.length; i++) {
    const [row, column] = [Math.floor(i / (2 * latents)), i % (2 * latents)];
    parts[Math.floor(column / latents)][row * latents + (column % latents)] = q[i];
  }
  return parts;
}

function copyRow(from, row, to, place, width) {
  to.set(from.subarray(row * width, (row + 1) * width), place * width);
}

/** Of the rows of values (n, Z); divides by n. */
export function covariance(values, latents) {
  const n = values.length / latents;
  const mean = new Float64Array(latents);
  for (let i = 0; i < values.length; i++) mean[i % latents] += values[i] / n;
  const result = Array.from({ length: latents }, () => new Float64Array(latents));
  for (let at = 0; at < values.length; at += latents) {
    for (let a = 0; a < latents; a++) {
      for (let b = 0; b < latents; b++) result[a][b] += ((values[at + a] - mean[a]) * (values[at + b] - mean[b])) / n;
    }
  }
  return result;
}

/** Of a small symmetric matrix, by Jacobi's rotations: each makes one entry off the diagonal zero. */
export function eigenvalues(matrix) {
  const a = matrix.map((row) => Float64Array.from(row));
  const n = a.length;
  for (let sweep = 0; sweep < 12; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
      }
    }
  }
  return a.map((row, i) => row[i]).sort((x, y) => y - x);
}

if (typeof WorkerGlobalScope !== "undefined" && globalThis instanceof WorkerGlobalScope) {
  let work; // the first message brings the data, every other asks for work
  globalThis.onmessage = ({ data }) => {
    if (work) postMessage(work(data));
    else work = createTrainer(data);
  };
}
