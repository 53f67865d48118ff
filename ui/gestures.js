// What a pointer does on the charts: points, picks, zooms, pans (shift), marks an incident (alt, or when marking is on).

const DRAG_PX = 5;

/**
 * @param {HTMLElement} root holds the charts
 * @param {{view: {from: number, to: number}, marking: () => boolean, onPoint: (ms: number|null) => void, onPick: (ms: number) => void,
 *   onZoom: (from: number, to: number) => void, onOut: () => void, onPan: (from: number, to: number, done: boolean) => void,
 *   onMark: (from: number, to: number) => void}} does
 */
export function gestures(root, does) {
  let drag = null;
  const frameOf = (event) => event.target.closest?.('.frame');
  const timeIn = (frame, event) => {
    const ms = frame.chart.timeAt(event.clientX - frame.getBoundingClientRect().left);
    return Math.max(does.view.from, Math.min(does.view.to, ms));
  };

  root.addEventListener('pointerdown', (event) => {
    const frame = frameOf(event);
    // A finger that moves scrolls the page, unless it marks.
    if (!frame?.chart.graph || event.button !== 0 || (event.pointerType === 'touch' && !does.marking())) return;
    const kind = event.shiftKey ? 'pan' : event.altKey || does.marking() ? 'mark' : 'zoom';
    drag = { frame, kind, x: event.clientX, left: frame.getBoundingClientRect().left, start: timeIn(frame, event), from: does.view.from, to: does.view.to, moved: false };
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });

  root.addEventListener('pointermove', (event) => {
    if (!drag) {
      const frame = frameOf(event);
      if (frame?.chart.graph && event.pointerType !== 'touch') does.onPoint(timeIn(frame, event));
      return;
    }
    if (!drag.moved && Math.abs(event.clientX - drag.x) < DRAG_PX) return;
    drag.moved = true;
    if (drag.kind === 'pan') {
      const by = ((drag.x - event.clientX) / drag.frame.chart.graph.getArea().w) * (drag.to - drag.from);
      does.onPan(drag.from + by, drag.to + by, false);
      return;
    }
    const { style } = drag.frame.chart.selection;
    drag.frame.chart.selection.hidden = false;
    drag.frame.chart.selection.dataset.kind = drag.kind;
    style.left = `${Math.min(drag.x, event.clientX) - drag.left}px`;
    style.width = `${Math.abs(event.clientX - drag.x)}px`;
    does.onPoint(timeIn(drag.frame, event));
  });

  const end = (event) => {
    if (!drag) return;
    const { frame, kind, moved, start, from, to, x } = drag;
    drag = null;
    frame.chart.selection.hidden = true;
    if (event.type === 'pointercancel') return;
    if (!moved) {
      does.onPick(start);
      return;
    }
    if (kind === 'pan') {
      const by = ((x - event.clientX) / frame.chart.graph.getArea().w) * (to - from);
      does.onPan(from + by, to + by, true);
      return;
    }
    const other = timeIn(frame, event);
    const [low, high] = [Math.min(start, other), Math.max(start, other)];
    if (kind === 'mark') does.onMark(low, high);
    else does.onZoom(low, high);
  };
  root.addEventListener('pointerup', end);
  root.addEventListener('pointercancel', end);
  root.addEventListener('click', (event) => {
    const frame = frameOf(event);
    if (event.pointerType === 'touch' && frame?.chart.graph && !does.marking()) does.onPick(timeIn(frame, event));
  });
  root.addEventListener('dblclick', (event) => { if (frameOf(event)) does.onOut(); });
  root.addEventListener('pointerleave', () => { if (!drag) does.onPoint(null); });
}
