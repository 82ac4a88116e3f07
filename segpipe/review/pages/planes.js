"use strict";
// Planes: where the slices lie on the screen, and what is drawn over them: outlines and
// the brush. NiiVue outlines in three dimensions, which fills a structure's end slices.

const PLANES_AXES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]]; // axial, coronal, sagittal: to the side, up, across
const PLANES_DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]]; // so that outlines differ without colour

class Planes {
  constructor(viewer, canvas) {
    this.viewer = viewer;
    this.canvas = canvas;
    this.brush = null; // { plane, at, radius } where the pointer is while editing
  }

  // The planes on the screen. Lengths are in pixels of the canvas and in voxels; voxel i
  // of an axis reaches from i to i + 1. pixel = offset + scale * voxel.
  list() {
    const { nv, shape } = this.viewer;
    const planes = [];
    nv.screenSlices.forEach((slice, tile) => {
      const axes = PLANES_AXES[slice.axCorSag];
      if (!axes || slice.AxyzMxy.length < 4) return;
      let [left, top, width, height] = slice.leftTopWidthHeight;
      if (width < 0) [left, width] = [left + width, -width];
      const xs = [left + width / 4, left + (3 * width) / 4];
      const ys = [top + height / 4, top + (3 * height) / 4];
      const [first, last] = [0, 1].map((at) => nv.screenXY2TextureFrac(xs[at], ys[at], tile, false));
      const [u, v, across] = axes;
      const scale = [xs, ys].map((places, at) => (places[1] - places[0]) / ((last[axes[at]] - first[axes[at]]) * shape[axes[at]]));
      const offset = [xs, ys].map((places, at) => places[0] - scale[at] * first[axes[at]] * shape[axes[at]]);
      const number = Math.min(Math.max(Math.floor(first[across] * shape[across]), 0), shape[across] - 1);
      planes.push({ axes: [u, v], across, slice: number, scale, offset, frame: [left, top, width, height] });
    });
    return planes;
  }

  // The plane below a place of the page, and where it is there, in voxels.
  find(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * this.canvas.width) / box.width;
    const y = ((event.clientY - box.top) * this.canvas.height) / box.height;
    const plane = this.list().find(({ frame: [left, top, width, height] }) => x >= left && x < left + width && y >= top && y < top + height);
    if (!plane) return null;
    return { plane, at: [x, y].map((pixel, axis) => (pixel - plane.offset[axis]) / plane.scale[axis]) };
  }

  draw() {
    const { viewer, canvas } = this;
    const { width, height } = viewer.canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!viewer.volumes) return;
    for (const plane of this.list()) {
      pen.save();
      pen.beginPath();
      pen.rect(...plane.frame);
      pen.clip();
      if (viewer.outlines && viewer.letter) this.outline(pen, plane);
      if (this.brush && this.brush.plane.across === plane.across) this.circle(pen, plane);
      if (viewer.mark && viewer.mark[plane.across] === plane.slice) this.measure(pen, plane);
      pen.restore();
    }
  }

  // The outline of each structure runs along the borders of its voxels in this plane.
  outline(pen, plane) {
    const { viewer } = this;
    const wide = Math.max(1.5, 1.5 * (window.devicePixelRatio || 1));
    pen.save(); // dashes and opacity are those of outlines alone
    pen.globalAlpha = Math.min(2 * viewer.opacity, 1);
    viewer.structures.forEach(({ values }, place) => {
      const path = this.border(plane, values);
      pen.setLineDash([]);
      pen.lineWidth = 2 * wide;
      pen.strokeStyle = "rgba(0, 0, 0, 0.7)";
      pen.stroke(path);
      pen.setLineDash(PLANES_DASHES[place % PLANES_DASHES.length].map((one) => one * wide));
      pen.lineWidth = wide;
      pen.strokeStyle = `rgb(${viewer.colour(place).join(" ")})`;
      pen.stroke(path);
    });
    pen.restore();
  }

  border(plane, values) {
    const { viewer } = this;
    const { axes: [u, v], across, slice, scale, offset } = plane;
    const voxels = viewer.voxels[viewer.letter];
    const steps = [1, viewer.shape[0], viewer.shape[0] * viewer.shape[1]];
    const [wide, high] = [viewer.shape[u], viewer.shape[v]];
    const wanted = new Set(values);
    const inside = (a, b) => a >= 0 && b >= 0 && a < wide && b < high && wanted.has(voxels[a * steps[u] + b * steps[v] + slice * steps[across]]);
    const path = new Path2D();
    const line = (from, to) => {
      path.moveTo(offset[0] + scale[0] * from[0], offset[1] + scale[1] * from[1]);
      path.lineTo(offset[0] + scale[0] * to[0], offset[1] + scale[1] * to[1]);
    };
    // Each run of border is one line, so that dashes go on over voxels.
    const trace = (count, length, differs, point) => {
      for (let row = 0; row <= count; row++) {
        let begun = -1;
        for (let at = 0; at <= length; at++) {
          const on = at < length && differs(row, at);
          if (on && begun < 0) begun = at;
          if (!on && begun >= 0) {
            line(point(row, begun), point(row, at));
            begun = -1;
          }
        }
      }
    };
    trace(wide, high, (a, b) => inside(a - 1, b) !== inside(a, b), (a, b) => [a, b]);
    trace(high, wide, (b, a) => inside(a, b - 1) !== inside(a, b), (b, a) => [a, b]);
    return path;
  }

  // A line from the mark, which lies in this plane, to the cross.
  measure(pen, plane) {
    const { viewer } = this;
    const [from, to] = [viewer.mark, viewer.where()].map((voxel) => plane.axes.map((axis, place) => plane.offset[place] + plane.scale[place] * (voxel[axis] + 0.5)));
    const path = new Path2D();
    path.arc(...from, 5, 0, 2 * Math.PI);
    path.moveTo(...from);
    path.lineTo(...to);
    this.stroke(pen, path);
  }

  circle(pen, plane) {
    const { at, radius } = this.brush;
    const { spacing } = this.viewer;
    const [x, y] = at.map((voxel, axis) => plane.offset[axis] + plane.scale[axis] * voxel);
    const radii = plane.axes.map((axis, place) => Math.abs((plane.scale[place] * radius) / spacing[axis]));
    const path = new Path2D();
    path.ellipse(x, y, radii[0], radii[1], 0, 0, 2 * Math.PI);
    this.stroke(pen, path);
  }

  // White on black, which is seen on any image.
  stroke(pen, path) {
    for (const [width, style] of [[4, "#000"], [2, "#fff"]]) {
      pen.lineWidth = width;
      pen.strokeStyle = style;
      pen.stroke(path);
    }
  }
}
