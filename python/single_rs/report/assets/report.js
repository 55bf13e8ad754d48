"use strict";
// The page works without this script; it adds the theme switch, the marked section in the bar, and the 3D views.
const root = document.documentElement;
const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const scenes = [];
document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  scenes.forEach(scene => scene.recolour());
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scenes.forEach(scene => scene.recolour()));

const links = new Map([...document.querySelectorAll(".links a")].map(a => [a.getAttribute("href").slice(1), a]));
const watch = new IntersectionObserver(entries => {
  for (const e of entries) if (e.isIntersecting) {
    links.forEach(a => { a.classList.remove("here"); a.removeAttribute("aria-current"); });
    const a = links.get(e.target.id);
    if (a) { a.classList.add("here"); a.setAttribute("aria-current", "true"); }
  }
}, { rootMargin: "-20% 0px -70% 0px" });
links.forEach((_, id) => { const s = document.getElementById(id); if (s) watch.observe(s); });

// Unit spheres: an icosahedron whose faces are split in four once (42 vertices) or twice (162).
const sphere = level => {
  const t = (1 + Math.sqrt(5)) / 2;
  const unit = v => { const n = Math.hypot(...v); return v.map(c => c / n); };
  const vertices = [[-1,t,0],[1,t,0],[-1,-t,0],[1,-t,0],[0,-1,t],[0,1,t],[0,-1,-t],[0,1,-t],[t,0,-1],[t,0,1],[-t,0,-1],[-t,0,1]].map(unit);
  let faces = [[0,11,5],[0,5,1],[0,1,7],[0,7,10],[0,10,11],[1,5,9],[5,11,4],[11,10,2],[10,7,6],[7,1,8],[3,9,4],[3,4,2],[3,2,6],[3,6,8],[3,8,9],[4,9,5],[2,4,11],[6,2,10],[8,6,7],[9,8,1]];
  for (let pass = 0; pass < level; pass++) {
    const middle = new Map();
    const half = (a, b) => {
      const key = Math.min(a, b) + "/" + Math.max(a, b);
      if (!middle.has(key)) { middle.set(key, vertices.length); vertices.push(unit(vertices[a].map((c, k) => c + vertices[b][k]))); }
      return middle.get(key);
    };
    faces = faces.flatMap(([a, b, c]) => {
      const ab = half(a, b), bc = half(b, c), ca = half(c, a);
      return [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]];
    });
  }
  return { vertices, faces };
};
// Up to this many atoms the smoother sphere is drawn; more would slow down laptops.
const SMOOTH_ATOMS = 600;

const SCALES = {
  // Blue to red through grey: apart for all common kinds of colour blindness (ColorBrewer RdBu, dark middle for dark pages).
  diverging: middle => [[0, "#2166ac"], [0.25, "#67a9cf"], [0.5, middle], [0.75, "#ef8a62"], [1, "#b2182b"]],
  Viridis: [[0, "#440154"], [0.25, "#3b528b"], [0.5, "#21918c"], [0.75, "#5ec962"], [1, "#fde725"]],
  Cividis: [[0, "#00224e"], [0.25, "#434e6c"], [0.5, "#7d7c78"], [0.75, "#bcae6c"], [1, "#fee838"]],
};
// Over the viewer's left shoulder: plotly counts the light's z away from the viewer.
const LIGHT = { x: -4e4, y: 6e4, z: -1e5 };
const GREY = "#8b95a3", UNKNOWN = 0.1;

