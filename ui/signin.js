// Asks for a token once; the server keeps it in a cookie that scripts cannot read.

import { field, make } from './dom.js';

/** @param {HTMLElement} box @param {() => any} done */
export function signIn(box, done) {
  if (box.querySelector('form')) return;
  const input = make('input', { type: 'password', autocomplete: 'current-password', required: true, id: 'token' });
  const problem = make('p', { role: 'alert', className: 'problem' });
  const form = make('form', {}, make('h2', { textContent: 'Sign in' }), make('p', { className: 'quiet', textContent: 'This server asks for a token. Who runs it makes one with: foreshock token NAME --scope read,write' }),
    field('Token', input), problem, make('button', { type: 'submit', className: 'main', textContent: 'Sign in' }));
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch('/api/v1/session', { method: 'POST', body: JSON.stringify({ token: input.value }) });
      if (answer.ok) {
        box.hidden = true;
        box.replaceChildren();
        done();
      } else {
        problem.textContent = answer.status === 401 ? 'This token is not known.' : `The server answered ${answer.status}.`;
      }
    } catch {
      problem.textContent = 'The server does not answer. Try again.';
    }
  };
  box.hidden = false;
  box.replaceChildren(form);
  input.focus();
}
