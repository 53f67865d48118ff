// The websocket: connects again by itself, and goes on where it was by the cursor of the last message.

const BACKOFF_MS_MAX = 5000;

export class Live {
  /** @param {{onMessage: (message: object) => void, onState: (state: string) => void, recent?: number}} options `recent`: records to begin with */
  constructor({ onMessage, onState, recent = 0 }) {
    Object.assign(this, { onMessage, onState, recent, cursor: null, attempt: 0, socket: null, timer: 0, state: '' });
  }

  /** @param {{entities: string[], metrics: string[], rollups: string[], types: string[]}} subscription */
  subscribe(subscription) {
    this.subscription = subscription;
    this.cursor = null;
    this.connect();
  }

  tell(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }

  connect() {
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.onmessage = null;
      this.socket.close();
    }
    if (this.state !== 'lost') this.tell('connecting'); // lost stays lost until something comes
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/live`);
    this.socket = socket;
    socket.onopen = () => {
      const first = { subscribe: this.subscription };
      if (this.cursor) first.after = this.cursor;
      else if (this.recent) first.recent = this.recent;
      socket.send(JSON.stringify(first));
    };
    socket.onmessage = (event) => {
      this.attempt = 0;
      const message = JSON.parse(event.data);
      if (message.cursor) this.cursor = message.cursor;
      this.tell('live');
      this.onMessage(message);
    };
    socket.onclose = (event) => {
      this.tell('lost');
      if (event.code === 1008) this.cursor = null; // another log than the cursor's: begin anew
      // Spread out, so that a restart is not met by everybody at once.
      const wait = Math.min(BACKOFF_MS_MAX, 250 * 2 ** this.attempt) * (0.5 + Math.random());
      this.attempt += 1;
      this.timer = setTimeout(() => this.connect(), wait);
    };
  }
}

/** Say how several connections stand together. @param {HTMLElement} pill @param {Live[]} those */
export function showConnection(pill, those) {
  const states = those.filter((one) => one.subscription).map((one) => one.state);
  const state = ['lost', 'connecting', 'live'].find((name) => states.includes(name)) ?? 'connecting';
  if (pill.dataset.state === state) return;
  pill.dataset.state = state;
  const since = new Date().toTimeString().slice(0, 5);
  pill.textContent = { live: 'live', connecting: 'connecting', lost: `lost at ${since}, trying again` }[state];
  pill.title = state === 'lost' ? 'The server does not answer. What is shown is from before; it goes on by itself once it is back.' : '';
  document.body.dataset.connection = state;
}
