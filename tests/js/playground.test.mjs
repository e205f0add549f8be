// The playground's network and engine: gradients and Adam against torch, theory, collapse and waking, and the pace.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { mostUsed } from "../../vaebook/explorers/js/playground.mjs";
import { brief, rounds } from "../../vaebook/explorers/js/playground_charts.mjs";
import { covariance, createTrainer, eigenvalues } from "../../vaebook/explorers/js/trainer.mjs";
import {
  adam,
  backward,
  createSpace,
  createVae,
  decode,
  draw,
  encode,
  linearKl,
  predicted,
  terms,
} from "../../vaebook/explorers/js/vae.mjs";
import { largestError } from "./fixture.mjs";

const { PLAYGROUND_FIXTURE } = process.env; // what tests/vaebook/test_playground.py makes
const fixture = PLAYGROUND_FIXTURE ? JSON.parse(readFileSync(PLAYGROUND_FIXTURE, "utf8")) : null;
const skip = !fixture;
const relative = (found, expected) => largestError(found, expected) / Math.max(...expected.map(Math.abs));

for (const { name, shape, settings, weights, x, noise, gradient, reconstruction, kl, after } of fixture?.steps ?? []) {
  test(`differentiates and steps as torch does: ${name}`, () => {
    const vae = createVae({ ...shape, average: new Float32Array(shape.pixels) }, 0);
    vae.weights.set(weights);
    const images = Float32Array.from(x);
    const draws = Float32Array.from(noise);
    const n = images.length / shape.pixels;
    const space = createSpace(vae, n);
    const pass = () => {
      encode(vae, space, images, n);
      draw(vae, space, draws, n);
      decode(vae, space, n);
    };
    pass();
    const found = terms(vae, space, images, n, settings.sigma);
    assert.ok(Math.abs(found.reconstruction / reconstruction - 1) < 1e-5, `${found.reconstruction} ${reconstruction}`);
    assert.ok(relative(found.kl, kl) < 1e-5, `${found.kl} ${kl}`);
    backward(vae, space, images, draws, n, settings);
    let at = 0;
    const errors = vae.slopes.flatMap(({ weight, bias }) =>
      [weight, bias].map((slopes) => {
        at += slopes.length;
        return relative(slopes, gradient.slice(at - slopes.length, at));
      }),
    );
    console.log(`${name}: largest error of a gradient ${Math.max(...errors).toExponential(1)}, relative`);
    assert.ok(Math.max(...errors) < 1e-4, `${errors}`);
    for (let step = 0; step < 3; step++) {
      pass();
      backward(vae, space, images, draws, n, settings);
      adam(vae, settings.step_size);
    }
    assert.ok(largestError(vae.weights, after) < 0.02 * settings.step_size, `${largestError(vae.weights, after)}`);
  });
}

for (const { settings, active, kl_per_dim } of fixture?.predictions ?? []) {
  test(`predicts as vaelib.linear does: βσ² = ${settings.beta * settings.sigma ** 2}`, () => {
    assert.equal(predicted(fixture.eigenvalues, settings), active);
    assert.ok(largestError(linearKl(fixture.eigenvalues, settings), kl_per_dim) < 1e-9);
  });
}

test("eigenvalues of small matrices are exact, and of a covariance numpy's", { skip }, () => {
  assert.ok(largestError(eigenvalues([[3]]), [3]) < 1e-12);
  const known = [
    [2, 1, 0],
    [1, 2, 1],
    [0, 1, 2],
  ];
  assert.ok(largestError(eigenvalues(known), [2 + Math.SQRT2, 2, 2 - Math.SQRT2]) < 1e-12);
  const { codes, spectrum } = fixture.covariance;
  assert.ok(relative(eigenvalues(covariance(codes.flat(), codes[0].length)), spectrum) < 1e-9);
});

const engine = () => {
  const images = Float32Array.from(fixture.images, (level) => level / 255);
  return createTrainer({ images, pixels: 64, examples: fixture.examples });
};
const settings = (changes) => ({ sigma: 0.1, beta: 1, step_size: 0.003, latents: 4, seed: 0, ...changes });
const total = ({ kl }) => kl.reduce((a, b) => a + b, 0);

test("a wide decoder puts the latents to sleep, a narrow one wakes them, without a new start", { skip }, () => {
  const work = engine();
  const awake = work({ settings: settings(), steps: 400 });
  assert.equal(awake.directions, 4);
  assert.ok(total(awake) > 6, `${awake.kl}`);
  const asleep = work({ settings: settings({ sigma: 2 }), steps: 300 });
  assert.equal(asleep.directions, 0);
  assert.ok(total(asleep) < 0.05, `${asleep.kl}`);
  const again = work({ settings: settings(), steps: 400 });
  assert.deepEqual([again.directions, again.step, again.started], [4, 1100, false]);
  assert.ok(total(again) > 6, `${again.kl}`);
});

test("directions are in use while their variance exceeds the price, as theory says", { skip }, () => {
  const work = engine();
  for (const [sigma, steps] of [
    [0.5, 300],
    [0.9, 700],
  ]) {
    const wanted = settings({ sigma, latents: 3 });
    assert.equal(work({ settings: wanted, steps }).directions, predicted(fixture.eigenvalues, wanted), `σ = ${sigma}`);
  }
});

test("the same seed gives the same numbers, and other settings start anew where they must", { skip }, () => {
  const [work, other] = [engine(), engine()];
  const first = work({ settings: settings(), steps: 20 });
  assert.ok(first.started);
  assert.deepEqual(other({ settings: settings(), steps: 20 }), first);
  assert.deepEqual([work({ settings: settings({ sigma: 1 }) }).step, work({ settings: settings() }).step], [20, 20]);
  assert.equal(work({ settings: settings({ seed: 1 }), steps: 1 }).step, 1);
  assert.equal(work({ settings: settings({ seed: 1, latents: 1 }), steps: 1 }).kl.length, 1);
  assert.equal(work({ settings: settings({ seed: 1, latents: 1 }), anew: true }).step, 0);
});

test("takes 100 steps a second and more, reports included", { skip }, () => {
  const work = engine();
  const ask = () => work({ settings: settings({ latents: 8 }), steps: 16 });
  for (let i = 0; i < 10; i++) ask();
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < 25; i++) ask();
  const [wall, own] = [400 / (performance.now() - start), 400 / (process.cpuUsage(cpu).user / 1000)];
  console.log(
    `largest pace: ${(1000 * wall).toFixed(0)} steps a second, ${(1000 * own).toFixed(0)} a second of the processor`,
  );
  assert.ok(1000 * own > 100); // other programs may take the wall clock's time, but not the processor's
});

test("the plane keeps its axes until another latent is well above", () => {
  assert.deepEqual(mostUsed([1, 2, 3], [0, 1]), [1, 2]);
  assert.deepEqual(mostUsed([1, 2, 1.1], [0, 1]), [0, 1]);
  assert.deepEqual(mostUsed([0.3], [0]), [0]);
});

test("axes have round numbers", () => {
  assert.deepEqual(rounds(0, 1), [0, 0.5, 1]);
  assert.deepEqual(rounds(-103, 8), [-100, -50, 0]);
  assert.deepEqual([brief(0.0899999), brief(-104.2), brief(2)], ["0.09", "−104", "2"]);
});
