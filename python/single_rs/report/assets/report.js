"use strict";
// The page works without this script; it adds the theme switch, the marked section in the bar, and the 3D views.
const root = document.documentElement;
let printing = false;  // paper is light
const dark = () => printing ? false : root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const scenes = [];
document.getElementById("theme")?.addEventListener("click", () => {
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

// A table as text in columns: selected and copied, which works in a file that is opened from disk.
document.querySelectorAll(".copy").forEach(button => {
  button.hidden = false;
  button.addEventListener("click", () => {
    const chosen = getSelection(), table = button.parentElement.querySelector("table");
    chosen.selectAllChildren(table);
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    setTimeout(() => { chosen.removeAllRanges(); button.textContent = "Copy"; }, 1500);
  });
});
// Data in the page are compressed and in base64.
const inflate = async text => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const save = (content, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
document.querySelectorAll(".save .file").forEach(button => {
  button.hidden = false;
  button.addEventListener("click", async () => save(new Blob([await inflate(button.dataset.content)], { type: "text/csv" }), button.dataset.name));
});
// A figure as a file of its own: the colours of the light theme stand where the page has variables.
const LIGHT_INKS = { ink: "#1f2328", muted: "#667085", grid: "#dfe3e8", blue: "#0072b2", orange: "#d55e00", green: "#009e73", purple: "#cc79a7", sky: "#56b4e9" };
const PRINT_DPI = 300, POINTS_PER_INCH = 72;
const drawingOf = button => {
  const drawing = button.closest("figure").querySelector(".drawing svg").cloneNode(true), [,, width, height] = drawing.getAttribute("viewBox").split(" ");
  drawing.removeAttribute("style");
  Object.entries({ xmlns: "http://www.w3.org/2000/svg", width: width + "pt", height: height + "pt" }).forEach(([key, value]) => drawing.setAttribute(key, value));
  const text = new XMLSerializer().serializeToString(drawing).replace(/var\(--fig-(\w+)\)/g, (_, name) => LIGHT_INKS[name]);
  return { width, height, file: new Blob([text], { type: "image/svg+xml" }) };
};
document.querySelectorAll(".save .svg").forEach(button => {
  button.hidden = false;
  button.addEventListener("click", () => save(drawingOf(button).file, button.dataset.name + ".svg"));
});
document.querySelectorAll(".save .png").forEach(button => {
  button.hidden = false;
  button.addEventListener("click", () => {
    const { width, height, file } = drawingOf(button), image = new Image(), paper = document.createElement("canvas");
    [paper.width, paper.height] = [width, height].map(points => Math.round(points * PRINT_DPI / POINTS_PER_INCH));
    image.addEventListener("load", () => {
      const context = paper.getContext("2d");
      context.fillStyle = "#fff";
      context.fillRect(0, 0, paper.width, paper.height);
      context.drawImage(image, 0, 0, paper.width, paper.height);
      URL.revokeObjectURL(image.src);
      paper.toBlob(picture => save(picture, button.dataset.name + ".png"));
    });
    image.src = URL.createObjectURL(file);
  });
});
