// Asks the server. Every refusal becomes an Error that says what the server said.

/** @param {string} path @param {Record<string, string|number|string[]>} query @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, query = {}, signal = undefined) {
  return answered(await reach(() => fetch(`/api/v1/${path}?${parametersOf(query)}`, { signal })));
}

/** @param {Record<string, string|number|string[]>} query */
export function parametersOf(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  return parameters;
}

/** @param {string} path @param {object} body */
export async function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  return answered(await reach(() => fetch(`/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })));
}

/** @param {string} path */
export async function remove(path) {
  return answered(await reach(() => fetch(`/api/v1/${path}`, { method: 'DELETE' })));
}

async function reach(ask) {
  try {
    return await ask();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('the server does not answer', { cause: error });
  }
}

let whenUnknown = () => {};

/** @param {() => void} listener called when the server asks for a token */
export function onUnknown(listener) {
  whenUnknown = listener;
}

async function answered(response) {
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) whenUnknown();
  if (!response.ok) {
    const error = new Error(body.detail || `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return body;
}
