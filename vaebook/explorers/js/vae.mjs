// A small VAE that learns in the page: its forward pass, its gradients and Adam, written out. No library, no DOM.
//
//   encoder   h = tanh(x W₁ + b₁)     (μ, ℓ) = h W₂ + b₂     q(z|x) = N(μ, diag e^ℓ)     ℓ is the log-variance
//   a draw    z = μ + e^(ℓ/2) ε       ε ~ N(0, 1)
//   decoder   g = tanh(z W₃ + b₃)     x̂ = g W₄ + b₄          p(x|z) = N(x̂, σ² I)         σ is fixed
//
// What it maximises, in nats an image, pixels summed (with β = 1 it is the ELBO, a lower bound of log p(x)):
//
//   log p(x|z) − β KL         log p(x|z) = −|x − x̂|²/(2σ²) − D/2 log(2πσ²)         KL = Σⱼ ½ (μⱼ² + e^ℓⱼ − 1 − ℓⱼ)
//
// Matrices lie row by row in a Float32Array: images x (n, D), weights (inputs, outputs).

import { normals } from "./network.mjs";

/** All numbers of the network in one array, `weights`; `layers` are windows on it, `gradient` has the same order. */
export function createVae({ pixels, hidden, latents, average }, seed) {
  const shapes = [
    [pixels, hidden],
    [hidden, 2 * latents],
    [latents, hidden],
    [hidden, pixels],
  ];
  const size = sum(shapes.map(([inputs, outputs]) => (inputs + 1) * outputs));
  const zeros = () => new Float32Array(size);
  const vae = { pixels, hidden, latents, weights: zeros(), gradient: zeros(), m: zeros(), v: zeros(), step: 0 };
  vae.layers = layersOf(shapes, vae.weights);
  vae.slopes = layersOf(shapes, vae.gradient);
  const draw = normals(seed);
  for (const { weight, inputs } of vae.layers)
    for (let i = 0; i < weight.length; i++) weight[i] = draw() / Math.sqrt(inputs);
  const output = vae.layers[3]; // starts near the data's average image, whatever z is
  output.bias.set(average);
  for (let i = 0; i < output.weight.length; i++) output.weight[i] *= 0.1;
  return vae;
}

function layersOf(shapes, numbers) {
  let at = 0;
  const take = (count) => {
    at += count;
    return numbers.subarray(at - count, at);
  };
  return shapes.map(([inputs, outputs]) => ({ inputs, outputs, weight: take(outputs * inputs), bias: take(outputs) }));
}

/** Room for what a pass over up to n images computes. */
export function createSpace({ pixels, hidden, latents }, n) {
  const room = (width) => new Float32Array(n * width);
  const values = { h: room(hidden), q: room(2 * latents), z: room(latents), g: room(hidden), mean: room(pixels) };
  const slopes = { mean: room(pixels), g: room(hidden), z: room(latents), q: room(2 * latents), h: room(hidden) };
  return { ...values, slopes };
}

/** q(z|x) of n images x (n, D) into space.q: for each image its means, then its log-variances. */
export function encode(vae, space, x, n) {
  affine(vae.layers[0], x, space.h, n);
  tanh(space.h, n * vae.hidden);
  affine(vae.layers[1], space.h, space.q, n);
}

/** z = μ + e^(ℓ/2) ε, from noise ε (n, Z) into space.z. */
export function draw(vae, { q, z }, noise, n) {
  const { latents } = vae;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < latents; j++) {
      const at = 2 * latents * i + j;
      z[latents * i + j] = q[at] + Math.exp(q[at + latents] / 2) * noise[latents * i + j];
    }
  }
}

/** x̂ of n codes in space.z (n, Z), into space.mean. */
export function decode(vae, space, n) {
  affine(vae.layers[2], space.z, space.g, n);
  tanh(space.g, n * vae.hidden);
  affine(vae.layers[3], space.g, space.mean, n);
}

/** The terms of the bound after a pass, averages over n images in nats: log p(x|z), and the KL of each latent. */
export function terms({ pixels, latents }, { q, mean }, x, n, sigma) {
  let error = 0;
  for (let i = 0; i < n * pixels; i++) error += (x[i] - mean[i]) ** 2;
  const kl = new Float64Array(latents);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < latents; j++) {
      const mu = q[2 * latents * i + j];
      const logVar = q[2 * latents * i + latents + j];
      kl[j] += (0.5 * (mu * mu + Math.exp(logVar) - 1 - logVar)) / n;
    }
  }
  const reconstruction = -error / n / (2 * sigma ** 2) - (pixels / 2) * Math.log(2 * Math.PI * sigma ** 2);
  return { reconstruction, kl };
}

