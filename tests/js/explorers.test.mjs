// What the explorers compute without a page.

import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";
import { describe as inWords, ticks } from "../../vaebook/explorers/js/dial.mjs";
import { judge } from "../../vaebook/explorers/js/draw.mjs";
import { closest, few, latentName, readImages } from "../../vaebook/explorers/js/interface.mjs";
import { passes, steps } from "../../vaebook/explorers/js/machine.mjs";
import { distance as apart } from "../../vaebook/explorers/js/memory.mjs";
import { evaluate, inflated, posterior, readNetwork } from "../../vaebook/explorers/js/network.mjs";
import { describe, neighbour, toCanvas, toPlane } from "../../vaebook/explorers/js/plane.mjs";
import { along, inWords as moment } from "../../vaebook/explorers/js/recording.mjs";
import { atTheEnd, countHits, scaleEnd, shareText } from "../../vaebook/explorers/js/sampler.mjs";
import { between } from "../../vaebook/explorers/js/sliders.mjs";
import { centreOfMass, distance, rasterise, respelled, spelled } from "../../vaebook/explorers/js/stroke.mjs";
import { addressed, read, written } from "../../vaebook/explorers/js/tools.mjs";
import { covering, pixelsOf } from "../../vaebook/explorers/js/upload.mjs";
import { fixture, viewOf } from "./fixture.mjs";

for (const { name, spec, encoder, decoder, x, noise, reconstruction, kl } of fixture?.bounds ?? []) {
  test(`states the ELBO that torch does: ${name}`, () => {
    const belief = posterior(evaluate(readNetwork(spec.encoder, viewOf(encoder)), x));
    const terms = judge(
      Float32Array.from(x),
      { noise, belief },
      readNetwork(spec.decoder, viewOf(decoder)),
      spec.likelihood,
    );
    const errors = [terms.reconstruction - reconstruction, terms.kl - kl];
    console.log(`${name}: largest error in nats ${Math.max(...errors.map(Math.abs)).toFixed(3)}`);
    assert.ok(Math.abs(errors[0]) < 1 && Math.abs(errors[1]) < 0.5, `off by ${errors} nats`);
    assert.equal(terms.elbo, terms.reconstruction - terms.kl);
  });
}

for (const { name, spec, encoder, decoder, x, noise } of fixture?.bounds.slice(0, 1) ?? []) {
  test(`a machine's numbers agree with each other: ${name}`, () => {
    const networks = [readNetwork(spec.encoder, viewOf(encoder)), readNetwork(spec.decoder, viewOf(decoder))];
    const found = passes(Float32Array.from(x), noise[0], ...networks, spec.likelihood);
    const belief = posterior(evaluate(networks[0], x));
    const terms = judge(Float32Array.from(x), { noise: [noise[0]], belief }, networks[1], spec.likelihood);
    assert.deepEqual(found.mean, belief.mean);
    found.z.forEach((z, j) => {
      assert.ok(Math.abs(z - belief.mean[j] - belief.sigma[j] * noise[0][j]) < 1e-6);
    });
    assert.ok(Math.abs(found.elbo - terms.elbo) < 1e-3 && Math.abs(found.kl - terms.kl) < 1e-6);
    const lines = steps(spec).map(([part, , , value]) => [part, value(found)]);
    assert.equal(Object.fromEntries(lines).elbo, `${found.elbo.toFixed(1).replace("-", "−")} nats`);
    assert.match(Object.fromEntries(lines).encoder, /^64 → .* → 2 × 8$/);
  });
}

test("bytes arrive as they were before Python deflated them", async () => {
  const sent = new Uint8Array(deflateSync(Buffer.from([3, 1, 4, 1, 5])));
  const view = await inflated(new DataView(sent.buffer, sent.byteOffset, sent.byteLength));
  assert.deepEqual([...new Uint8Array(view.buffer)], [3, 1, 4, 1, 5]);
});

