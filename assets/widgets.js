// Runs the book's explorers (anywidgets) on pages that have no kernel: module, style and state stand in the page.
// What needs Python (send, save_changes) does nothing here; everything else is as in JupyterLab.
(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const modules = new Map(); // source of a module -> promise of what it exports
  const models = new Map(); // id -> Model
  const worn = new Set(); // styles that the page has
  let stored; // id -> stored model, parsed when the first view comes near

  const same = (a, b) =>
    a === b || (!ArrayBuffer.isView(a) && !ArrayBuffer.isView(b) && JSON.stringify(a) === JSON.stringify(b));

  function decoded(base64) {
    return new DataView(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
  }

  class Model {
    constructor({ state, buffers = [] }) {
      this.state = { ...state };
      this.listeners = new Map();
      this.widget_manager = { get_model: async (id) => modelOf(id.replace("IPY_MODEL_", "")) };
      for (const { path, data } of buffers) {
        const owner = path.slice(0, -1).reduce((part, key) => part[key], this.state);
        owner[path.at(-1)] = decoded(data);
      }
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      const changes = typeof name === "object" ? name : { [name]: value };
      const changed = Object.entries(changes).filter(([key, next]) => !same(this.state[key], next));
      Object.assign(this.state, changes);
      for (const [key, next] of changed) this.emit(`change:${key}`, this, next);
      if (changed.length) this.emit("change", this);
    }

    on(names, callback) {
      for (const name of names.split(" ")) this.listeners.set(name, [...(this.listeners.get(name) ?? []), callback]);
    }

    off(names, callback) {
      for (const name of (names ?? [...this.listeners.keys()].join(" ")).split(" ")) {
        const kept = (this.listeners.get(name) ?? []).filter((one) => callback && one !== callback);
        this.listeners.set(name, kept);
      }
    }

    emit(name, ...values) {
      for (const callback of this.listeners.get(name) ?? []) callback(...values);
    }

    save_changes() {}

    send() {}
  }

  function modelOf(id) {
    stored ??= JSON.parse(document.querySelector(STATE).textContent).state;
    if (!models.has(id)) models.set(id, new Model(stored[id]));
    return models.get(id);
  }

  async function load(source) {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { default: made } = await import(address);
    return typeof made === "function" ? made() : made;
  }

  function wear(style) {
    if (!style || worn.has(style)) return;
    worn.add(style);
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  }

  async function render(script) {
    const model = modelOf(JSON.parse(script.textContent).model_id);
    const el = document.createElement("div");
    script.after(el);
    el.model = model; // for other scripts of the page, and for tests
    if (!model.get("_esm")) {
      el.textContent = "This control needs Python: open the chapter in Jupyter to use it.";
      return;
    }
    wear(model.get("_css"));
    if (!modules.has(model.get("_esm"))) modules.set(model.get("_esm"), load(model.get("_esm")));
    const widget = await modules.get(model.get("_esm"));
    const given = { model, signal: new AbortController().signal, experimental: {} };
    model.ready ??= Promise.resolve(widget.initialize?.(given));
    await model.ready;
    await widget.render?.({ ...given, el });
  }

  // The text comes first: an explorer starts when the page has loaded and the reader comes near it.
  addEventListener("load", () => {
    const comes = (entries) => {
      for (const entry of entries) if (entry.isIntersecting) start(entry);
    };
    const near = new IntersectionObserver(comes, { rootMargin: "800px" });
    const waiting = new Map([...document.querySelectorAll(VIEW)].map((script) => [script.parentElement, script]));
    function start({ target }) {
      near.unobserve(target);
      const script = waiting.get(target);
      if (waiting.delete(target)) render(script).catch((error) => console.error(error));
    }
    for (const place of waiting.keys()) near.observe(place);
  });
})();
