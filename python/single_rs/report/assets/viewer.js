// The 3D view: one shaded sphere per atom, exact in every pixel, and the density as a surface. WebGL 2, orthographic;
// x to the right, y up, z towards the viewer. One context draws for all views of the page, which hold pictures of it.
const BALL = [`#version 300 es
in vec2 corner; in vec3 centre; in vec3 colour;
uniform mat3 turn; uniform vec2 scale; uniform float radius, front, deep;
out vec2 at; out vec3 tint; out float height;
void main() {
  vec3 p = turn * centre;
  at = corner; tint = colour; height = p.z;
  gl_Position = vec4((p.xy + radius * corner) * scale, p.z > front ? 2.0 : -p.z / deep, 1.0);
}`, `#version 300 es
precision highp float;
in vec2 at; in vec3 tint; in float height;
uniform float radius, deep;
out vec4 ink;
void main() {
  float far = dot(at, at);
  if (far > 1.0) discard;
  vec3 n = vec3(at, sqrt(1.0 - far));
  gl_FragDepth = 0.5 - 0.5 * (height + radius * n.z) / deep;
  vec3 light = normalize(vec3(-0.45, 0.6, 0.75));
  float lit = max(dot(n, light), 0.0), shine = pow(max(dot(reflect(-light, n), vec3(0.0, 0.0, 1.0)), 0.0), 24.0);
  ink = vec4(tint * (0.55 + 0.55 * lit) * (0.92 + 0.12 * height / deep) * (0.66 + 0.34 * n.z) + 0.16 * shine, 1.0);
}`];
const SHEET = [`#version 300 es
in vec3 place; in vec3 normal;
uniform mat3 turn; uniform vec2 scale; uniform float deep;
out vec3 n; out float height;
void main() {
  vec3 p = turn * place;
  n = turn * normal; height = p.z;
  gl_Position = vec4(p.xy * scale, -p.z / deep, 1.0);
}`, `#version 300 es
precision highp float;
in vec3 n; in float height;
uniform float front, opacity; uniform vec3 tint;
out vec4 ink;
void main() {
  vec3 m = normalize(n);
  if (height > front || opacity < 1.0 && m.z < 0.0) discard;
  if (m.z < 0.0) m = -m;
  vec3 light = normalize(vec3(-0.45, 0.6, 0.75));
  float lit = max(dot(m, light), 0.0), shine = pow(max(dot(reflect(-light, m), vec3(0.0, 0.0, 1.0)), 0.0), 16.0);
  ink = vec4(tint * (0.4 + 0.66 * lit) + 0.12 * shine, opacity);
}`];

// Draws on request into a canvas of its own.
class Painter {
  constructor() {
    this.canvas = document.createElement("canvas");
    const gl = this.gl = this.canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("no WebGL 2");
    this.ball = this.program(BALL);
    this.sheet = this.program(SHEET);
    this.buffers = {};
    gl.enable(gl.DEPTH_TEST);
  }
  program([vertex, fragment]) {
    const gl = this.gl, made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "no program");
    return made;
  }
  attribute(program, name, values, size, divisor) {
    const gl = this.gl, place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name] ??= gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STREAM_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(place, divisor);
  }
  use(program, turn, numbers) {
    const gl = this.gl;
    for (let k = 0; k < 4; k++) gl.disableVertexAttribArray(k);
    gl.useProgram(program);
    // Rows are right, up, towards the viewer; WebGL takes columns.
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), true, turn.flat());
    for (const [name, value] of Object.entries(numbers)) {
      const place = gl.getUniformLocation(program, name);
      if (Array.isArray(value)) (value.length === 2 ? gl.uniform2fv : gl.uniform3fv).call(gl, place, value);
      else gl.uniform1f(place, value);
    }
  }
  paint(width, height, { turn, reach, zoom, front, balls, surface }) {
    const gl = this.gl, across = zoom / reach, scale = width > height ? [across * height / width, across] : [across, across * width / height];
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const deep = 1.5 * reach;
    if (balls) {
      this.use(this.ball, turn, { scale, deep, front, radius: balls.radius });
      this.attribute(this.ball, "corner", new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), 2, 0);
      this.attribute(this.ball, "centre", balls.centres, 3, 1);
      this.attribute(this.ball, "colour", balls.colours, 3, 1);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, balls.centres.length / 3);
    }
    if (surface) {
      const seen = surface.opacity < 1;
      (seen ? gl.enable : gl.disable).call(gl, gl.BLEND);
      gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.depthMask(!seen);
      this.use(this.sheet, turn, { scale, deep, front, opacity: surface.opacity, tint: surface.tint });
      this.attribute(this.sheet, "place", surface.places, 3, 0);
      this.attribute(this.sheet, "normal", surface.normals, 3, 0);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.faces ??= gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, surface.faces, gl.STREAM_DRAW);
      gl.drawElements(gl.TRIANGLES, surface.faces.length, gl.UNSIGNED_INT, 0);
      gl.depthMask(true);
      gl.disable(gl.BLEND);
    }
    return this.canvas;
  }
}
let shared;
const painter = () => shared ??= new Painter();