test("a state goes into an address and comes back; what is no state is left alone", () => {
  assert.equal(written([0.5, -1]), "0.5,-1");
  assert.deepEqual(read("0.5,-1", [0, 0]), [0.5, -1]);
  assert.equal(read("0.5", [0, 0]), null);
  assert.equal(read("0.5,x", [0, 0]), null);
  assert.equal(read("3", 0), 3);
  assert.equal(read("3.5", 0), null);
  assert.equal(read("", 0), null);
  const there = addressed("file:///a/b.html?dial=2#x", "plane", "0.5,-1");
  assert.equal(there, "file:///a/b.html?dial=2&plane=0.5,-1#x");
  assert.equal(addressed(there, "plane", "1,1"), "file:///a/b.html?dial=2&plane=1,1#x");
  assert.equal(addressed(there, "plane", null), "file:///a/b.html?dial=2#x");
});

test("strokes go into an address and come back; what is no drawing is left alone", () => {
  const strokes = [
    [
      [0, 0],
      [0.001, 0],
      [0.7, 1],
    ],
    [[1.4, 0.5]],
  ];
  const text = spelled(strokes, 1.4);
  assert.equal(text, ".AAg_._g");
  const back = respelled(text, 1.4);
  assert.deepEqual(
    back.map((stroke) => stroke.length),
    [2, 1],
  );
  assert.ok(Math.abs(back[0][1][0] - 0.7) < 1.4 / 126 + 1e-9 && back[0][1][1] === 1);
  assert.equal(encodeURIComponent(text), text);
  assert.equal(spelled([], 1), ".");
  assert.deepEqual(respelled(".", 1), []);
  for (const wrong of ["", "3", ".A", "..", ".AA.", ".A=", "AA"]) assert.equal(respelled(wrong, 1), null);
});

test("a picture of one's own covers the data's shape, and is light on dark where they are", () => {
  assert.deepEqual(covering([40, 20], [10, 10]), [-5, 0, 20, 10]);
  assert.deepEqual(covering([20, 20], [20, 28]), [-4, 0, 28, 28]);
  const [white, black] = [
    [255, 255, 255, 255],
    [0, 0, 0, 255],
  ];
  const paper = Uint8ClampedArray.from([...white, ...white, ...white, ...black]);
  const rounded = (pixels) => Array.from(pixels, (pixel) => Number(pixel.toFixed(5)));
  assert.deepEqual(rounded(pixelsOf(paper, 1, false)), [1, 1, 1, 0]);
  assert.deepEqual(rounded(pixelsOf(paper, 1, true)), [0, 0, 0, 1]);
  assert.deepEqual(rounded(pixelsOf(Uint8ClampedArray.from([255, 51, 0, 255]), 3, false)), [1, 0.2, 0]);
});

test("two images are as far apart as the root of their mean squared difference", () => {
  assert.equal(apart([0, 0, 1, 1], [0, 1, 1, 0]), Math.SQRT1_2);
});

test("the plane has z1 to the right and z2 upwards, and leads back", () => {
  assert.deepEqual(toCanvas([0, 0], 4, 400), [200, 200]);
  assert.deepEqual(toCanvas([4, 4], 4, 400), [400, 0]);
  assert.deepEqual(toPlane([300, 100], 4, 400), [2, 2]);
});

test("a point's description holds the share of the prior further out", () => {
  assert.match(describe([0, 0]), /0\.00 from the origin; 100\u00a0%/);
  assert.match(describe([0, -1.1774]), /\(0\.00, −1\.18\).* 50\u00a0% of the prior/); // the median of |z|
  assert.match(describe([5, 0]), /less than 1\u00a0%/);
});

test("a walk is straight", () => {
  assert.deepEqual(between([0, 2], [1, 4], 0.5), [0.5, 3]);
  assert.equal(latentName(11), "z₁₂");
});

test("hits are counted among the draws so far", () => {
  assert.equal(countHits([1, 0, 1, 1], 3), 2);
  assert.equal(shareText(2, 3), "2 of 3 (66.7\u00a0%)");
  assert.equal(shareText(0, 0), "none yet");
});

test("no bar of the sampler is full, and all have one scale", () => {
  const spec = { share: 0.04, priors: [{ hits: [0, 0, 0] }, { hits: [1, 0, 0] }] };
  assert.equal(scaleEnd(spec, 0), 1.2 * 0.04);
  assert.equal(scaleEnd(spec, 2), 1.2 * 0.5);
  assert.equal(scaleEnd({ share: 0, priors: spec.priors.slice(0, 1) }, 3), 1);
});

test("bytes become pixels", () => {
  const images = readImages(new DataView(Uint8Array.of(0, 255, 51, 102).buffer), [1, 2]);
  assert.deepEqual(
    images.map((image) => Array.from(image)),
    [
      [0, 1],
      [Math.fround(0.2), Math.fround(0.4)],
    ],
  );
});

