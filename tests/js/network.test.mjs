// The network in the page against torch, and its formulas against closed forms.

import assert from "node:assert/strict";
import test from "node:test";
import {
  evaluate,
  klPerLatent,
  logLikelihood,
  meanImage,
  normals,
  posterior,
  readNetwork,
} from "../../vaebook/explorers/js/network.mjs";
import { fixture, largestError, viewOf } from "./fixture.mjs";

const [PIXEL, AVERAGE] = [0.1, 0.003]; // stated in the docstrings of vaebook/explorers

for (const { name, decoder, weights, likelihood, z, images, rounded } of fixture?.decoders ?? []) {
  test(`decodes as torch does: ${name}`, () => {
    const network = readNetwork(decoder, viewOf(weights));
    const made = z.map((code) => meanImage(evaluate(network, code), likelihood));
    const worst = Math.max(...made.map((image, i) => largestError(image, images[i])));
    const errors = made.flatMap((image, i) => Array.from(image, (pixel, k) => Math.abs(pixel - images[i][k])));
    const average = errors.reduce((a, b) => a + b, 0) / errors.length;
    console.log(`${name}: largest error ${worst.toFixed(4)}, average ${average.toFixed(5)}`);
    const away = Math.max(...made.map((image, i) => largestError(image, rounded[i])));
    assert.ok(away < 1e-4, `${away} away from torch with the same 8-bit weights`);
    assert.ok(worst < PIXEL && average < AVERAGE, `largest error ${worst}, average ${average}`);
  });
}

for (const { name, encoder, weights, x, mean, sigma, kl } of fixture?.encoders ?? []) {
  test(`encodes as torch does: ${name}`, () => {
    const network = readNetwork(encoder, viewOf(weights));
    const beliefs = x.map((image) => posterior(evaluate(network, image)));
    const worst = Math.max(
      ...beliefs.map((belief, i) => Math.max(largestError(belief.mean, mean[i]), largestError(belief.sigma, sigma[i]))),
    );
    const nats = beliefs.map((belief, i) => Math.abs(klPerLatent(belief).reduce((a, b) => a + b, 0) - kl[i]));
    console.log(
      `${name}: largest error of mean and sigma ${worst.toFixed(4)}, of the KL ${Math.max(...nats).toFixed(3)}`,
    );
    assert.ok(worst < 0.1, `largest error ${worst}`);
    assert.ok(Math.max(...nats) < 0.5, `KL off by ${Math.max(...nats)} nats`);
  });
}

for (const { name, likelihood, x, outputs, nats } of fixture?.likelihoods ?? []) {
  test(`judges as torch does: ${name}`, () => {
    const found = logLikelihood(Float32Array.from(x), Float32Array.from(outputs), likelihood);
    assert.ok(Math.abs(found - nats) < 1e-4 * Math.abs(nats), `${found} instead of ${nats}`);
  });
}

test("evaluates a network that can be worked out by hand", () => {
  const bytes = new Uint8Array([...new Uint8Array(new Float32Array([0.5, -1, 0.1, 2]).buffer), 10, 20, 246, 1]);
  const layers = [{ inputs: 2, outputs: 2, activation: "relu" }];
  const network = readNetwork(layers, new DataView(bytes.buffer));
  assert.ok(largestError(evaluate(network, [1, 2]), [0.5 + 0.1 * 50, 0]) < 1e-6); // the second: -1 + 2 (-10 + 2) < 0
});

test("the KL is that of the formula", () => {
  const [kept, idle] = klPerLatent({ mean: Float64Array.of(3, 0), sigma: Float64Array.of(0.5, 1) });
  assert.ok(Math.abs(kept - (4.5 + 0.125 - 0.5 + Math.log(2))) < 1e-12);
  assert.equal(idle, 0);
});

test("a decoder that says one half costs D log 2 for Bernoulli pixels", () => {
  const found = logLikelihood(Float32Array.of(0, 1, 0.3), new Float32Array(3), { name: "bernoulli" });
  assert.ok(Math.abs(found + 3 * Math.LN2) < 1e-6);
});

test("draws are standard normal, and the same for the same seed", () => {
  const draw = normals(7);
  const values = Array.from({ length: 20000 }, draw);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.04, `${mean} ${variance}`);
  const again = normals(7);
  assert.deepEqual(Array.from({ length: 5 }, again), values.slice(0, 5));
  assert.notEqual(normals(8)(), values[0]);
});
