// Dark or light: the system's wish, or one's own. What is painted on a canvas asks here for the style sheet's colours.

const CHOICES = ['auto', 'light', 'dark'];
const KEY = 'foreshock.scheme';
const probe = document.createElement('span');
probe.hidden = true;
let known = new Map();
const listeners = [];

/** @param {string} name a custom property without its dashes @returns {string} as a canvas takes it */
export function colour(name) {
  let found = known.get(name);
  if (!found) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${name})`;
    found = getComputedStyle(probe).color;
    known.set(name, found);
  }
  return found;
}

export const LINES = 8;

/** @param {number} i @returns {string} the colour of a chart's i-th line; told apart by the colour-blind too */
export function lineColour(i) {
  return colour(`line-${(i % LINES) + 1}`);
}

/** @param {() => void} listener called when colours changed */
export function onScheme(listener) {
  listeners.push(listener);
}

function changed() {
  known = new Map();
  for (const listener of listeners) listener();
}

function stored() {
  try {
    return CHOICES.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : 'auto';
  } catch {
    return 'auto'; // storage is refused in some private windows
  }
}

/** Make a button choose the scheme. @param {HTMLButtonElement} button */
export function bindScheme(button) {
  const show = (choice) => {
    document.documentElement.dataset.scheme = choice;
    button.textContent = { auto: '◐ auto', light: '○ light', dark: '● dark' }[choice];
    button.setAttribute('aria-label', `Colours: ${choice}. Press for the next`);
  };
  show(stored());
  button.onclick = () => {
    const next = CHOICES[(CHOICES.indexOf(document.documentElement.dataset.scheme) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, next);
    } catch { /* then it holds for this page alone */ }
    show(next);
    changed();
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}
