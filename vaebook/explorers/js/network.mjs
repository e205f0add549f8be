// A multi-layer perceptron from bytes, as vaebook/explorers/network.py packs them, and what one computes with it.

const ACTIVATIONS = {
  identity: (a) => a,
  tanh: Math.tanh,
  relu: (a) => Math.max(a, 0),
  silu: (a) => a / (1 + Math.exp(-a)),
};

export const sigmoid = (a) => 1 / (1 + Math.exp(-a));

/** log(1 + e^a) without overflow. */
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

/** A buffer that starts where the view does: a trait's DataView may begin at any byte. */
export function ownBuffer(view) {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** The bytes of a trait that Python deflated (`packed` in vaebook/explorers/base.py). */
export async function inflated(view) {
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

/** The layers of a network. Their weights stay 8-bit: they are scaled once for each output, not once for each weight. */
export function readNetwork(layers, view) {
  const buffer = ownBuffer(view);
  let at = 0;
  return layers.map(({ inputs, outputs, activation }) => {
    const bias = new Float32Array(buffer, at, outputs);
    const scale = new Float32Array(buffer, at + 4 * outputs, outputs);
    const levels = new Int8Array(buffer, at + 8 * outputs, outputs * inputs);
    at += 8 * outputs + 4 * Math.ceil((outputs * inputs) / 4);
    return { inputs, outputs, bias, scale, levels, activate: ACTIVATIONS[activation] };
  });
}

/** The network's outputs for one input. */
export function evaluate(network, input) {
  return network.reduce((values, layer) => applyLayer(values, layer), input);
}

/** The activations of one layer. */
export function applyLayer(input, { inputs, outputs, bias, scale, levels, activate }) {
  const result = new Float32Array(outputs);
  for (let row = 0, k = 0; row < outputs; row++) {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += levels[k++] * input[i];
    result[row] = activate(bias[row] + scale[row] * sum);
  }
  return result;
}

/** E[x|z] of each pixel, from the decoder's raw outputs; `likelihood` is the one of the explorer's spec. */
export function meanImage(outputs, { pixels, mean }) {
  const centre = outputs.subarray(0, pixels);
  return mean === "sigmoid" ? centre.map(sigmoid) : centre;
}

/** log p(x|z) in nats, summed over pixels: Bernoulli from logits, or Gaussian. The same as vaelib/likelihoods.py. */
export function logLikelihood(x, outputs, likelihood) {
  if (likelihood.name === "bernoulli") {
    return x.reduce((sum, pixel, i) => sum + pixel * outputs[i] - softplus(outputs[i]), 0);
  }
  const { pixels, logVariance, logStart, logFloor } = likelihood;
  const centre = meanImage(outputs, likelihood);
  return x.reduce((sum, pixel, i) => {
    const logVar = logVariance ?? logFloor + softplus(logStart + outputs[pixels + i] - logFloor);
    return sum - 0.5 * ((pixel - centre[i]) ** 2 * Math.exp(-logVar) + logVar + Math.log(2 * Math.PI));
  }, 0);
}

/** Mean and standard deviation of q(z|x), from the encoder's outputs. */
export function posterior(outputs) {
  const latents = outputs.length / 2;
  return { mean: outputs.slice(0, latents), sigma: outputs.slice(latents).map((logVar) => Math.exp(0.5 * logVar)) };
}

/** KL(q(z_j|x) || N(0, 1)) of each latent, in nats. */
export function klPerLatent({ mean, sigma }) {
  return mean.map((m, j) => 0.5 * (m * m + sigma[j] * sigma[j] - 1) - Math.log(sigma[j]));
}

/** Draws from N(0, 1), the same for the same seed (mulberry32, then Box and Muller's transform). */
export function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