/** The gradient of −(log p(x|z) − β KL), averaged over n images, after encode, draw and decode: into vae.gradient. */
export function backward(vae, space, x, noise, n, { sigma, beta }) {
  const { pixels, hidden, latents, layers, slopes: to } = vae;
  const { q, slopes } = space;
  const scale = 1 / (n * sigma ** 2);
  for (let i = 0; i < n * pixels; i++) slopes.mean[i] = scale * (space.mean[i] - x[i]); // ∂/∂x̂ = (x̂ − x)/σ²
  backAffine(layers[3], to[3], space.g, slopes.mean, n, slopes.g);
  backTanh(space.g, slopes.g, n * hidden);
  backAffine(layers[2], to[2], space.z, slopes.g, n, slopes.z);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < latents; j++) {
      const at = 2 * latents * i + j;
      const slope = slopes.z[latents * i + j];
      const spread = Math.exp(q[at + latents] / 2);
      slopes.q[at] = slope + (beta / n) * q[at]; // ∂z/∂μ = 1, ∂KL/∂μ = μ
      slopes.q[at + latents] =
        0.5 * spread * noise[latents * i + j] * slope + // ∂z/∂ℓ = ½ e^(ℓ/2) ε
        (beta / n) * 0.5 * (spread * spread - 1); // ∂KL/∂ℓ = ½ (e^ℓ − 1)
    }
  }
  backAffine(layers[1], to[1], space.h, slopes.q, n, slopes.h);
  backTanh(space.h, slopes.h, n * hidden);
  backAffine(layers[0], to[0], x, slopes.h, n);
}

/** One step of Adam (Kingma & Ba 2015, algorithm 1) along `scale` times the gradient. */
export function adam(vae, rate, scale = 1, [decay1, decay2] = [0.9, 0.99]) {
  const { weights, gradient, m, v } = vae;
  vae.step += 1;
  const pace = rate / (1 - decay1 ** vae.step);
  const correct = 1 / (1 - decay2 ** vae.step);
  for (let i = 0; i < weights.length; i++) {
    const slope = scale * gradient[i];
    m[i] += (1 - decay1) * (slope - m[i]);
    v[i] += (1 - decay2) * (slope * slope - v[i]);
    weights[i] -= (pace * m[i]) / (Math.sqrt(correct * v[i]) + 1e-8);
  }
}

// ------------------------------------------------------------------------------------------------ Theory

/** The price of a latent, as a variance of the data: βσ². */
export const price = ({ sigma, beta }) => beta * sigma ** 2;

/** In how many directions the best linear VAE keeps a latent: those along which the data vary by more than the price. */
export const predicted = (eigenvalues, settings) =>
  eigenvalues.slice(0, settings.latents).filter((variance) => variance > price(settings)).length;

/** The KL of each latent of the best linear VAE, nats: ½ log(λ / βσ²), or 0. */
export const linearKl = (eigenvalues, settings) =>
  eigenvalues.slice(0, settings.latents).map((variance) => Math.max(0, 0.5 * Math.log(variance / price(settings))));

export const sum = (values) => values.reduce((a, b) => a + b, 0);

// ------------------------------------------------------------------------------------------------ Products

/** Y = X W + b for n rows X (n, inputs). */
function affine({ inputs, outputs, weight, bias }, x, y, n) {
  for (let i = 0; i < n; i++) y.set(bias, i * outputs);
  addProduct(x, [inputs, 1], weight, y, [n, inputs, outputs]);
}

/** From the slopes dY (n, outputs) of Y = X W + b: dW = Xᵀ dY and db into `to`, and dX = dY Wᵀ. */
function backAffine({ inputs, outputs, weight }, to, x, dy, n, dx) {
  to.weight.fill(0);
  to.bias.fill(0);
  addProduct(x, [1, inputs], dy, to.weight, [inputs, n, outputs]);
  for (let i = 0; i < n * outputs; i++) to.bias[i % outputs] += dy[i];
  if (!dx) return;
  dx.fill(0);
  addProduct(dy, [outputs, 1], transposed(weight, inputs, outputs), dx, [n, outputs, inputs]);
}

/**
 * C += A B for C (rows, columns) and B (inner, columns); the entry (i, k) of A lies at i · down + k · across.
 *
 * Nearly all the time goes here. Four rows of B in one pass make it four times as fast as three plain loops.
 */
function addProduct(a, [down, across], b, c, [rows, inner, columns]) {
  for (let i = 0; i < rows; i++) {
    const to = i * columns;
    let k = 0;
    for (; k + 3 < inner; k += 4) {
      const from = i * down + k * across;
      const a0 = a[from];
      const a1 = a[from + across];
      const a2 = a[from + 2 * across];
      const a3 = a[from + 3 * across];
      const b0 = k * columns;
      const b1 = b0 + columns;
      const b2 = b1 + columns;
      const b3 = b2 + columns;
      for (let j = 0; j < columns; j++) c[to + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + a2 * b[b2 + j] + a3 * b[b3 + j];
    }
    for (; k < inner; k++) {
      const a0 = a[i * down + k * across];
      const b0 = k * columns;
      for (let j = 0; j < columns; j++) c[to + j] += a0 * b[b0 + j];
    }
  }
}

function transposed(matrix, rows, columns) {
  const result = new Float32Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j];
  return result;
}

function tanh(values, count) {
  for (let i = 0; i < count; i++) values[i] = Math.tanh(values[i]);
}

/** d tanh(a)/da = 1 − tanh(a)². */
function backTanh(values, slopes, count) {
  for (let i = 0; i < count; i++) slopes[i] *= 1 - values[i] * values[i];
}