test("distance to a segment and to a point", () => {
  assert.equal(distance([0, 1], [-1, 0], [1, 0]), 1);
  assert.equal(distance([4, 4], [0, 0], [1, 0]), 5);
  assert.equal(distance([3, 4], [0, 0], [0, 0]), 5);
});

test("a drawing is centred by its mass and takes 20 of 28 pixels, wherever and how large it was drawn", () => {
  const shape = [28, 28];
  const bar = (x, top, bottom) => [Array.from({ length: 20 }, (_, i) => [x, top + ((bottom - top) * i) / 19])];
  for (const stroke of [bar(0.1, 0.02, 0.6), bar(0.8, 0.1, 0.98)]) {
    const pixels = rasterise(stroke, shape);
    const { x, y } = centreOfMass(pixels, shape);
    assert.ok(Math.abs(x - 0.5) < 0.02 && Math.abs(y - 0.5) < 0.02, `${x} ${y}`);
    const rows = Array.from({ length: 28 }, (_, row) => pixels.slice(28 * row, 28 * row + 28).some((p) => p > 0.5));
    assert.ok(Math.abs(rows.filter(Boolean).length - 20) <= 2, `${rows.filter(Boolean).length} rows`);
    assert.ok(Math.max(...pixels) === 1 && Math.min(...pixels) === 0);
  }
});

test("nothing drawn is black; images need not be square", () => {
  assert.ok(rasterise([], [4, 4]).every((pixel) => pixel === 0));
  const pixels = rasterise([[[0.2, 0.5]]], [28, 20]);
  assert.equal(pixels.length, 560);
  assert.ok(pixels.some((pixel) => pixel > 0.9));
});

test("a drawing for images in colour has all three values", () => {
  const [grey, colour] = [
    [8, 8],
    [8, 8, 3],
  ].map((shape) =>
    rasterise(
      [
        [
          [0.2, 0.5],
          [0.8, 0.5],
        ],
      ],
      shape,
    ),
  );
  assert.equal(colour.length, 3 * grey.length);
  assert.ok(colour.every((value, i) => value === grey[Math.floor(i / 3)]));
  assert.equal(rasterise([], [8, 8, 3]).length, 192);
});

test("what cannot be seen is said: the nearest code, the most similar image, what a chart shows", () => {
  const groups = [{ name: "3" }, { name: "7" }];
  const points = { at: Float32Array.of(0, 0, 2, 2), spec: { groups, members: [1, 0] } };
  assert.equal(neighbour([1.8, 1.5], points), "nearest code: class 3");
  assert.equal(neighbour([0, 0.1], points), "nearest code: class 7");
  assert.equal(neighbour([0, 0], { ...points, spec: { groups: groups.slice(1), members: [0, 0] } }), "");
  assert.equal(
    closest(
      [0.9, 0.1],
      [
        [0, 1],
        [1, 0],
        [0.5, 0.5],
      ],
    ),
    1,
  );
  assert.equal(few(["a", "b", "c"], 2), "a, b and 1 more");
  assert.match(inWords([4, 1, 0.2], 2, 0.5, "σ²"), /from 4\.0 down to 0\.20; 2 of 3 above σ² = 0\.50/);
  assert.match(inWords([4, 1], "–", null, "σ²"), /^from 4\.0 down to 1\.0$/);
  assert.match(atTheEnd({ draws: 300 }), /All 300 .* "Start over"/);
});

test("a training runs along an axis that begins at 0 and ends at its last step", () => {
  assert.deepEqual(
    [0, 99, 9999].map((step) => along(step, 9999)),
    [0, 0.5, 1],
  );
  const words = moment({ step: 1500, elbo: -110.25, reconstruction: -92.5, kl: 17.75 });
  assert.match(words, /after 1,500 steps ELBO −110\.\d, reconstruction −92\.5, KL 17\.\d nats/);
});

test("ticks are round, from zero, three or so", () => {
  assert.deepEqual(ticks(2.9), [0, 1, 2]);
  assert.deepEqual(ticks(0.31), [0, 0.2]);
  assert.deepEqual(ticks(45), [0, 20, 40]);
  assert.deepEqual(ticks(0), [0]);
});
