// Asks the server. Every refusal becomes an Error that says what the server said.

/** @param {string} path @param {Record<string, string|number|string[]>} query @returns {Promise<any>} */
export async function get(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  return answered(await fetch(`/api/v1/${path}?${parameters}`));
}

/** @param {string} path @param {object} body */
export async function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  return answered(await fetch(`/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) }));
}

/** @param {string} path */
export async function remove(path) {
  return answered(await fetch(`/api/v1/${path}`, { method: 'DELETE' }));
}

async function answered(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(body.detail || `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return body;
}
