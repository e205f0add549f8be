// Playground: a small VAE learns in the page, and its latents die and wake as the reader turns sigma.

import { button, captioned, eachFrame, follow, make, mount, number, slider } from "./interface.mjs";
import { ownBuffer } from "./network.mjs";
import { brief, makeCharts } from "./playground_charts.mjs";
import { createTrainer } from "./trainer.mjs";
import { predicted, sum } from "./vae.mjs";

const STEPS = 16; // between two pictures
const WINDOW = 4000; // steps that the curves show
const QUIET = 8000; // milliseconds between two announcements while it runs

const SETTINGS = ["sigma", "beta", "step_size", "latents", "seed"]; // traits
const SYMBOLS = { sigma: "σ", beta: "β", step_size: "step size", latents: "latents" };

export function render({ model, el }) {
  return mount({ model, el }, (card) => {
    const spec = model.get("spec");
    const images = Float32Array.from(new Uint8Array(ownBuffer(model.get("images"))), (level) => level / 255);
    const settings = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    const view = {
      card,
      model,
      spec,
      images,
      settings,
      running: false,
      report: null,
      history: [],
      marks: [],
      axes: [0],
    };
    const readout = makeReadout(view);
    const charts = makeCharts(view);
    let described = 0;
    const session = train(view, () => {
      readout.show();
      for (const { redraw } of charts) redraw();
      if (!view.report || (view.running && performance.now() - described < 1000)) return;
      described = performance.now();
      for (const { describe, words } of charts) describe(words());
    });
    const desk = make("div", { class: "pg-desk" }, ...controls(view, session), readout.element);
    card.body.append(desk, ...charts.map(({ canvas, caption }) => captioned(canvas, caption)));
    session.look();
  });
}

export default { render };

// ------------------------------------------------------------------------------------------------ Training

/** Asks the trainer for one report after the other, and `show` to draw it; returns what the buttons do. */
function train(view, show) {
  const { card, model, settings } = view;
  const wish = { steps: 0, anew: false, look: false };
  let [busy, seen, drawn] = [false, true, true];
  const next = () => {
    const steps = view.running ? STEPS : wish.steps;
    if (busy || !seen || !(steps || wish.anew || wish.look)) return;
    busy = true;
    engine({ settings: { ...settings }, steps, anew: wish.anew });
    Object.assign(wish, { steps: 0, anew: false, look: false });
  };
  const ask = (wanted) => {
    Object.assign(wish, wanted);
    next();
  };
  const paint = eachFrame(card, () => {
    drawn = true;
    next();
    show();
  });
  const engine = startEngine(view, (report) => {
    busy = false;
    record(view, report);
    if (drawn) next(); // the trainer goes on, but one report ahead at most: a hidden tab draws nothing, so it rests
    drawn = false;
    paint();
  });
  const observer = new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    next();
  });
  observer.observe(card.root);
  card.cleanups.push(() => observer.disconnect());
  for (const name of SETTINGS) {
    follow(card, model, name, () => {
      settings[name] = model.get(name);
      note(view, name);
      show();
      ask({ look: true });
    });
  }
  return {
    look: () => ask({ look: true }),
    step: () => ask({ steps: wish.steps + 1 }),
    reset: () => ask({ anew: true }),
    run: (running) => {
      Object.assign(view, { running, since: performance.now() });
      ask({ look: true });
      paint();
    },
  };
}

/**
 * The trainer in a worker made of this very script; where a page may have none, in the page itself. From file:// only a
 * classic worker starts, and such a script exports nothing.
 */
function startEngine({ card, model, spec, images }, receive) {
  const data = { images, pixels: spec.shape[0] * spec.shape[1], examples: spec.examples };
  const script = `${model.get("_esm")}`.replace(/export\s*\{[^}]*\};\s*$/, "");
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  card.cleanups.push(() => URL.revokeObjectURL(address));
  let last;
  let send;
  const here = () => {
    const work = createTrainer(data);
    send = (request) => setTimeout(() => receive(work(request)));
    if (last) send(last);
  };
  try {
    const worker = new Worker(address);
    worker.onmessage = (message) => receive(message.data);
    worker.onerror = here;
    worker.postMessage(data);
    send = (request) => worker.postMessage(request);
    card.cleanups.push(() => worker.terminate());
  } catch {
    here();
  }
  return (request) => {
    last = request;
    send(request);
  };
}

/** Keeps a report for the curves, and says aloud what changed. */
function record(view, report) {
  const { history, marks, card } = view;
  const before = view.report;
  view.report = report;
  if (report.started) {
    history.length = marks.length = 0;
    view.axes = [0, 1];
  }
  const { step, reconstruction } = report;
  const kl = sum(report.kl);
  if (history.at(-1)?.step === step) history.pop(); // the same weights under other settings
  history.push({ step, reconstruction, kl, elbo: reconstruction - kl, at: performance.now() });
  while (history[0].step < step - WINDOW) history.shift();
  view.axes = mostUsed(report.kl, view.axes);
  const turned = before?.directions !== report.directions && performance.now() - (view.said ?? 0) > QUIET;
  if (view.running ? !turned : !before) return;
  view.said = performance.now();
  card.say(summary(view));
}