class Scene {
  constructor(card) {
    this.card = card;
    this.data = JSON.parse(card.querySelector("script").textContent);
    this.div = card.querySelector(".scene");
    this.colour = card.querySelector(".colour");
    this.show = card.querySelector(".show");
    this.cut = card.querySelector(".cut");
    this.legend = card.querySelector(".legend");
    this.form = card.querySelector(".form");
    this.level = card.querySelector(".level");
    const density = this.data.density;
    this.reach = this.data.positions.length ? Math.max(...this.data.positions.map(p => Math.hypot(...p))) + this.data.radius : density.voxel * density.side / 2;
    this.sphere = sphere(this.data.positions.length > SMOOTH_ATOMS ? 1 : 2);
    this.draw = this.draw.bind(this);
    [this.colour, this.show].forEach(el => el && el.addEventListener("change", this.draw));
    if (this.form) this.form.addEventListener("change", () => {
      this.level.parentElement.hidden = this.form.value === "atoms";
      [this.colour, this.show].forEach(el => { el.parentElement.hidden = this.form.value === "density"; });
      this.draw();
    });
    let queued = false;
    [this.cut, this.level].forEach(slider => slider && slider.addEventListener("input", () => {
      if (queued) return;
      queued = true;
      requestAnimationFrame(() => { queued = false; this.draw(); });
    }));
    card.querySelectorAll("[data-view]").forEach(b => b.addEventListener("click", () => this.look(this.data.views[+b.dataset.view])));
  }
  scale(c) { return c.kind === "diverging" ? SCALES.diverging(dark() ? "#c9ced6" : "#e9ebee") : SCALES[c.scale] || SCALES.Viridis; }
  // The colours as plotly takes them, after a first part of grey for atoms whose value is not known.
  palette(c) {
    const stops = c.kind === "category"
      ? c.classes.flatMap((kind, k) => [[k / c.classes.length, kind.colour], [(k + 1) / c.classes.length, kind.colour]])
      : this.scale(c);
    // The step from grey lies below the first colour: at a double stop plotly may take either side.
    return [[0, GREY], [0.6 * UNKNOWN, GREY], ...stops.map(([at, colour]) => [UNKNOWN + (1 - UNKNOWN) * at, colour])];
  }
  camera() {
    const current = this.div._fullLayout && this.div._fullLayout.scene ? this.div._fullLayout.scene._scene.getCamera() : null;
    if (current) return current;
    const v = this.data.views[1] || this.data.views[0];
    return v ? this.towards(v, 0.25) : { eye: { x: 0.8, y: 0.7, z: 0.6 }, projection: { type: "orthographic" } };
  }
  towards(view, tilt) {
    const [e, u] = [view.eye, view.up];
    const side = [u[1] * e[2] - u[2] * e[1], u[2] * e[0] - u[0] * e[2], u[0] * e[1] - u[1] * e[0]];
    const eye = e.map((c, k) => 1.15 * (c + tilt * u[k] + tilt * side[k]));
    return { eye: { x: eye[0], y: eye[1], z: eye[2] }, up: { x: u[0], y: u[1], z: u[2] }, center: { x: 0, y: 0, z: 0 }, projection: { type: "orthographic" } };
  }
  look(view) { Plotly.relayout(this.div, { "scene.camera": this.towards(view, 0) }).then(() => { if (+this.cut.value) this.draw(); }); }
  // Atoms that are shown: the chosen kind, behind the cutting plane, which faces the camera.
  shown() {
    const { positions, surface } = this.data, kind = this.show.value, cut = +this.cut.value / 100;
    const eye = this.camera().eye, n = Math.hypot(eye.x, eye.y, eye.z);
    const front = this.reach * (1 - 2 * cut);
    return positions.map((p, k) => k).filter(k => {
      if (surface && kind === "core" && surface[k]) return false;
      if (surface && kind === "surface" && !surface[k]) return false;
      const p = positions[k];
      return cut === 0 || (p[0] * eye.x + p[1] * eye.y + p[2] * eye.z) / n <= front;
    });
  }
  trace() {
    const c = this.data.colourings[+this.colour.value], chosen = this.shown();
    // Within the density atoms are drawn small, at their places in its peaks.
    const r = this.data.radius * (this.drawn("density") ? 0.3 : 1);
    const x = [], y = [], z = [], i = [], j = [], k = [], intensity = [], text = [];
    const ramp = c.kind !== "category", classes = c.classes ? c.classes.length : 0;
    chosen.forEach((atom, order) => {
      const p = this.data.positions[atom], base = order * this.sphere.vertices.length, value = c.values[atom];
      const at = value === null ? 0 : ramp ? Math.min(1, Math.max(0, (value - c.range[0]) / (c.range[1] - c.range[0]))) : (value + 0.5) / classes;
      const shade = value === null ? 0 : UNKNOWN + (1 - UNKNOWN) * at;
      const said = value === null ? "unknown" : ramp ? value + (c.unit ? " " + c.unit : "") : c.classes[value].name;
      const label = `<b>${this.data.symbols[atom]} ${atom + 1}</b><br>${c.name}: ${said}<br>${p.map(v => v.toFixed(2)).join(", ")} Å`;
      for (const v of this.sphere.vertices) {
        x.push(p[0] + r * v[0]); y.push(p[1] + r * v[1]); z.push(p[2] + r * v[2]);
        intensity.push(shade); text.push(label);
      }
      for (const f of this.sphere.faces) { i.push(base + f[0]); j.push(base + f[1]); k.push(base + f[2]); }
    });
    return {
      type: "mesh3d", x, y, z, i, j, k, intensity, cmin: 0, cmax: 1, showscale: false, colorscale: this.palette(c), text, hovertemplate: "%{text}<extra></extra>", flatshading: false,
      lighting: { ambient: 0.42, diffuse: 0.72, specular: 0.45, roughness: 0.35, fresnel: 0.1 }, lightposition: LIGHT,
    };
  }
  drawn(what) { return !this.form ? what === (this.data.positions.length ? "atoms" : "density") : this.form.value === what || this.form.value === "both"; }
  // Colour of each atom as CSS takes it, for the movie.
  colours() {
    const c = this.data.colourings[+this.colour.value], stops = c.kind === "category" ? null : this.scale(c);
    const mix = (a, b, t) => [1, 3, 5].map(k => Math.round(parseInt(a.slice(k, k + 2), 16) * (1 - t) + parseInt(b.slice(k, k + 2), 16) * t));
    return c.values.map(value => {
      if (value === null) return GREY;
      if (!stops) return c.classes[value].colour;
      // In steps, so that few shaded balls are enough.
      const at = Math.round(24 * Math.min(1, Math.max(0, (value - c.range[0]) / (c.range[1] - c.range[0])))) / 24;
      const up = Math.max(1, stops.findIndex(([end]) => at <= end)), [[low, from], [high, to]] = [stops[up - 1], stops[up]];
      return `rgb(${mix(from, to, (at - low) / (high - low))})`;
    });
  }
  surface() {
    const { side, voxel } = this.data.density, net = surfaceNet(this.values, side, 255 * +this.level.value / 100);
    const place = v => (v - (side - 1) / 2) * voxel, x = net.x.map(place), y = net.y.map(place), z = net.z.map(place);
    const eye = this.camera().eye, n = Math.hypot(eye.x, eye.y, eye.z), front = this.reach * (1 - 2 * this.cut.value / 100);
    const behind = k => (x[k] * eye.x + y[k] * eye.y + z[k] * eye.z) / n <= front;
    const faces = +this.cut.value ? net.faces.filter(f => behind(f[0])) : net.faces;
    return {
      type: "mesh3d", x, y, z, i: faces.map(f => f[0]), j: faces.map(f => f[1]), k: faces.map(f => f[2]),
      // One colour as a scale: a bare colour is shaded by height.
      intensity: x.map(() => 0), cmin: 0, cmax: 1, showscale: false, colorscale: [0, 1].map(at => [at, dark() ? "#8fc1f2" : "#6ea6dd"]),
      opacity: this.drawn("atoms") ? 0.35 : 1, hoverinfo: "skip", flatshading: false, lightposition: LIGHT,
      lighting: { ambient: 0.3, diffuse: 0.75, specular: 0.25, roughness: 0.5, fresnel: 0.1 },
    };
  }
  layout() {
    const reach = this.reach * 1.02, axis = { visible: false, range: [-reach, reach] };
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", uirevision: "keep",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: dark() ? "#8d98a8" : "#8b95a3", activecolor: dark() ? "#e8ebef" : "#1a1e24" },
      hoverlabel: { bgcolor: dark() ? "#1b2027" : "#ffffff", bordercolor: dark() ? "#3a434f" : "#cfd5dc", font: { color: dark() ? "#e8ebef" : "#1a1e24", size: 13 } },
      scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "manual", aspectratio: { x: 1.9, y: 1.9, z: 1.9 }, bgcolor: "rgba(0,0,0,0)", camera: this.camera(), dragmode: "orbit" },
    };
  }
  draw() {
    if (this.drawn("density") && !this.values) {
      this.fetching ??= inflate(this.data.density.values).then(values => { this.values = values; this.draw(); });
      return;
    }
    const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["tableRotation", "resetCameraLastSave3d"], toImageButtonOptions: { format: "png", scale: 3, filename: this.card.id } };
    this.div.querySelectorAll("p").forEach(p => p.remove());
    const traces = [];
    if (this.drawn("atoms")) traces.push(this.trace());
    if (this.drawn("density")) traces.push(this.surface());
    Plotly.react(this.div, traces, this.layout(), config);
    this.explain();
  }
  explain() {
    this.legend.replaceChildren();
    if (this.drawn("density")) this.legend.append(`density at ${this.level.value}% of its peaks`);
    if (!this.drawn("atoms")) return;
    const c = this.data.colourings[+this.colour.value];
    const add = (tag, text, style) => { const el = document.createElement(tag); if (text) el.textContent = text; if (style) Object.assign(el.style, style); return el; };
    if (c.kind === "category") {
      for (const kind of c.classes) if (kind.count) {
        const item = add("span");
        item.append(add("i", "", { background: kind.colour }), `${kind.name} (${kind.count})`);
        this.legend.append(item);
      }
      return;
    }
    const stops = this.scale(c).map(([at, colour]) => `${colour} ${100 * at}%`).join(", ");
    const unit = c.unit ? " " + c.unit : "", sign = v => ((c.kind === "diverging" && v > 0 ? "+" : "") + Number(v.toPrecision(3))).replace("-", "−");
    const ramp = add("span", "", { background: `linear-gradient(90deg, ${stops})` });
    ramp.className = "ramp";
    this.legend.append(add("span", c.name), add("span", sign(c.range[0]) + unit), ramp, add("span", sign(c.range[1]) + unit));
    const unknown = c.values.filter(v => v === null).length;
    if (c.kind === "diverging") this.legend.append(add("span", "blue: compressed, red: stretched"));
    if (unknown) this.legend.append(add("span", `grey: unknown (${unknown})`));
  }
  recolour() { if (this.div._fullLayout) this.draw(); }
}

// Browsers keep only some 16 WebGL contexts alive, so a view is made when it is near the screen and dropped when far away.
const near = new IntersectionObserver(entries => {
  for (const e of entries) {
    const scene = scenes.find(s => s.card === e.target);
    if (e.isIntersecting && !scene.div._fullLayout) {
      try { scene.draw(); } catch (error) { scene.div.innerHTML = "<p>This browser cannot draw in 3D (WebGL is off). All figures below show the same atoms.</p>"; }
    } else if (!e.isIntersecting && scene.div._fullLayout && scenes.length > 8) Plotly.purge(scene.div);
  }
}, { rootMargin: "600px 0px" });
document.querySelectorAll(".viewer").forEach(card => { scenes.push(new Scene(card)); near.observe(card); });
