// One line that says what is wrong and what to do, or what was done. It takes no room of what it stands over.

import { button } from './dom.js';

const PASSING_MS = 5000;

export class Notice {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    this.timer = 0;
  }

  /** @param {string} text empty: nothing @param {() => any} [retry] offered as a button */
  say(text, retry = undefined) {
    clearTimeout(this.timer);
    this.box.hidden = !text;
    this.box.replaceChildren(text);
    if (retry) this.box.append(' ', button('Try again', retry, { className: 'small' }));
  }

  /** Something that is done, and needs nobody. @param {string} text */
  pass(text) {
    this.say(text);
    this.timer = setTimeout(() => this.say(''), PASSING_MS);
  }
}
