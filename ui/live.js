// The websocket: connects again by itself, and goes on where it was by the cursor of the last message.

const BACKOFF_MS_MAX = 5000;
const RECENT_RECORDS = 30; // so that a page just opened has a line to show, and not a point

export class Live {
  /** @param {{onMessage: (message: object) => void, onState: (state: string) => void}} listeners */
  constructor({ onMessage, onState }) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.cursor = null;
    this.attempt = 0;
    this.socket = null;
    this.timer = 0;
  }

  /** @param {{entities: string[], rollups: string[]}} subscription */
  subscribe(subscription) {
    this.subscription = subscription;
    this.cursor = null;
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.close();
    }
    this.onState('connecting');
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/live`);
    this.socket = socket;
    socket.onopen = () => {
      const first = { subscribe: this.subscription };
      if (this.cursor) first.after = this.cursor;
      else first.recent = RECENT_RECORDS;
      socket.send(JSON.stringify(first));
    };
    socket.onmessage = (event) => {
      this.attempt = 0;
      const message = JSON.parse(event.data);
      if (message.cursor) this.cursor = message.cursor;
      this.onState('live');
      this.onMessage(message);
    };
    socket.onclose = (event) => {
      this.onState('lost');
      if (event.code === 1008) this.cursor = null; // another log than the cursor's: begin anew
      // Spread out, so that a restart is not met by everybody at once.
      const wait = Math.min(BACKOFF_MS_MAX, 250 * 2 ** this.attempt) * (0.5 + Math.random());
      this.attempt += 1;
      this.timer = setTimeout(() => this.connect(), wait);
    };
  }
}
