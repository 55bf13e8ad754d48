// The movie of a tumbling particle: pictures from one sheet, and the atoms turned by the pose of each frame.
const FRAMES_PER_SECOND = 8;
class Player {
  constructor(card, scene) {
    this.card = card;
    this.scene = scene;
    this.data = JSON.parse(card.querySelector("script").textContent);
    this.canvases = [...card.querySelectorAll("canvas")];
    this.slider = card.querySelector(".at");
    this.button = card.querySelector(".play");
    this.said = card.querySelector(".said");
    this.sheet = new Image();
    this.sheet.addEventListener("load", () => this.draw());
    this.sheet.src = this.data.sheet;
    this.playing = false;
    this.button.addEventListener("click", () => { this.wanted = !this.playing; this.play(this.wanted); });
    this.slider.addEventListener("input", () => { this.wanted = false; this.play(false); this.draw(); });
    // Moving pictures start by themselves only in sight, and not for those who asked for less motion.
    this.wanted = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    new IntersectionObserver(([e]) => this.play(e.isIntersecting && this.wanted), { threshold: 0.4 }).observe(card);
  }
  play(on) {
    this.playing = on;
    this.button.textContent = on ? "Pause" : "Play";
    this.button.setAttribute("aria-pressed", String(on));
    clearTimeout(this.timer);
    if (on) this.timer = setTimeout(() => this.next(), 1000 / FRAMES_PER_SECOND);
  }
  next() {
    this.slider.value = (+this.slider.value + 1) % this.data.frames.length;
    this.draw();
    this.play(this.playing);
  }
  draw() {
    const { side, columns, panels, frames, confidence, agreement } = this.data, at = +this.slider.value;
    panels.forEach((_, panel) => {
      const left = ((at % columns) * panels.length + panel) * side, top = Math.floor(at / columns) * side;
      const context = this.canvases[panel].getContext("2d");
      context.drawImage(this.sheet, left, top, side, side, 0, 0, this.canvases[panel].width, this.canvases[panel].height);
    });
    if (this.scene) this.atoms(at);
    const parts = [`frame ${frames[at]}`, `confidence ${confidence[at].toFixed(2)}`];
    if (agreement) parts.push(`correlation with the projection ${agreement[at].toFixed(2).replace("-", "−")}`);
    this.said.textContent = parts.join(" · ");
  }
  // Along the beam: x to the right, y down, z away from the viewer, so the atoms of largest z are drawn first.
  atoms(at) {
    const canvas = this.canvases[this.canvases.length - 1], context = canvas.getContext("2d"), r = this.data.rotations[at];
    const { positions, radius, middle } = this.scene.data, width = canvas.width, scale = width / (this.data.side * this.data.pixel);
    const colours = this.scene.colours(), shift = this.data.shifts[at], size = 2.3 * radius * scale;
    const turned = positions.map((p, k) => {
      const [x, y, z] = p.map((c, i) => c + middle[i]);
      return [r[0] * x + r[1] * y + r[2] * z, r[3] * x + r[4] * y + r[5] * z, r[6] * x + r[7] * y + r[8] * z, k];
    }).sort((a, b) => b[2] - a[2]);
    context.clearRect(0, 0, width, width);
    for (const [x, y, z, k] of turned) {
      const sprite = this.sprite(colours[k], Math.round(3 * Math.min(1, Math.max(-1, -z / this.scene.reach))));
      context.drawImage(sprite, width / 2 + (x + shift[0]) * scale - size / 2, width / 2 + (y + shift[1]) * scale - size / 2, size, size);
    }
  }
  // A shaded ball in a colour, darker by steps when it lies deeper; made once.
  sprite(colour, step) {
    const key = colour + step;
    this.made ??= new Map();
    if (!this.made.has(key)) {
      const ball = document.createElement("canvas"), n = ball.width = ball.height = 64, c = ball.getContext("2d");
      c.beginPath(); c.arc(n / 2, n / 2, n / 2 - 1, 0, 2 * Math.PI); c.clip();
      c.fillStyle = colour; c.fillRect(0, 0, n, n);
      const light = c.createRadialGradient(n * 0.36, n * 0.32, 1, n * 0.46, n * 0.44, n * 0.56);
      light.addColorStop(0, "rgba(255,255,255,.62)"); light.addColorStop(0.35, "rgba(255,255,255,.08)");
      light.addColorStop(0.75, "rgba(0,0,0,.16)"); light.addColorStop(1, "rgba(0,0,0,.62)");
      c.fillStyle = light; c.fillRect(0, 0, n, n);
      c.fillStyle = `rgba(8,12,20,${0.21 - 0.07 * step})`; c.fillRect(0, 0, n, n);
      this.made.set(key, ball);
    }
    return this.made.get(key);
  }
}
document.querySelectorAll(".player").forEach(card => {
  const scene = scenes.find(s => s.card.id === card.dataset.view && s.data.positions.length);
  const player = new Player(card, scene);
  if (scene) scene.colour.addEventListener("change", () => player.draw());
});