/** The two latents with the most KL, in their order. One that is shown stays, unless another is well above it. */
export function mostUsed(kl, shown) {
  const favour = (j) => (shown.includes(j) ? 1.25 * kl[j] + 0.05 : kl[j]);
  const order = kl.map((_, j) => j).sort((a, b) => favour(b) - favour(a));
  return order.slice(0, 2).sort((a, b) => a - b);
}

/** Notes at the curves that a setting was changed; a slider that is dragged makes one note. */
function note({ marks, settings, report }, name) {
  const step = report?.step ?? 0;
  const last = marks.at(-1);
  if (last?.name === name && step - last.step < 60) marks.pop();
  if (SYMBOLS[name] && step) marks.push({ name, step, text: `${SYMBOLS[name]} ${brief(settings[name])}` });
}

/** Steps a second, over the last second; null before there is enough to tell. */
function pace({ history, since }) {
  const last = history.at(-1);
  const first = history.find(({ at }) => at > Math.max(since, last.at - 1000));
  return first && last.at > first.at + 300 ? (1000 * (last.step - first.step)) / (last.at - first.at) : null;
}

/** What the numbers say, for the ear. */
function summary({ report, settings, spec }) {
  const kl = sum(report.kl);
  const nats = [report.reconstruction - kl, report.reconstruction, kl].map((value) => value.toFixed(1));
  return `Step ${report.step}. ELBO ${nats[0]} nats: reconstruction ${nats[1]}, KL ${nats[2]}. ${report.directions} of \
${settings.latents} directions in use; linear theory predicts ${predicted(spec.eigenvalues, settings)}.`;
}

// ------------------------------------------------------------------------------------------------ Controls

function controls(view, session) {
  const { model, settings } = view;
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const play = (running) => {
    run.textContent = running ? "Pause" : "Run";
    session.run(running);
  };
  const run = button("Run", () => play(!view.running), { class: "vae-button pg-run" });
  const once = () => {
    if (view.running) play(false);
    session.step();
  };
  const actions = [run, button("One step", once), button("Reset", session.reset)];
  const logarithmic = (name, says, min, max) =>
    dial(view, name, says, {
      min,
      max,
      step: 0.02,
      value: Math.log10(settings[name]),
      act: (power) => set(name, Number((10 ** power).toPrecision(2))),
      text: (power) => (10 ** power).toPrecision(2),
    });
  const latents = dial(view, "latents", "latents; another number starts anew", {
    min: 1,
    max: 8,
    step: 1,
    value: settings.latents,
    act: (value) => set("latents", value),
    text: String,
  });
  return [
    make("div", { class: "vae-actions" }, ...actions),
    make("div", { class: "pg-sigma" }, logarithmic("sigma", "σ, standard deviation of a pixel", -1.3, 0.3)),
    logarithmic("beta", "β, weight of the KL", -1, 1),
    latents,
    logarithmic("step_size", "step size of Adam", -3.5, -1.5),
    seedField(view, set),
  ];
}

/** A slider that follows its trait. */
function dial({ card, model }, name, says, options) {
  const { row, input, set } = slider({ label: SYMBOLS[name], ...options });
  input.setAttribute("aria-label", says);
  const position = (value) => (name === "latents" ? value : Math.log10(value));
  follow(card, model, name, () => set(position(model.get(name))));
  return row;
}

function seedField({ card, model, settings }, set) {
  const input = make("input", { type: "number", min: 0, max: 999, step: 1, value: settings.seed });
  const back = () => {
    input.value = model.get("seed");
  };
  input.addEventListener("change", () =>
    input.validity.valid && input.value ? set("seed", input.valueAsNumber) : back(),
  );
  follow(card, model, "seed", back);
  return make("label", { class: "pg-seed", title: "Another seed starts anew" }, "seed", input);
}

/** The bound as a sum, and the directions in use beside those that theory predicts. */
function makeReadout(view) {
  const [elbo, rec, kl, used, theory] = Array.from({ length: 5 }, () => make("b", {}, "–"));
  const state = make("p", { class: "vae-note" }, "starting");
  const named = (value, name) => make("div", {}, value, make("span", { class: "vae-note" }, name));
  const sign = (text) => make("i", {}, text);
  const bound = [named(elbo, "ELBO, nats"), sign("="), named(rec, "reconstruction"), sign("−"), named(kl, "KL")];
  const directions = [named(used, "directions in use"), named(theory, "predicted by linear theory")];
  const rows = [bound, directions].map((row) => make("div", { class: "pg-row" }, ...row));
  const show = () => {
    const { report, settings, spec, running } = view;
    theory.textContent = predicted(spec.eigenvalues, settings);
    if (!report) return;
    const cost = sum(report.kl);
    for (const [place, value] of [
      [elbo, report.reconstruction - cost],
      [rec, report.reconstruction],
      [kl, cost],
    ]) {
      place.textContent = number(value, 1);
    }
    used.textContent = `${report.directions} of ${report.kl.length}`;
    const speed = running && pace(view);
    const ending = running ? (speed ? `, ${speed.toFixed(0)} a second` : "") : ", paused";
    state.textContent = `step ${report.step.toLocaleString("en")}${ending}`;
  };
  return { element: make("div", { class: "pg-readout" }, ...rows, state), show };
}
