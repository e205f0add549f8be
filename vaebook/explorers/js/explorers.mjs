// The one script of all explorers: `make explorers` bundles it into explorers.js, which every explorer carries.

import { render as dial } from "./dial.mjs";
import { render as draw } from "./draw.mjs";
import { render as machine } from "./machine.mjs";
import { render as pair } from "./pair.mjs";
import { render as plane } from "./plane.mjs";
import { render as recording } from "./recording.mjs";
import { render as sampler } from "./sampler.mjs";
import { render as sliders } from "./sliders.mjs";

const KINDS = { dial, draw, machine, pair, plane, recording, sampler, sliders };

export default { render: (context) => KINDS[context.model.get("spec").kind](context) };
