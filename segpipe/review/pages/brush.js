"use strict";
// Brush: paints and erases voxels of one mask in the plane below the pointer, undoes
// strokes, and says what was changed as runs of voxels.

class Brush {
  constructor(viewer, planes, canvas, onChange) {
    this.viewer = viewer;
    this.planes = planes;
    this.onChange = onChange;
    this.on = false;
    this.letter = null; // of the mask that it changes, while that is shown
    this.erase = false;
    this.radius = 3; // mm, or px where there is no spacing
    this.value = 0; // what is painted: the value of the active structure
    this.clear();
    const stop = (event) => {
      if (!this.on || event.button === 2) return;
      event.preventDefault();
      event.stopPropagation();
    };
    // NiiVue listens at its canvas; what is caught above it never reaches it.
    const above = canvas.parentElement;
    for (const kind of ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"]) {
      above.addEventListener(kind, stop, { capture: true, passive: false });
    }
    above.addEventListener("pointerdown", (event) => this.down(event), true);
    above.addEventListener("pointermove", (event) => this.move(event), true);
    for (const kind of ["pointerup", "pointercancel"]) above.addEventListener(kind, () => this.up(), true);
    above.addEventListener("pointerleave", () => this.leave());
  }

  // Forget all strokes; the masks stay as they are.
  clear() {
    this.strokes = []; // each a list of [letter, voxel on the RAS grid, old value, new value]
    this.stroke = null;
    this.last = null;
  }

  works() {
    return this.on && this.letter && this.viewer.letter === this.letter;
  }

  down(event) {
    if (!this.works() || event.button !== 0) return;
    const found = this.planes.find(event);
    if (!found) return;
    this.stroke = [];
    this.last = found;
    this.dab(found.plane, found.at, this.erase || event.shiftKey);
  }

  move(event) {
    if (!this.on) return;
    const found = this.planes.find(event);
    this.planes.brush = found && { ...found, radius: this.radius };
    const { stroke, last } = this;
    if (stroke && found && found.plane.across === last.plane.across) {
      const { spacing } = this.viewer;
      const way = found.at.map((at, axis) => (at - last.at[axis]) * spacing[found.plane.axes[axis]]);
      const steps = Math.max(1, Math.ceil((2 * Math.hypot(...way)) / this.radius));
      for (let step = 1; step <= steps; step++) {
        const at = found.at.map((end, axis) => last.at[axis] + ((end - last.at[axis]) * step) / steps);
        this.dab(found.plane, at, this.erase || event.shiftKey);
      }
      this.last = found;
    }
    this.planes.draw();
  }

  up() {
    if (this.stroke?.length) this.strokes.push(this.stroke);
    this.stroke = null;
    this.onChange();
  }

  leave() {
    this.planes.brush = null;
    this.planes.draw();
  }

  // One dab at the cross, by a key, in the first plane that is shown.
  dabAtCross(erase) {
    const plane = this.planes.list()[0];
    if (!plane || !this.works()) return;
    const voxel = this.viewer.where();
    this.stroke = [];
    this.dab(plane, plane.axes.map((axis) => voxel[axis] + 0.5), erase || this.erase);
    this.up();
  }

  // Give the voxels of a disc in a plane the value; their middles lie within the radius.
  dab(plane, at, erase) {
    const { shape, spacing, letter } = this.viewer;
    const { axes: [u, v], across, slice } = plane;
    const reach = [u, v].map((axis) => this.radius / spacing[axis]);
    const [from, to] = [-1, 1].map((side) => at.map((one, axis) => Math.floor(one + side * reach[axis])));
    const voxel = [0, 0, 0];
    voxel[across] = slice;
    for (let b = Math.max(from[1], 0); b <= Math.min(to[1], shape[v] - 1); b++) {
      for (let a = Math.max(from[0], 0); a <= Math.min(to[0], shape[u] - 1); a++) {
        const far = Math.hypot(((a + 0.5 - at[0]) * spacing[u]), ((b + 0.5 - at[1]) * spacing[v]));
        const below = a === Math.floor(at[0]) && b === Math.floor(at[1]);
        if (far > this.radius && !below) continue;
        voxel[u] = a;
        voxel[v] = b;
        this.set(letter, this.viewer.index(voxel), erase ? 0 : this.value);
      }
    }
    this.viewer.repaint();
  }

  set(letter, index, value) {
    const old = this.viewer.voxels[letter][index];
    if (old === value) return;
    this.viewer.change(letter, index, value);
    this.stroke.push([letter, index, old, value]);
  }

  undo() {
    const stroke = this.strokes.pop();
    for (const [letter, index, old] of (stroke || []).reverse()) this.viewer.change(letter, index, old);
    this.viewer.repaint();
    this.onChange();
    return Boolean(stroke);
  }

  // Undo all strokes on a letter.
  restore(letter) {
    for (const stroke of [...this.strokes].reverse()) {
      for (const [own, index, old] of [...stroke].reverse()) if (own === letter) this.viewer.change(own, index, old);
    }
    this.strokes = this.strokes.filter((stroke) => stroke[0][0] !== letter);
    this.viewer.repaint();
    this.onChange();
  }

  // What differs from the mask as delivered: [[first voxel, number of voxels, value], ...].
  // Voxels are counted from 0 in C order of the array in the NIfTI file: voxel (i, j, k)
  // of a file with dim = I, J, K is number (i * J + j) * K + k, so k is the fastest axis.
  // It is not the order in which NIfTI stores them, where i is the fastest.
  runs(letter) {
    const before = new Map();
    for (const stroke of this.strokes) {
      for (const [own, index, old] of stroke) if (own === letter && !before.has(index)) before.set(index, old);
    }
    const voxels = this.viewer.voxels[letter];
    const changed = [...before].filter(([index, old]) => voxels[index] !== old);
    const numbered = changed.map(([index]) => [this.viewer.numberInFile(letter, index), voxels[index]]);
    numbered.sort((one, other) => one[0] - other[0]);
    const runs = [];
    for (const [number, value] of numbered) {
      const last = runs.at(-1);
      if (last && last[0] + last[1] === number && last[2] === value) last[1] += 1;
      else runs.push([number, 1, value]);
    }
    return runs;
  }

  // Whether strokes wait that were not sent.
  waits() {
    return this.strokes.some((stroke) => this.runs(stroke[0][0]).length);
  }
}
