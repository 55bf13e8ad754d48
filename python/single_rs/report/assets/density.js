// Isosurface of the density: a surface net over the 8-bit values that the page carries (S. F. F. Gibson, MICCAI 1998).
// The twelve edges of a cell; corner c lies at (c & 1, c >> 1 & 1, c >> 2).
const CELL_EDGES = [[0,1],[2,3],[4,5],[6,7],[0,2],[1,3],[4,6],[5,7],[0,4],[1,5],[2,6],[3,7]];
// One vertex per cell that the surface crosses, in the middle of its crossings; one quad per crossed edge of the grid.
const surfaceNet = (values, n, level) => {
  const step = [1, n, n * n], corner = [0, 1, n, n + 1, n * n, n * n + 1, n * n + n, n * n + n + 1];
  const ids = new Int32Array(n * n * n).fill(-1), x = [], y = [], z = [], faces = [];
  for (let k = 0; k < n - 1; k++) for (let j = 0; j < n - 1; j++) for (let i = 0; i < n - 1; i++) {
    const base = i + n * (j + n * k);
    let mask = 0;
    for (let c = 0; c < 8; c++) if (values[base + corner[c]] >= level) mask |= 1 << c;
    if (mask === 0 || mask === 255) continue;
    let [sx, sy, sz, count] = [0, 0, 0, 0];
    for (const [a, b] of CELL_EDGES) {
      if ((mask >> a & 1) === (mask >> b & 1)) continue;
      const va = values[base + corner[a]], t = (level - va) / (values[base + corner[b]] - va);
      sx += (a & 1) + t * ((b & 1) - (a & 1));
      sy += (a >> 1 & 1) + t * ((b >> 1 & 1) - (a >> 1 & 1));
      sz += (a >> 2) + t * ((b >> 2) - (a >> 2));
      count++;
    }
    ids[base] = x.length;
    x.push(i + sx / count); y.push(j + sy / count); z.push(k + sz / count);
    const at = [i, j, k];
    for (let d = 0; d < 3; d++) {
      const u = (d + 1) % 3, v = (d + 2) % 3, inside = (mask & 1) === 1;
      if (!at[u] || !at[v] || inside === (values[base + step[d]] >= level)) continue;
      const quad = [ids[base], ids[base - step[u]], ids[base - step[u] - step[v]], ids[base - step[v]]];
      const [a, b, c, e] = inside ? quad : quad.reverse();
      faces.push([a, b, c], [a, c, e]);
    }
  }
  return { x, y, z, faces };
};