const SCALES = {
  // Blue to red through grey: apart for all common kinds of colour blindness (ColorBrewer RdBu, dark middle for dark pages).
  diverging: middle => [[0, "#2166ac"], [0.25, "#67a9cf"], [0.5, middle], [0.75, "#ef8a62"], [1, "#b2182b"]],
  Viridis: [[0, "#440154"], [0.25, "#3b528b"], [0.5, "#21918c"], [0.75, "#5ec962"], [1, "#fde725"]],
  Cividis: [[0, "#00224e"], [0.25, "#434e6c"], [0.5, "#7d7c78"], [0.75, "#bcae6c"], [1, "#fee838"]],
};
const GREY = "#8b95a3";
const hex = colour => [1, 3, 5].map(k => parseInt(colour.slice(k, k + 2), 16));
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const unit = v => v.map(c => c / Math.hypot(...v));
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const STEP = Math.PI / 36;  // of the arrow keys: 5°
const TURNS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

class Scene {
  constructor(card) {
    this.card = card;
    this.data = JSON.parse(card.querySelector("script").textContent);
    this.canvas = card.querySelector("canvas");
    this.tip = card.querySelector(".tip");
    for (const name of ["colour", "show", "cut", "legend", "form", "level", "when", "said"]) this[name] = card.querySelector("." + name);
    const { positions, density, radius } = this.data;
    this.reach = positions.length ? Math.max(...positions.map(p => Math.hypot(...p))) + radius : density.voxel * density.side / 2;
    if (this.when) this.step(0);
    this.reset();
    [this.colour, this.show].forEach(el => el && el.addEventListener("change", () => this.draw()));
    if (this.form) this.form.addEventListener("change", () => {
      this.level.parentElement.hidden = this.form.value === "atoms";
      [this.colour, this.show].forEach(el => { el.parentElement.hidden = this.form.value === "density"; });
      this.draw();
    });
    if (this.when) this.when.addEventListener("input", () => { this.step(+this.when.value); this.soon(); });
    [this.cut, this.level].forEach(slider => slider && slider.addEventListener("input", () => this.soon()));
    card.querySelectorAll("[data-view]").forEach(b => b.addEventListener("click", () => this.look(this.data.views[+b.dataset.view], 0)));
    card.querySelector(".reset").addEventListener("click", () => { this.reset(); this.draw(); });
    card.querySelector(".picture").addEventListener("click", () => this.picture());
    this.listen();
    new ResizeObserver(() => this.made && this.draw()).observe(this.canvas);
  }
  // The atoms of one stretch of time; those that it does not have keep their last place and are not drawn.
  step(number) {
    const { name, positions } = this.data.steps[number];
    this.there = positions.map(Boolean);
    this.data.positions = positions.map((p, k) => p || this.data.positions[k]);
    this.said.textContent = name;
    this.when.setAttribute("aria-valuetext", name);
  }
  listen() {
    const held = new Map();
    this.canvas.addEventListener("pointerdown", e => { held.set(e.pointerId, [e.clientX, e.clientY]); this.canvas.setPointerCapture(e.pointerId); this.tip.hidden = true; });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, e => held.delete(e.pointerId));
    this.canvas.addEventListener("pointermove", e => {
      const before = held.get(e.pointerId);
      if (!before) return this.name(e);
      const other = [...held].find(([id]) => id !== e.pointerId), now = [e.clientX, e.clientY];
      if (other) this.nearer(Math.hypot(now[0] - other[1][0], now[1] - other[1][1]) / Math.hypot(before[0] - other[1][0], before[1] - other[1][1]));
      else this.rotate((now[0] - before[0]) / 140, (now[1] - before[1]) / 140);
      held.set(e.pointerId, now);
    });
    this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    // Only in focus, so that the page scrolls past a view.
    this.canvas.addEventListener("wheel", e => {
      if (document.activeElement !== this.canvas) return;
      e.preventDefault();
      this.nearer(Math.exp(-e.deltaY / 600));
    }, { passive: false });
    this.canvas.addEventListener("keydown", e => {
      if (TURNS[e.key]) this.rotate(...TURNS[e.key]);
      else if (e.key === "+" || e.key === "=") this.nearer(1.15);
      else if (e.key === "-") this.nearer(1 / 1.15);
      else if (e.key === "0") { this.reset(); this.draw(); }
      else return;
      e.preventDefault();
    });
  }
  reset() {
    this.zoom = 0.94;
    const v = this.data.views[1] || this.data.views[0] || { eye: [0.67, 0.59, 0.45], up: [0, 0, 1] };
    this.turn = this.towards(v, 0.25);
  }
  // Rows right, up and towards the viewer of a look along a direction, turned a little to the side when tilted.
  towards(view, tilt) {
    const side = cross(view.up, view.eye), eye = unit(view.eye.map((c, k) => c + tilt * (view.up[k] + side[k])));
    const right = unit(cross(view.up, eye));
    return [right, cross(eye, right), eye];
  }
  look(view, tilt) { this.turn = this.towards(view, tilt); this.draw(); }
  rotate(across, down) {
    const [c, s, d, t] = [Math.cos(across), Math.sin(across), Math.cos(down), Math.sin(down)], [right, up, eye] = this.turn;
    const x = right.map((v, k) => c * v + s * eye[k]), z = right.map((v, k) => c * eye[k] - s * v);
    const y = unit(up.map((v, k) => d * v - t * z[k])), forward = unit(up.map((v, k) => t * v + d * z[k]));
    this.turn = [cross(y, forward), y, forward];
    this.soon();
  }
  nearer(factor) { this.zoom = Math.min(12, Math.max(0.4, this.zoom * factor)); this.soon(); }
  soon() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.draw(); });
  }
  get front() { return +this.cut.value ? this.reach * (1 - 2 * this.cut.value / 100) : 2 * this.reach; }
  drawn(what) { return !this.form ? what === (this.data.positions.length ? "atoms" : "density") : this.form.value === what || this.form.value === "both"; }
  // Within the density atoms are drawn small, at their places in its peaks.
  get radius() { return this.data.radius * (this.drawn("density") ? 0.3 : 1); }
  shown() {
    const { positions, surface } = this.data, kind = this.show.value;
    return positions.map((p, k) => k).filter(k => !this.there || this.there[k]).filter(k => !surface || kind === "all" || (kind === "surface") === Boolean(surface[k]));
  }
  scale(c) { return c.kind === "diverging" ? SCALES.diverging(dark() ? "#c9ced6" : "#e9ebee") : SCALES[c.scale] || SCALES.Viridis; }
  // Colour of each atom, 0 to 255.
  inks() {
    const c = this.data.colourings[+this.colour.value], stops = c.kind === "category" ? null : this.scale(c).map(([at, colour]) => [at, hex(colour)]);
    return c.values.map(value => {
      if (value === null) return hex(GREY);
      if (!stops) return hex(c.classes[value].colour);
      // In steps, so that few shaded balls are enough for the movie.
      const at = Math.round(24 * Math.min(1, Math.max(0, (value - c.range[0]) / (c.range[1] - c.range[0])))) / 24;
      const up = Math.max(1, stops.findIndex(([end]) => at <= end)), [[low, from], [high, to]] = [stops[up - 1], stops[up]], t = (at - low) / (high - low);
      return from.map((v, k) => Math.round(v * (1 - t) + to[k] * t));
    });
  }
  colours() { return this.inks().map(ink => `rgb(${ink})`); }
  surface() {
    const level = +this.level.value;
    if (this.net?.level !== level) {
      const { side, voxel } = this.data.density, net = surfaceNet(this.values, side, 255 * level / 100), count = net.x.length;
      const places = new Float32Array(3 * count), normals = new Float32Array(3 * count), faces = new Uint32Array(net.faces.flat());
      for (let k = 0; k < count; k++) [net.x[k], net.y[k], net.z[k]].forEach((v, d) => { places[3 * k + d] = (v - (side - 1) / 2) * voxel; });
      let volume = 0;
      for (const face of net.faces) {
        const [a, b, c] = face.map(k => places.subarray(3 * k, 3 * k + 3)), n = cross([0, 1, 2].map(d => b[d] - a[d]), [0, 1, 2].map(d => c[d] - a[d]));
        volume += dot(n, a);
        for (const k of face) for (let d = 0; d < 3; d++) normals[3 * k + d] += n[d];
      }
      if (volume < 0) normals.forEach((v, k) => { normals[k] = -v; });
      this.net = { level, places, normals, faces };
    }
    const tint = hex(dark() ? "#8fc1f2" : "#6ea6dd").map(v => v / 255);
    return { ...this.net, tint, opacity: this.drawn("atoms") ? 0.4 : 1 };
  }
  draw() {
    this.made = true;
    if (this.drawn("density") && !this.values) {
      this.fetching ??= inflate(this.data.density.values).then(values => { this.values = values; this.draw(); });
      return;
    }
    this.card.querySelector(".scene p")?.remove();
    const ratio = devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    if (clientWidth) this.onto(this.canvas, clientWidth, clientHeight, ratio);
    this.explain();
  }
  // Draws into a canvas of so many CSS pixels, at twice their number where the screen has no more: balls have no jagged rims.
  onto(canvas, width, height, ratio) {
    const picture = { turn: this.turn, reach: this.reach, zoom: this.zoom, front: this.front }, finer = Math.max(2, ratio);
    if (this.drawn("atoms")) {
      const inks = this.inks(), chosen = this.shown();
      picture.balls = {
        radius: this.radius,
        centres: new Float32Array(chosen.flatMap(k => this.data.positions[k])),
        colours: new Float32Array(chosen.flatMap(k => inks[k].map(v => v / 255))),
      };
    }
    if (this.drawn("density")) picture.surface = this.surface();
    const image = painter().paint(Math.round(width * finer), Math.round(height * finer), picture);
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.scale(ratio, ratio);
    this.mark(context, width, height);
  }
  // Axes in the lower left corner, a scale bar in the lower right one.
  mark(context, width, height) {
    const ink = dark() ? "#9aa5b4" : "#596373", perAngstrom = Math.min(width, height) / 2 * this.zoom / this.reach;
    context.font = "12px system-ui, sans-serif";
    context.lineWidth = 1.6;
    [context.fillStyle, context.strokeStyle, context.textBaseline, context.textAlign] = [ink, ink, "middle", "center"];
    for (const { name, along } of this.data.axes) {
      const x = dot(this.turn[0], along), y = -dot(this.turn[1], along), [left, low] = [46, height - 46];
      context.beginPath(); context.moveTo(left, low); context.lineTo(left + 26 * x, low + 26 * y); context.stroke();
      context.fillText(name, left + 36 * x, low + 36 * y);
    }
    const length = [20, 10, 5, 2, 1].find(v => v * perAngstrom < width / 4) || 1, right = width - 20;
    context.lineWidth = 3;
    context.beginPath(); context.moveTo(right - length * perAngstrom, height - 16); context.lineTo(right, height - 16); context.stroke();
    context.fillText(length < 10 ? `${length} Å` : `${length / 10} nm`, right - length * perAngstrom / 2, height - 28);
  }
  picture() {
    const canvas = document.createElement("canvas"), { clientWidth, clientHeight } = this.canvas;
    this.onto(canvas, clientWidth, clientHeight, 3);
    canvas.toBlob(content => save(content, this.card.id + ".png"));
  }
  // Names the atom under the pointer.
  name(event) {
    const box = this.canvas.getBoundingClientRect(), scale = Math.min(box.width, box.height) / 2 * this.zoom / this.reach;
    const x = (event.clientX - box.left - box.width / 2) / scale, y = -(event.clientY - box.top - box.height / 2) / scale;
    let best = -1, height = -Infinity;
    if (this.drawn("atoms")) for (const k of this.shown()) {
      const p = this.data.positions[k], z = dot(this.turn[2], p);
      if (z > height && z <= this.front && Math.hypot(dot(this.turn[0], p) - x, dot(this.turn[1], p) - y) < this.radius) [best, height] = [k, z];
    }
    this.tip.hidden = best < 0;
    if (best < 0) return;
    const c = this.data.colourings[+this.colour.value], value = c.values[best];
    const said = value === null ? "unknown" : c.kind === "category" ? c.classes[value].name : value + (c.unit ? " " + c.unit : "");
    this.tip.textContent = `${this.data.symbols[best]} ${best + 1} · ${c.name}: ${said} · ${this.data.positions[best].map(v => v.toFixed(2)).join(", ")} Å`.replaceAll("-", "−");
    this.tip.style.left = Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 8) + "px";
    this.tip.style.top = event.clientY - box.top + 14 + "px";
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
  recolour() { if (this.made) this.draw(); }
}

// A view is made when it comes near the screen.
const near = new IntersectionObserver(entries => {
  for (const e of entries) {
    const scene = scenes.find(s => s.card === e.target);
    if (!e.isIntersecting || scene.made) continue;
    try { scene.draw(); } catch (error) { scene.card.querySelector(".scene").innerHTML = "<p>This browser cannot draw in 3D (WebGL 2 is off). All figures below show the same atoms.</p>"; }
  }
}, { rootMargin: "600px 0px" });
document.querySelectorAll(".viewer").forEach(card => { scenes.push(new Scene(card)); near.observe(card); });
// On paper all views and all numbers are shown, in light colours.
addEventListener("beforeprint", () => {
  printing = true;
  scenes.forEach(scene => scene.draw());
  document.querySelectorAll("details.numbers").forEach(el => { el.open = true; });
});
addEventListener("afterprint", () => {
  printing = false;
  scenes.forEach(scene => scene.draw());
});
